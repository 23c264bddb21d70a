"""Toy tau -> mu mu mu events: simulated, never data, with the published columns and the published lesson.

Kinematics come first. A parent with the transverse momentum and pseudorapidity of LHCb's candidates decays
into three muons (or, in the control channel, Ds -> phi pi, phi -> mu mu), the tracks pass the acceptance,
and mass, momenta, lifetime and flight distance fit together as in the published sample. Everything else is
drawn from the learned shapes of background (`shapes.py`) given these, then shifted, in standard deviations,
by what tells

* a true decay from random tracks (`DECAY_SHIFTS`): it points back to the collision and is alone;
* a decay after a beauty hadron from one of a prompt charm hadron (`BEAUTY_SHIFTS`);
* the control channel from the tau (`CONTROL_SHIFTS`);
* a simulated event from a recorded one (`SIMULATION_SHIFTS`): above all too few hits in the SPD, and tracks
  that look better than they are.

The last are why a classifier of everything fails: signal is simulated and background recorded, so that it
learns the simulation. On the control channel, where both exist, the agreement check finds it out.

"Recorded" means the toy's own events without the shifts of the simulation; no event here was recorded. The
shifts were tuned on the published figures of the organisers' baselines: docs/tau3mu_toy.md compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.tau3mu.coordinates import COORDINATES, DRIVERS, TRACKS, columns_from
from hepchallenge.challenges.tau3mu.kinematics import (
    DS_MASS,
    MUON_MASS,
    TAU_MASS,
    invariant_mass,
    momentum,
    phase_space_decay,
    resonance_decay,
    transverse,
)
from hepchallenge.challenges.tau3mu.shapes import NODES, learned

__all__ = ["DEFAULT_EVENTS", "MINIMUM_EVENTS", "SHARES", "generate"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DEFAULT_EVENTS = 70_000
MINIMUM_EVENTS = 1_000
SHARES = {"labelled": 45 / 70, "agreement": 20 / 70, "correlation": 5 / 70}
"""Shares of the events: labelled ones (training and test), the control channel, the correlation sample."""

SIGNAL_FRACTION = 41_674 / 67_553
"""Of the labelled events; the published one."""
FROM_BEAUTY = 0.25
"""Fraction of signal in which a beauty hadron gave the tau or its Ds."""
PRODUCTION = {"charm": 1, "beauty": 2, "background": -99}
"""Toy values of `production`. The published codes of signal have more values; -99 is the published one."""

MASS_RANGE = (1600.0, 1950.0)
MASS_SLOPE = 8e-4
"""Relative growth of background per MeV."""
WINDOW = 20.0
"""Labelled background has no mass within this many MeV of the tau's."""
WINDOW_SHARE = 3.2
"""Density of the correlation sample inside the window over that outside, as in the published one."""
CONTROL_PURITY = 0.8
"""Fraction of true Ds among the recorded events of the control channel, before it is weighted."""

_PAIRS = ("DOCAone", "DOCAtwo", "DOCAthree")
_NEAR_TRACKS = ("isolationa", "isolationb", "isolationc")
_NEAR_VERTICES = ("isolationd", "isolatione", "isolationf")
_ISOLATION_BDT = tuple(f"p{track}_IsoBDT" for track in TRACKS)

DECAY_SHIFTS: dict[str, float] = {
    "pt": 0.2,
    "LifeTime": -0.58,
    "IPSig": -1.15,
    "VertexChi2": -0.7,
    **dict.fromkeys(_PAIRS, -0.3),
    **dict.fromkeys(_NEAR_TRACKS, -0.52),
    **dict.fromkeys(_NEAR_VERTICES, -0.4),
    **dict.fromkeys(("CDF1", "CDF2/CDF1", "CDF3/CDF2"), 0.4),
    **dict.fromkeys(_ISOLATION_BDT, 0.62),
}
"""Of true decays against random combinations of tracks; -1 is one standard deviation less."""

BEAUTY_SHIFTS: dict[str, float] = {"pt": 0.3, "LifeTime": 1.2, "IPSig": 0.8}
"""Of decays after a beauty hadron, on top."""

CONTROL_SHIFTS: dict[str, float] = {"pt": 0.1, "LifeTime": 0.5}
"""Of Ds -> phi pi against tau -> mu mu mu, on top."""

SIMULATION_SHIFTS: dict[str, float] = {
    "pt": 0.1,
    "LifeTime": -0.1,
    "SPDhits": -0.82,
    **dict.fromkeys((f"p{track}_track_Chi2Dof" for track in TRACKS), -0.3),
    **dict.fromkeys(_ISOLATION_BDT, 0.05),
    **dict.fromkeys(_NEAR_TRACKS, -0.1),
    **dict.fromkeys((f"p{track}_IPError" for track in TRACKS), -0.1),
}
"""Of simulated against recorded events of the same kind."""

FIRST_ID = 100_000

_CONTROL_WIDTH = 8.0
_CONTROL_HALF_RANGE = 40.0
# Soft parents lose more decays to the acceptance than hard ones: this shift before makes up for it after.
_PT_BEFORE_ACCEPTANCE = -0.3
_PT_RESOLUTION = 3e-4
_TRACK_RESOLUTION = 5e-3
_TRACK_PT, _TRACK_P, _TRACK_ETA = 300.0, 3000.0, (1.8, 5.1)
_GIVEN = DRIVERS[:-1]
_DRAWN = tuple(name for name in COORDINATES if name not in DRIVERS)


@dataclass(frozen=True)
class _Kind:
    """What the candidates of one draw are: per event, shape (n,)."""

    true: Bools
    beauty: Bools
    control: bool
    simulated: Bools

    def shift(self, name: str) -> Floats:
        shift = self.true * DECAY_SHIFTS.get(name, 0.0) + self.beauty * BEAUTY_SHIFTS.get(name, 0.0)
        if self.control:
            shift = shift + self.true * CONTROL_SHIFTS.get(name, 0.0)
        return np.asarray(shift + self.simulated * SIMULATION_SHIFTS.get(name, 0.0), dtype=np.float64)


def _tracks(rng: np.random.Generator, mass: Floats, kind: _Kind) -> Floats:
    """Return the momenta, shape (3, 4, n), of tracks in acceptance; of the first two the softer comes first.

    In the published sample `p0_pt` is always below `p1_pt`: they are taken for the tracks of equal charge.
    """
    shapes = learned()
    slope, left = shapes.conditional(("eta",), ("pt",))
    tracks = np.empty((3, 4, mass.size))
    missing = np.arange(mass.size)
    shift = kind.shift("pt") + _PT_BEFORE_ACCEPTANCE
    while missing.size:
        score = rng.standard_normal(missing.size)
        eta = shapes.values("eta", slope[0, 0] * score + left[0, 0] * rng.standard_normal(missing.size))
        parent = momentum(shapes.values("pt", score + shift[missing]), eta, 0.0, mass[missing])
        drawn = np.stack(phase_space_decay(rng, parent))
        if kind.control:
            resonant = kind.true[missing]
            drawn[:, :, resonant] = np.stack(resonance_decay(rng, parent[:, resonant]))
        pt, size = np.hypot(drawn[:, 1], drawn[:, 2]), np.sqrt(np.square(drawn[:, 1:]).sum(axis=1))
        track_eta = np.arcsinh(drawn[:, 3] / pt)
        inside = (track_eta > _TRACK_ETA[0]) & (track_eta < _TRACK_ETA[1])
        done = (inside & (pt > _TRACK_PT) & (size > _TRACK_P)).all(axis=0)
        tracks[:, :, missing[done]] = drawn[:, :, done]
        missing = missing[~done]
    swapped = transverse(tracks[0]) > transverse(tracks[1])
    tracks[:2, :, swapped] = tracks[1::-1, :, swapped]
    return tracks


def _measured(rng: np.random.Generator, tracks: Floats) -> Floats:
    """Smear the size of every momentum; the tracks are taken for muons from here on."""
    factor = 1.0 + _TRACK_RESOLUTION * rng.standard_normal((3, 1, tracks.shape[2]))
    space = tracks[:, 1:] * factor
    energy = np.sqrt(np.square(space).sum(axis=1, keepdims=True) + MUON_MASS**2)
    return np.concatenate([energy, space], axis=1)


def _candidates(rng: np.random.Generator, mass: Floats, kind: _Kind) -> tuple[dict[str, Floats], Floats]:
    """Return the 46 features, and the measured mass, of candidates of given true mass.

    Random combinations have no true mass: theirs is the measured one, and nothing is smeared.
    """
    shapes = learned()
    tracks = _tracks(rng, mass, kind)
    tracks = np.where(kind.true, _measured(rng, tracks), tracks)
    total = tracks.sum(axis=0)
    measured_mass = invariant_mass(total)
    # The published pt is that of a vertex fit: a little off the sum of the tracks, now and then far.
    off = np.clip(_PT_RESOLUTION * rng.standard_t(2.0, mass.size), -0.01, 0.01)
    coordinates: dict[str, Floats] = {
        "pt": transverse(total) * (1.0 + off),
        "eta": np.arcsinh(total[3] / transverse(total)),
    }
    momenta: dict[str, Floats] = {}
    for track in TRACKS:
        pt = transverse(tracks[track])
        coordinates[f"p{track}_pt"] = pt
        momenta[f"p{track}_eta"] = np.arcsinh(tracks[track, 3] / pt)
        momenta[f"p{track}_p"] = pt * np.cosh(momenta[f"p{track}_eta"])

    scores = [shapes.scores(name, coordinates[name]) for name in _GIVEN]
    for wanted, given in ((DRIVERS[-1:], _GIVEN), (_DRAWN, DRIVERS)):
        slope, left = shapes.conditional(wanted, given)
        drawn = slope @ np.array(scores) + left @ rng.standard_normal((len(wanted), mass.size))
        for name, score in zip(wanted, drawn, strict=True):
            shifted = _limited(score + kind.shift(name))
            coordinates[name] = shapes.values(name, shifted)
            scores.append(shifted)
    return columns_from(coordinates, momenta, measured_mass), measured_mass


def _limited(score: Floats) -> Floats:
    """Bring scores within the outermost quantiles, smoothly: a pile there would tell shifted events."""
    start, room = NODES[-2], NODES[-1] - NODES[-2]
    beyond = np.maximum(np.abs(score) - start, 0.0)
    return np.asarray(np.sign(score) * np.minimum(np.abs(score), start - room * np.expm1(-beyond / room)))


def _background_mass(rng: np.random.Generator, n: int, inside: float) -> Floats:
    """Draw masses of random combinations; `inside` is the density in the tau window over that outside."""
    grid = np.linspace(*MASS_RANGE, 3501)
    centre = 0.5 * (grid[1:] + grid[:-1])
    density = 1.0 + MASS_SLOPE * (centre - TAU_MASS)
    density = density * np.where(np.abs(centre - TAU_MASS) < WINDOW, inside, 1.0)
    cumulated = np.concatenate([[0.0], np.cumsum(density)])
    return np.asarray(np.interp(rng.random(n) * cumulated[-1], cumulated, grid))


def _labelled(rng: np.random.Generator, n: int) -> dict[str, NDArray[np.generic]]:
    signal = rng.permutation(n) < round(SIGNAL_FRACTION * n)
    beauty = signal & (rng.random(n) < FROM_BEAUTY)
    mass = np.where(signal, TAU_MASS, _background_mass(rng, n, inside=0.0))
    features, measured = _candidates(rng, mass, _Kind(signal, beauty, False, simulated=signal))
    production = np.select(
        [beauty, signal], [PRODUCTION["beauty"], PRODUCTION["charm"]], PRODUCTION["background"]
    )
    # True muons are told by the network; 72 per cent of signal and 30 of background exceed 0.4, as published.
    muon = np.where(signal, rng.beta(2.42, 2.05, n), rng.beta(1.1, 2.55, n))
    return {
        **features,
        "production": production,
        "signal": signal.astype(np.int8),
        "mass": measured,
        "min_ANNmuon": muon,
    }


def _splot_weight(mass: Floats) -> Floats:
    """Return the sPlot weights of the control channel's peak: they sum to its yield, negative ones included.

    Pivk and Le Diberder, doi:10.1016/j.nima.2005.08.106, with the true shapes and fractions for a fit.
    """
    width, half = _CONTROL_WIDTH, _CONTROL_HALF_RANGE
    peak = np.exp(-0.5 * np.square((mass - DS_MASS) / width)) / (width * np.sqrt(2.0 * np.pi))
    shapes = np.stack([peak, np.full_like(mass, 1.0 / (2.0 * half))])
    total = CONTROL_PURITY * shapes[0] + (1.0 - CONTROL_PURITY) * shapes[1]
    covariance = np.linalg.inv((shapes / total**2) @ shapes.T)
    return np.asarray(mass.size * (covariance[0] @ shapes) / total)


def _agreement(rng: np.random.Generator, n: int) -> dict[str, NDArray[np.generic]]:
    simulated = rng.permutation(n) < n // 2
    true = simulated | (rng.random(n) < CONTROL_PURITY)
    low, high = DS_MASS - _CONTROL_HALF_RANGE, DS_MASS + _CONTROL_HALF_RANGE
    mass = np.where(true, DS_MASS, rng.uniform(low, high, n))
    features, _ = _candidates(rng, mass, _Kind(true, np.zeros(n, dtype=bool), True, simulated))
    # The weights are those of a fit to the mass under the right hypothesis, which is not published.
    fitted = np.where(true, DS_MASS + _CONTROL_WIDTH * rng.standard_normal(n), mass)
    weight = np.ones(n)
    weight[~simulated] = _splot_weight(fitted[~simulated])
    return {**features, "signal": simulated.astype(np.int8), "weight": weight}


def _correlation(rng: np.random.Generator, n: int) -> dict[str, NDArray[np.generic]]:
    never = np.zeros(n, dtype=bool)
    mass = _background_mass(rng, n, inside=WINDOW_SHARE)
    features, measured = _candidates(rng, mass, _Kind(never, never, False, never))
    return {**features, "mass": measured}


def generate(n_events: int, seed: int) -> dict[str, dict[str, NDArray[np.generic]]]:
    """Simulate the samples `labelled`, `agreement` and `correlation`.

    Parameters
    ----------
    n_events : int
        All events together, divided by `SHARES`.
    seed : int
        Equal seeds and numbers give equal events.

    Returns
    -------
    dict of str to dict of str to array
        Columns of each sample: `id`, the 46 features, and what the published file of that sample has beside
        them. Ids are unique over all samples and tell nothing.

    Raises
    ------
    ValueError
        If there are fewer than 1 000 events.
    """
    if n_events < MINIMUM_EVENTS:
        raise ValueError(f"n_events: expected at least {MINIMUM_EVENTS}, got {n_events}")
    sizes = {name: round(share * n_events) for name, share in SHARES.items()}
    ids = np.random.default_rng([seed, 0]).permutation(sum(sizes.values())) + FIRST_ID
    makers = {"labelled": _labelled, "agreement": _agreement, "correlation": _correlation}
    samples, used = {}, 0
    for number, (name, size) in enumerate(sizes.items(), start=1):
        columns = makers[name](np.random.default_rng([seed, number]), size)
        samples[name] = {"id": ids[used : used + size], **columns}
        used += size
    return samples
