"""What trackers look at: efficiency, split, fake and duplicate rates, purity and completeness of tracks.

Definitions. A track is a set of hits of one track id, a particle the set of its hits in the event; the
majority particle of a track has the most hits in it, of equals the one of the smallest id. Noise, particle
0, may have the majority but is no particle to be found.

reconstructible particle
    Charged, listed, and with at least `min_hits` (4) hits in the event.
counted track
    At least ``min_hits // 2 + 1`` (3) hits, the least that can be more than half of a reconstructible
    particle. Track 0 is where hits left over may be put: it is counted only if it is pure.
pure track
    More than half of its hits are of its majority particle, and this is not noise. ACTS
    (arXiv:2106.13593) draws the line between matched tracks and fakes at the same half.
found particle
    Some pure track has more than half of its hits: the double majority of TrackML (arXiv:1904.06778). There
    is at most one such track of a particle.

Rates, each a number of cases that pass divided by a total:

=============  ===============================================  ==========================
rate           passing                                          total
=============  ===============================================  ==========================
efficiency     found                                            reconstructible particles
split          majority of two or more counted pure tracks      reconstructible particles
fake           not pure                                         counted tracks
duplicate      pure, but another pure track has more hits of    counted tracks
               the particle, or as many and a smaller id
=============  ===============================================  ==========================

Efficiency is better high, the other rates are better low; all are from 0 to 1. Against a property of
particles, a track is put at the property of its majority particle; tracks of noise and of particles that
are not listed have none and are missing there, but not in the overall rates or against the hits, which
are those of the particle for efficiency and split rate, those of the track for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.scoring.groups import group_rows, group_totals

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DEFAULT_EDGES",
    "Curve",
    "Matching",
    "TrackQuality",
    "Tracks",
    "duplicate_curves",
    "efficiency_curves",
    "fake_curves",
    "match_event",
    "match_tracks",
    "overall_rates",
    "split_curves",
    "sum_curves",
    "track_quality",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DEFAULT_EDGES: Mapping[str, FloatArray] = {
    "pt": np.geomspace(0.1, 10.0, 13),
    "eta": np.linspace(-4.0, 4.0, 17),
    "radius": np.array([0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
    "hits": np.arange(2.5, 21.0),
}
"""Bins: pT in GeV/c, pseudorapidity, production radius in mm, number of hits."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A rate in bins of a property, with binomial errors; curves of several events can be added.

    Attributes
    ----------
    edges : array of float64, shape (n_bins + 1,)
        Rising. A bin holds its lower edge but not its upper one, the last bin both; cases outside all bins
        are not in the curve.
    passed, total : arrays of int64, shape (n_bins,)
        Cases that pass, and all cases.
    """

    edges: FloatArray
    passed: IntArray
    total: IntArray

    @property
    def value(self) -> FloatArray:
        """The rate in each bin, NaN where there are no cases."""
        value = np.full(len(self.total), np.nan)
        np.divide(self.passed, self.total, out=value, where=self.total > 0)
        return value

    @property
    def low(self) -> FloatArray:
        """Lower end of the error bar, see `interval`."""
        return self.interval()[0]

    @property
    def high(self) -> FloatArray:
        """Upper end of the error bar, see `interval`."""
        return self.interval()[1]

    def interval(self, coverage: float = 0.6826894921370859) -> tuple[FloatArray, FloatArray]:
        """Return the central Clopper-Pearson interval of the rate in each bin.

        It covers the true rate at least as often as said (C. J. Clopper, E. S. Pearson, Biometrika 26
        (1934) 404, https://doi.org/10.1093/biomet/26.4.404), treating the cases as independent.

        Parameters
        ----------
        coverage : float, default one standard deviation
            Between 0 and 1.

        Returns
        -------
        low, high : arrays of float64, shape (n_bins,)
            ``0 <= low <= value <= high <= 1``; 0 and 1 where there are no cases.

        Raises
        ------
        ValueError
            If the coverage is not between 0 and 1.
        """
        from scipy.special import betaincinv

        if not 0 < coverage < 1:
            raise ValueError(f"the coverage must be between 0 and 1, got {coverage!r}")
        tail = (1 - coverage) / 2
        low, high = np.zeros(len(self.total)), np.ones(len(self.total))
        some, missed = self.passed > 0, self.passed < self.total
        passed, failed = self.passed[some], (self.total - self.passed)[some]
        low[some] = betaincinv(passed, failed + 1, tail)
        passed, failed = self.passed[missed], (self.total - self.passed)[missed]
        high[missed] = betaincinv(passed + 1, failed, 1 - tail)
        return low, high

    def __add__(self, other: Curve) -> Curve:
        """Return the curve of the cases of both; the edges must be the same."""
        if not np.array_equal(self.edges, other.edges):
            raise ValueError("curves of different edges cannot be added")
        return Curve(self.edges, self.passed + other.passed, self.total + other.total)


class Tracks(NamedTuple):
    """Tracks of an event and their majority particles, in the order of rising track ids.

    All are arrays of int64, shape (n_tracks,): the track's id and its number of hits, the majority
    particle's id (0 for noise) and its number of hits in the event, and the hits that the two have in common.
    """

    track_id: IntArray
    n_hits: IntArray
    particle_id: IntArray
    n_particle: IntArray
    n_common: IntArray


@dataclass(frozen=True, eq=False)
class Matching:
    """The reconstructible particles and the counted tracks of one event, and how they match.

    Attributes
    ----------
    particles : dict of arrays of float64, shape (n_particles,)
        `pt` [GeV/c], `eta`, `radius` of production [mm] and `hits` of the reconstructible particles.
    particle_id : array of int64, shape (n_particles,)
        Their ids.
    found, split : arrays of bool, shape (n_particles,)
        Whether each was found, and whether it was split.
    tracks : dict of arrays of float64, shape (n_tracks,)
        `pt`, `eta` and `radius` of the majority particles of the counted tracks, NaN for noise and particles
        that are not listed, and `hits` of the tracks themselves.
    table : Tracks
        The counted tracks.
    fake, duplicate : arrays of bool, shape (n_tracks,)
        Whether each is a fake, and whether a duplicate.
    """

    particles: dict[str, FloatArray]
    particle_id: IntArray
    found: BoolArray
    split: BoolArray
    tracks: dict[str, FloatArray]
    table: Tracks
    fake: BoolArray
    duplicate: BoolArray


class TrackQuality(NamedTuple):
    """Of every counted track, from 0 to 1, both 0 if noise has the majority.

    `purity` is the share of the track's hits that are of its majority particle, `completeness` the share of
    that particle's hits that are on the track.
    """

    purity: FloatArray
    completeness: FloatArray


def match_tracks(particle_id: ArrayLike, track_id: ArrayLike) -> Tracks:
    """Return all tracks of an event with their majority particles.

    Parameters
    ----------
    particle_id, track_id : arrays of integers, shape (n_hits,)
        True particle of each hit, 0 for noise, and the track that it was put into.

    Raises
    ------
    ValueError
        If the arrays are not of integers or not of one length.

    Examples
    --------
    >>> tracks = match_tracks([5, 5, 5, 8, 8], [1, 1, 2, 1, 2])
    >>> tracks.particle_id, tracks.n_common, tracks.n_particle
    (array([5, 5]), array([2, 1]), array([3, 3]))
    """
    particles, tracks = np.asarray(particle_id), np.asarray(track_id)
    for name, array in (("particle_id", particles), ("track_id", tracks)):
        if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
            raise ValueError(f"{name} must be a row of integers, got {array.dtype} of shape {array.shape}")
    if particles.shape != tracks.shape:
        raise ValueError(f"got {len(particles)} particle ids for {len(tracks)} track ids")
    pairs = group_rows(particles.astype(np.int64, copy=False), tracks.astype(np.int64, copy=False))
    common = pairs.sizes
    particle, track = particles[pairs.first].astype(np.int64), tracks[pairs.first].astype(np.int64)
    n_hits, n_particle = group_totals(track, common), group_totals(particle, common)
    order = np.lexsort((particle, -common, track))
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = track[order[1:]] != track[order[:-1]]
    best = order[new]
    return Tracks(track[best], n_hits[best], particle[best], n_particle[best], common[best])


def match_event(
    particle_id: ArrayLike, track_id: ArrayLike, particles: pd.DataFrame, min_hits: int = 4
) -> Matching:
    """Match the tracks of an event to its particles; the module says by which rules.

    Parameters
    ----------
    particle_id, track_id : arrays of integers, shape (n_hits,)
        True particle of each hit, 0 for noise, and the track that it was put into.
    particles : DataFrame
        Columns `particle_id`, `vx`, `vy` [mm], `px`, `py`, `pz` [GeV/c] at production, and the charge `q`;
        one row per particle. Its `nhits` is not used: hits are counted in the event.
    min_hits : int, default 4
        Hits that make a particle reconstructible.

    Raises
    ------
    ValueError
        If the arrays are not as said, `min_hits` is not positive, or a particle is listed twice.
    """
    if min_hits < 1:
        raise ValueError(f"min_hits must be positive, got {min_hits}")
    every = match_tracks(particle_id, track_id)
    pure = (2 * every.n_common > every.n_hits) & (every.particle_id != 0)
    counted = (every.n_hits >= min_hits // 2 + 1) & (pure | (every.track_id != 0))
    table = Tracks(*(column[counted] for column in every))
    pure = pure[counted]

    listed = particles["particle_id"].to_numpy().astype(np.int64)
    order = np.argsort(listed)
    in_order = listed[order]
    if (in_order[1:] == in_order[:-1]).any():
        raise ValueError(f"particle {in_order[:-1][in_order[1:] == in_order[:-1]][0]} is listed twice")
    properties = _properties(particles)
    ids, counts = np.unique(np.asarray(particle_id), return_counts=True)
    hits = _looked_up(listed, ids, counts)
    chosen = (particles["q"].to_numpy() != 0) & (hits >= min_hits) & (listed != 0)
    chosen_id = listed[chosen]
    found = table.particle_id[pure & (2 * table.n_common > table.n_particle)]
    pure_id, n_pure = np.unique(table.particle_id[pure], return_counts=True)

    # The best track of a particle comes first among its tracks; the others are its duplicates.
    by_particle = np.lexsort((table.track_id, -table.n_common, table.particle_id, ~pure))[: pure.sum()]
    duplicate = np.zeros(len(pure), dtype=np.bool_)
    again = table.particle_id[by_particle[1:]] == table.particle_id[by_particle[:-1]]
    duplicate[by_particle[1:][again]] = True

    of_track = {name: np.full(len(pure), np.nan) for name in properties}
    rows = _looked_up(table.particle_id, in_order, order, missing=-1)
    rows[table.particle_id == 0] = -1
    for name, values in properties.items():
        of_track[name][rows >= 0] = values[rows[rows >= 0]]
    return Matching(
        particles={name: values[chosen] for name, values in properties.items()}
        | {"hits": hits[chosen].astype(np.float64)},
        particle_id=chosen_id,
        found=np.isin(chosen_id, found),
        split=_looked_up(chosen_id, pure_id, n_pure) >= 2,
        tracks=of_track | {"hits": table.n_hits.astype(np.float64)},
        table=table,
        fake=~pure,
        duplicate=duplicate,
    )


def efficiency_curves(matching: Matching, edges: Mapping[str, ArrayLike] = DEFAULT_EDGES) -> dict[str, Curve]:
    """Return the share of reconstructible particles that were found, against their properties.

    Parameters
    ----------
    matching : Matching
        Of one event; add the curves of several with `sum_curves`.
    edges : mapping of str to array of float
        Rising edges of bins for any of `pt`, `eta`, `radius` and `hits`.

    Returns
    -------
    dict of str to Curve
        One for each key of `edges`.

    Raises
    ------
    ValueError
        If edges do not rise.
    KeyError
        If a key is no property.
    """
    return _curves(matching.particles, matching.found, edges)


def split_curves(matching: Matching, edges: Mapping[str, ArrayLike] = DEFAULT_EDGES) -> dict[str, Curve]:
    """Return the share of reconstructible particles with several pure tracks; see `efficiency_curves`."""
    return _curves(matching.particles, matching.split, edges)


def fake_curves(matching: Matching, edges: Mapping[str, ArrayLike] = DEFAULT_EDGES) -> dict[str, Curve]:
    """Return the share of counted tracks that are fakes, against the properties of their majority particles.

    Against `hits`, the number of hits of the track; see `efficiency_curves` for the arguments.
    """
    return _curves(matching.tracks, matching.fake, edges)


def duplicate_curves(matching: Matching, edges: Mapping[str, ArrayLike] = DEFAULT_EDGES) -> dict[str, Curve]:
    """Return the share of counted tracks that are duplicates; see `fake_curves`."""
    return _curves(matching.tracks, matching.duplicate, edges)


def overall_rates(matching: Matching) -> dict[str, Curve]:
    """Return the rates of all particles and tracks, each a curve of one bin without ends.

    Returns
    -------
    dict of str to Curve
        Keys `efficiency`, `split`, `fake` and `duplicate`; to be added over events with `sum_curves`.
    """
    edges = np.array([-np.inf, np.inf])
    rates = {}
    for name in ("efficiency", "split", "fake", "duplicate"):
        passes: BoolArray = matching.found if name == "efficiency" else getattr(matching, name)
        rates[name] = Curve(edges, np.array([np.count_nonzero(passes)]), np.array([passes.size]))
    return rates


def sum_curves(curves: Iterable[Mapping[str, Curve]]) -> dict[str, Curve]:
    """Return the curves of all events together, key by key.

    Raises
    ------
    ValueError
        If there are none, or keys or edges differ.
    """
    total: dict[str, Curve] = {}
    for number, event in enumerate(curves):
        if number and event.keys() != total.keys():
            raise ValueError(f"curves of {sorted(total)} and {sorted(event)} cannot be added")
        total = {name: total[name] + curve if number else curve for name, curve in event.items()}
    if not total:
        raise ValueError("there are no curves to add")
    return total


def track_quality(matching: Matching) -> TrackQuality:
    """Return purity and completeness of every counted track of an event."""
    table = matching.table
    common = np.where(table.particle_id != 0, table.n_common, 0)
    return TrackQuality(common / table.n_hits, common / table.n_particle)


def _properties(particles: pd.DataFrame) -> dict[str, FloatArray]:
    columns = ("px", "py", "pz", "vx", "vy")
    px, py, pz, vx, vy = (particles[name].to_numpy().astype(np.float64) for name in columns)
    pt = np.hypot(px, py)
    # Along the beam the pseudorapidity is infinite, at rest it is not defined; both are outside all bins.
    with np.errstate(divide="ignore", invalid="ignore"):
        eta = np.arcsinh(pz / pt)
    return {"pt": pt, "eta": eta, "radius": np.hypot(vx, vy)}


def _looked_up(wanted: IntArray, ids: NDArray[Any], values: NDArray[Any], missing: int = 0) -> IntArray:
    """Return the value of each wanted id from a table with rising ids."""
    found = np.full(len(wanted), missing, dtype=np.int64)
    if len(ids):
        places = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        known = ids[places] == wanted
        found[known] = values[places[known]]
    return found


def _curves(
    properties: Mapping[str, FloatArray], passes: BoolArray, edges: Mapping[str, ArrayLike]
) -> dict[str, Curve]:
    curves = {}
    for name, given in edges.items():
        values, bins = properties[name], np.asarray(given, dtype=np.float64)
        if bins.ndim != 1 or len(bins) < 2 or not (np.diff(bins) > 0).all():
            raise ValueError(f"the edges of {name} must rise, got {bins}")
        total, _ = np.histogram(values[np.isfinite(values)], bins)
        passed, _ = np.histogram(values[passes & np.isfinite(values)], bins)
        curves[name] = Curve(bins, passed.astype(np.int64), total.astype(np.int64))
    return curves
