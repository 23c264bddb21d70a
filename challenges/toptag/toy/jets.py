"""Toy jets: hard partons, hadrons, detector, and what anti-kT finds."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.toy.detector import Detector
from hepchallenge.challenges.toptag.toy.hard import HardPartons, HardProcess
from hepchallenge.challenges.toptag.toy.kinematics import distances, sums
from hepchallenge.exceptions import UsageError

__all__ = ["CONE", "ToyJets", "cluster", "selected", "simulate_jets"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONE = 0.8
"""Radius of the anti-kT jets, and the distance within which a jet and its partons must be."""

_LOW, _HIGH, _ETA = 550.0, 650.0, 2.0
_FIRST_BATCH, _BATCH = 250, 4000
_MOST = 200


class ToyJets(NamedTuple):
    """Jets of one class.

    `constituents` are rows (E, px, py, pz) in GeV, float32, jet after jet, by falling pT in each; `counts`
    tells how many belong to a jet, and `truth` is the momentum of its top, shape (n, 4), zeros without one.
    """

    constituents: NDArray[np.float32]
    counts: Ints
    truth: NDArray[np.float32]


def _fastjet() -> Any:
    try:
        awkward, fastjet = (importlib.import_module(name) for name in ("awkward", "fastjet"))
    except ImportError as error:
        raise UsageError(
            f"toy jets are found by the fastjet package, which is not installed ({error}): "
            "pip install hepchallenge[toptag]"
        ) from None
    # Its banner would end up in the middle of what a command prints for programs.
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet, awkward


def cluster(event: Ints, p: Floats, n: int) -> tuple[Ints, Ints]:
    """Find the hardest anti-kT jet of every event.

    Parameters
    ----------
    event : array of int64, shape (m,)
        The event of every object, ascending, from 0 to n - 1.
    p : array of float, shape (m, 4)
        E, px, py, pz.

    Returns
    -------
    array of int64, array of int64
        Rows of `p` that are in the hardest jet of their event, and the events of these, ascending. Jets below
        100 GeV are not looked at.

    Raises
    ------
    UsageError
        If the package fastjet is not installed.
    """
    fastjet, ak = _fastjet()
    counts = np.bincount(event, minlength=n)
    columns = dict(zip(("E", "px", "py", "pz"), p.T, strict=True))
    objects = ak.unflatten(ak.zip(columns), counts)
    found = fastjet.ClusterSequence(objects, fastjet.JetDefinition(fastjet.antikt_algorithm, CONE))
    jets = found.inclusive_jets(min_pt=100)
    hardest = ak.argmax(jets.px**2 + jets.py**2, axis=1, keepdims=True)
    inside = ak.drop_none(found.constituent_index(min_pt=100)[hardest], axis=1)
    inside = ak.flatten(inside, axis=2) if len(inside) else inside
    per_event = ak.to_numpy(ak.num(inside, axis=1))
    events = np.repeat(np.arange(n), per_event)
    first = np.cumsum(counts) - counts
    return ak.to_numpy(ak.flatten(inside)).astype(np.int64) + first[events], events


@dataclass(frozen=True)
class _Batches:
    """Endless batches of jets; batch i of a seed and class is always the same."""

    top: bool
    seed: int
    process: HardProcess
    detector: Detector

    def __iter__(self) -> Iterator[ToyJets]:
        number = 0
        while True:
            sequence = np.random.SeedSequence((self.seed, int(self.top), number))
            # Small ones first, for those who want few jets.
            size = min(_BATCH, _FIRST_BATCH << number) if number < 10 else _BATCH
            yield self._batch(np.random.Generator(np.random.PCG64(sequence)), size)
            number += 1

    def _batch(self, rng: np.random.Generator, n: int) -> ToyJets:
        hard = _promising((self.process.top if self.top else self.process.qcd)(rng, n))
        if not len(hard.decay):
            return selected(np.zeros(0, np.int64), np.zeros((0, 4)), hard)
        event, p = self.process.hadronisation.decay(rng, hard.event, hard.p)
        event, p = self.detector.see(rng, event, p)
        rows, event = cluster(event, p, len(hard.decay))
        return selected(event, p[rows], hard)


def selected(event: Ints, p: Floats, hard: HardPartons) -> ToyJets:
    """Return the jets that pass the published selection, their constituents by falling pT.

    Parameters
    ----------
    event : array of int64, shape (m,)
        The event of every constituent, ascending.
    p : array of float, shape (m, 4)
        E, px, py, pz in GeV.
    hard : HardPartons
        Of all events; `decay` is used.
    """
    n = len(hard.decay)
    jet = sums(event, p, n)
    pt = np.hypot(jet[:, 1], jet[:, 2])
    eta = np.arcsinh(jet[:, 3] / np.maximum(pt, 1e-9))
    good = (pt >= _LOW) & (pt <= _HIGH) & (np.abs(eta) < _ETA) & _matched(jet, hard.decay, CONE)
    p, event = p[good[event]], event[good[event]]
    order = np.lexsort((-np.hypot(p[:, 1], p[:, 2]), event))
    p, event = p[order], event[order]
    counts = np.bincount(event, minlength=n)[good]
    rank = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
    p = p[rank < _MOST]
    return ToyJets(p.astype(np.float32), np.minimum(counts, _MOST), hard.decay[good, 0].astype(np.float32))


def _promising(hard: HardPartons) -> HardPartons:
    """Leave out events that will hardly give a good jet, before the costly steps.

    The momentum within a cone around the hard parton, moved once to where the momentum is, comes near to that
    of the jet; the margins are wide enough to lose about one good jet in a thousand.
    """
    n = len(hard.decay)
    axis = sums(hard.event, hard.p, n)
    for _ in range(2):
        near = distances(hard.p, axis[hard.event]) < CONE
        axis = sums(hard.event[near], hard.p[near], n)
    pt = np.hypot(axis[:, 1], axis[:, 2])
    eta = np.arcsinh(axis[:, 3] / np.maximum(pt, 1e-9))
    good = (pt > _LOW - 25) & (pt < _HIGH + 45) & (np.abs(eta) < _ETA + 0.05)
    good &= _matched(axis, hard.decay, CONE + 0.1)
    number = np.cumsum(good) - 1
    kept = good[hard.event]
    return HardPartons(number[hard.event[kept]], hard.p[kept], hard.decay[good])


def _matched(jet: Floats, decay: Floats, distance: float) -> NDArray[np.bool_]:
    """Return whether top and quarks are near the jet; true for jets without a top."""
    near = distances(decay, jet[:, None]).max(axis=1) < distance
    matched: NDArray[np.bool_] = near | (decay[:, 0, 0] == 0)
    return matched


def simulate_jets(
    n: int,
    *,
    top: bool,
    seed: int,
    process: HardProcess | None = None,
    detector: Detector | None = None,
) -> Iterator[ToyJets]:
    """Simulate toy jets of one class, piece by piece.

    Parameters
    ----------
    n : int
        Number of jets, from 0.
    top : bool
        Whether the jets come from tops, or from quarks and gluons.
    seed : int
        From 0. Jet i of a seed and a class is always the same, whatever `n`.

    Yields
    ------
    ToyJets
        Anti-kT jets of R = 0.8 with pT from 550 to 650 GeV and abs(eta) < 2; at most 200 constituents each.
        Top, b and both quarks of the W are within 0.8 of a top jet.

    Raises
    ------
    ValueError
        If a number is negative, or of some hundred hard partons none makes such a jet.
    UsageError
        If the package fastjet is not installed.
    """
    if n < 0 or seed < 0:
        raise ValueError(f"number and seed must not be negative, got {n} and {seed}")
    left = n
    for jets in _Batches(top, seed, process or HardProcess(), detector or Detector()):
        if left <= 0:
            return
        if not len(jets.counts):
            raise ValueError("none of the hard partons makes a jet in range: see lowest_pt and highest_pt")
        counts = jets.counts[:left]
        left -= len(counts)
        yield ToyJets(jets.constituents[: counts.sum()], counts, jets.truth[: len(counts)])
