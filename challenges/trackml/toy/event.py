"""Whole toy events, in the tables of the published ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from hepchallenge.challenges.trackml.toy.geometry import modules
from hepchallenge.challenges.trackml.toy.measurement import Cells, Passages, digitise, make_noise, passages
from hepchallenge.challenges.trackml.toy.particles import encode_ids, generate_primaries
from hepchallenge.challenges.trackml.toy.propagation import Physics, propagate
from hepchallenge.scoring.trackml import event_weights

__all__ = ["NOISE_SHARE", "ToyEvent", "simulate_event"]

NOISE_SHARE = 0.18
"""Expected share of noise among the hits."""


class ToyEvent(NamedTuple):
    """One simulated event, with the columns and types of the published files."""

    hits: pd.DataFrame
    cells: pd.DataFrame
    particles: pd.DataFrame
    truth: pd.DataFrame


def simulate_event(
    event_id: int, seed: int, *, n_hits: int = 100_000, cells: bool = True, physics: Physics | None = None
) -> ToyEvent:
    """Simulate one event.

    Parameters
    ----------
    event_id : int
        Not negative. With the seed it determines the event, whatever was simulated before.
    seed : int
        Not negative.
    n_hits : int, default 100 000
        Expected number of hits, reached by the number of collisions and the rate of noise; at least 100.
        The number varies by about a tenth, as that of published events does.
    cells : bool, default True
        Whether to return the cells; the hits are the same without.
    physics : Physics, optional
        Effects of matter; all are on without.

    Returns
    -------
    ToyEvent
        `hits`, `cells`, `particles` and `truth`; `weight` is as in the accuracy phase and sums to 1.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if event_id < 0 or seed < 0:
        raise ValueError(f"event_id and seed must not be negative, got {event_id} and {seed}")
    if n_hits < 100:
        raise ValueError(f"n_hits must be at least 100, got {n_hits}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, event_id))))
    primaries = generate_primaries(rng, n_hits * (1 - NOISE_SHARE))
    everyone, crossings = propagate(rng, primaries, physics or Physics())
    passed = passages(crossings)
    noise = make_noise(rng, n_hits * NOISE_SHARE)
    passed = Passages._make(np.concatenate(columns) for columns in zip(passed, noise, strict=True))
    # Published hits are in the order of modules; within a module the order must not tell the particle.
    order = np.lexsort((rng.random(len(passed.module)), passed.module))
    passed = Passages._make(column[order] for column in passed)
    measured, fired = digitise(rng, passed)

    ids = encode_ids(everyone)
    hits = _hits_table(passed.module, measured)
    counts = np.bincount(passed.particle[passed.particle >= 0], minlength=len(ids))
    order = np.argsort(ids)
    particles = pd.DataFrame(
        {
            "particle_id": ids,
            "particle_type": everyone.pdg.astype(np.int32),
            **_columns(("vx", "vy", "vz"), everyone.position),
            **_columns(("px", "py", "pz"), everyone.momentum),
            "q": everyone.charge.astype(np.int32),
            "nhits": counts.astype(np.int32),
        }
    )
    particles = particles.iloc[order].reset_index(drop=True)
    truth = pd.DataFrame(
        {
            "hit_id": hits["hit_id"],
            "particle_id": np.where(passed.particle >= 0, ids[passed.particle], 0),
            **_columns(("tx", "ty", "tz"), passed.position),
            **_columns(("tpx", "tpy", "tpz"), passed.momentum),
        }
    )
    truth["weight"] = event_weights(truth, particles).astype(np.float32)
    if not cells:
        fired = Cells._make(column[:0] for column in fired)
    cells_table = pd.DataFrame(
        {
            "hit_id": (fired.hit + 1).astype(np.int32),
            "ch0": fired.ch0.astype(np.int32),
            "ch1": fired.ch1.astype(np.int32),
            "value": fired.value.astype(np.float32),
        }
    )
    return ToyEvent(hits, cells_table, particles, truth)


def _columns(names: tuple[str, ...], values: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float32]]:
    return {name: values[:, i].astype(np.float32) for i, name in enumerate(names)}


def _hits_table(module: npt.NDArray[np.int64], position: npt.NDArray[np.float64]) -> pd.DataFrame:
    m = modules()
    return pd.DataFrame(
        {
            "hit_id": np.arange(1, len(module) + 1, dtype=np.int32),
            **_columns(("x", "y", "z"), position),
            "volume_id": m.volume[module].astype(np.int32),
            "layer_id": m.layer[module].astype(np.int32),
            "module_id": m.module[module].astype(np.int32),
        }
    )
