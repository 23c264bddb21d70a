"""The TrackML metrics: weights of hits, the score of an event, and the score of accuracy and time.

Rules and numbers are those of the official code, trackml-library at commit 53a165e
(https://github.com/LAL/trackml-library), and of the two phases' papers: accuracy, arXiv:1904.06778, and
throughput, arXiv:2105.01160. The kernels take aligned arrays, one entry per hit; `event_weights` and
`score_event` take the published tables as data frames.

Units are mm and GeV/c. A particle id is 0 for noise; else it is a 64-bit field whose bits 24 to 35, the
generation, are zero for primary particles only.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import DataError, InvalidSubmission
from hepchallenge.scoring.events import EventScore
from hepchallenge.scoring.groups import buckets, group_rows, group_totals, small_numbers

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SecondsPerEvent",
    "TrackMLAccuracy",
    "TrackMLAccuracyPhase2",
    "TrackMLThroughput",
    "drop_hits",
    "event_score",
    "event_weights",
    "hit_weights",
    "is_secondary",
    "order_matrix",
    "order_weights",
    "pt_weight",
    "random_solution",
    "score_event",
    "shuffle_hits",
    "throughput_score",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Weights = NDArray[np.float32] | NDArray[np.float64]

# The relative worth of hits along a track: both ends matter more than the middle.
_PROFILE = (10.0, 8.0, 6.0, 5.0, 3.0, 3.0, 3.0, 5.0, 6.0)
_MIN_HITS = 4
_MAX_HITS = 20
_SECONDS_CAP = 600.0


def order_weights(n_hits: int) -> FloatArray:
    """Return the weights of the hits of one particle by their order along the track, innermost first.

    The nine-point profile 10, 8, 6, 5, 3, 3, 3, 5, 6 is stretched over the hits, interpolated linearly
    and divided by its sum.

    Parameters
    ----------
    n_hits : int
        Hits of the particle, not negative.

    Returns
    -------
    array of float64, shape (n_hits,)
        Sums to 1; all zero for fewer than 4 hits. With more than 20 hits, the first 20 have the weights
        of a particle of 20 hits and the others none.

    Raises
    ------
    ValueError
        If `n_hits` is negative.

    Examples
    --------
    >>> order_weights(5) * 28
    array([10.,  6.,  3.,  3.,  6.])
    """
    if n_hits < 0:
        raise ValueError(f"order_weights: n_hits must not be negative, got {n_hits}")
    weights = np.zeros(n_hits)
    if n_hits >= _MIN_HITS:
        counted = min(n_hits, _MAX_HITS)
        positions = np.linspace(0, counted - 1, len(_PROFILE))
        shape = np.interp(np.arange(counted), positions, _PROFILE)
        weights[:counted] = shape / shape.sum()
    return weights


@functools.cache
def order_matrix() -> FloatArray:
    """Return the order weights of all hits of all particles of up to 20 hits.

    Returns
    -------
    array of float64, shape (21, 21), read-only
        Element (n_hits, index): what `order_weights` gives for the hit of that index, counted from 0;
        zero for index >= n_hits, and so in all of the last column.
    """
    matrix = np.zeros((_MAX_HITS + 1, _MAX_HITS + 1))
    for n_hits in range(_MAX_HITS + 1):
        matrix[n_hits, :n_hits] = order_weights(n_hits)
    matrix.flags.writeable = False
    return matrix


def pt_weight(pt: ArrayLike) -> FloatArray:
    """Return the weights of particles by their transverse momentum at production.

    0 below 0.05 GeV/c, 0.2 from there to 0.5, rising linearly to 1 at 3 and staying there.

    Parameters
    ----------
    pt : array of float
        Transverse momenta in GeV/c; NaN gives NaN.

    Returns
    -------
    array of float64, of the shape of `pt`
        From 0 to 1.

    Examples
    --------
    >>> pt_weight([0.04, 0.05, 0.5, 1.75, 3.0, 50.0])
    array([0. , 0.2, 0.2, 0.6, 1. , 1. ])
    """
    momenta = np.asarray(pt, dtype=np.float64)
    return np.asarray(np.interp(momenta, (0.05, 0.5, 3.0), (0.2, 0.2, 1.0), left=0.0))


def is_secondary(particle_id: ArrayLike) -> BoolArray:
    """Return whether the generation of each particle id is not zero; noise, id 0, is not secondary."""
    generation: BoolArray = (_integers("particle_id", particle_id) >> 24) & 0xFFF != 0
    return generation


def hit_weights(
    particle_id: ArrayLike,
    tz: ArrayLike,
    particles_id: ArrayLike,
    vz: ArrayLike,
    px: ArrayLike,
    py: ArrayLike,
    nhits: ArrayLike,
    phase: int = 1,
) -> FloatArray:
    """Return the weight of every hit of an event in the accuracy phase (1) or the throughput phase (2).

    A weight is the product of an order weight (`order_weights`) and a momentum weight (`pt_weight` at
    production), divided by the sum over the event. The place of a hit in the order is the rank of
    ``abs(tz - vz)`` among the hits of its particle; hits at one distance share the mean of their ranks,
    rounded down. The number of hits is the `nhits` of the particle, even if fewer are in the event.
    Phase 2 sets the weights of secondary particles to zero before the sum is taken.

    Parameters
    ----------
    particle_id : array of integers, shape (n_hits,)
        The particle of each hit. Hits of particle 0 and of particles that are not listed weigh nothing.
    tz : array of float, shape (n_hits,)
        True z of each hit in mm, finite.
    particles_id : array of integers, shape (n_particles,)
        The listed particles, each once.
    vz, px, py : arrays of float, shape (n_particles,)
        z of the production vertex in mm, momentum at production in GeV/c. Differences and transverse
        momenta are computed in the precision given, single in the published files, as the official
        code does; that decides which hits are at one distance.
    nhits : array of integers, shape (n_particles,)
        Hits of each particle.
    phase : {1, 2}, default 1

    Returns
    -------
    array of float64, shape (n_hits,)
        Not negative, summing to 1.

    Raises
    ------
    ValueError
        If shapes or types are wrong, a particle is listed twice, a `tz` or momentum is not finite, a
        particle with at least 4 `nhits` has more hits in the event than these, or no hit weighs anything.

    Notes
    -----
    Differs from the official code in two cases that its data do not have: a listed particle 0 weighs
    nothing here, and where no hit weighs anything it returns NaN.
    """
    if phase not in (1, 2):
        raise ValueError(f"hit_weights: phase must be 1 or 2, got {phase!r}")
    hit_particle = _integers("particle_id", particle_id)
    listed = _integers("particles_id", particles_id)
    nhits_listed = _integers("nhits", nhits, listed.shape)
    z, origin = _floats("tz", tz, hit_particle.shape), _floats("vz", vz, listed.shape)
    pt = np.hypot(_floats("px", px, listed.shape), _floats("py", py, listed.shape))
    if z.dtype != origin.dtype:
        z, origin = z.astype(np.float64), origin.astype(np.float64)
    of_particle = pt_weight(pt)
    of_particle[(nhits_listed < _MIN_HITS) | (listed == 0)] = 0.0
    if phase == 2:
        of_particle[is_secondary(listed)] = 0.0

    # The list of particles goes before the hits, so that the first row of a group names the particle.
    groups = group_rows(np.concatenate((listed, hit_particle)))
    head, sizes = groups.first, groups.sizes
    is_listed = head < len(listed)
    if np.count_nonzero(is_listed) != len(listed):
        raise ValueError(f"hit_weights: particle {_doubled(listed)} is listed twice")
    head, starts, sizes = head[is_listed], groups.starts[is_listed], sizes[is_listed]
    counts = np.where(of_particle[head] > 0, sizes - 1, 0)
    begins = np.cumsum(counts) - counts
    # From here on, a place is one of a hit that can weigh something, particle after particle.
    group = np.repeat(np.arange(len(head)), counts)
    places = np.arange(len(group))
    hit = groups.rows.take(places + (starts + 1 - begins).take(group)) - len(listed)
    order, tied = _sort_within(group, np.abs(z.take(hit) - origin[head].take(group)))
    rank = places - begins.take(group)
    if tied.any():
        # Hits at one distance share the middle of their first and last rank, rounded down.
        first = np.flatnonzero(~tied)
        length = np.diff(first, append=len(places))
        rank = np.repeat(rank[first] + (length - 1) // 2, length)
    expected = nhits_listed[head]
    if (counts > expected).any():
        too_many = (rank >= expected[group]) & (expected[group] < _MAX_HITS)
        if too_many.any():
            row = int(head[group[np.argmax(too_many)]])
            raise ValueError(
                f"hit_weights: particle {listed[row]} has more hits in the event "
                f"than its nhits of {nhits_listed[row]}"
            )
    matrix = order_matrix()
    line = np.minimum(expected, _MAX_HITS) * matrix.shape[1]
    in_order = matrix.ravel().take(line.take(group) + np.minimum(rank, _MAX_HITS))
    weights = np.zeros(len(hit_particle))
    weights[hit.take(order)] = in_order * of_particle[head].take(group)
    total = weights.sum()
    if not total > 0:
        raise ValueError(
            f"hit_weights: none of the {len(weights)} hits weighs anything; no particle of phase {phase} "
            "has 4 or more hits and a transverse momentum of 0.05 GeV/c or more"
        )
    weights /= total
    return weights


def event_weights(truth: pd.DataFrame, particles: pd.DataFrame, phase: int = 1) -> FloatArray:
    """Return the weights of the hits of an event from its published tables.

    Parameters
    ----------
    truth : DataFrame
        Columns `particle_id` and `tz`, one row per hit.
    particles : DataFrame
        Columns `particle_id`, `vz`, `px`, `py` and `nhits`, one row per particle.
    phase : {1, 2}, default 1

    Returns
    -------
    array of float64, one entry per row of `truth`, in its order
        As `hit_weights` gives.

    Raises
    ------
    ValueError
        As `hit_weights` does.
    """
    return hit_weights(
        truth["particle_id"].to_numpy(),
        truth["tz"].to_numpy(),
        particles["particle_id"].to_numpy(),
        particles["vz"].to_numpy(),
        particles["px"].to_numpy(),
        particles["py"].to_numpy(),
        particles["nhits"].to_numpy(),
        phase,
    )


def event_score(particle_id: ArrayLike, weight: ArrayLike, track_id: ArrayLike) -> float:
    """Return the TrackML score of one event: the share of weight on well found tracks.

    A track is a set of hits of one track id; its majority particle has the most hits in it. The track
    counts if its majority particle has more than half of the track's hits and the track has more than
    half of the particle's hits in the event. Of a track that counts, the hits of the majority particle
    add their weights to the score, which is divided by the weight of all hits.

    Parameters
    ----------
    particle_id : array of integers, shape (n_hits,)
        True particle of each hit, 0 for noise.
    weight : array of float, shape (n_hits,)
        Finite, not negative. Summed in double precision; need not sum to 1.
    track_id : array of integers, shape (n_hits,)
        The track that each hit was put into, not negative. 0 is a track as any other.

    Returns
    -------
    float
        From 0 to 1, higher is better. Exact answers give 1 up to rounding; one track for all hits, or one
        for each hit, give 0 with the official weights.

    Raises
    ------
    ValueError
        If shapes or types are wrong, a track id is negative, or the weights do not sum to a positive
        number.

    Notes
    -----
    Where particles have equally many hits in a track, the official code takes the smallest particle id;
    no such track counts, so the score does not depend on it. Noise may be the majority, and then counts
    with its weight, which is 0 in all published events.

    Examples
    --------
    >>> event_score([7, 7, 7, 7, 9, 9, 9, 9], [1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2, 0, 0])
    0.375
    """
    particles = _integers("particle_id", particle_id)
    weights = _wide(np.asarray(weight))
    tracks = _integers("track_id", track_id, particles.shape)
    if weights.shape != particles.shape:
        raise ValueError(f"weight must have the shape {particles.shape} of particle_id, got {weights.shape}")
    if tracks.size and tracks.min() < 0:
        row = int(np.argmin(tracks))
        raise ValueError(f"track_id must not be negative, got {tracks[row]} in row {row}")
    if weights.size and not weights.min() >= 0:
        row = int(np.flatnonzero(~(weights >= 0))[0])
        raise ValueError(f"weight must not be negative, got {weights[row]} in row {row}")
    return _score(particles, weights, tracks)


def score_event(truth: pd.DataFrame, submission: pd.DataFrame) -> float:
    """Return the TrackML score of one event from the published truth and a table of tracks.

    It gives what `score_event` of trackml-library gives; see `event_score` for the rule.

    Parameters
    ----------
    truth : DataFrame
        Columns `hit_id`, `particle_id` and `weight`; every hit of the event once.
    submission : DataFrame
        Columns `hit_id` and `track_id`, in any order of the rows. A hit that is missing is a track of its
        own, as in the official code.

    Returns
    -------
    float
        From 0 to 1, higher is better.

    Raises
    ------
    InvalidSubmission
        If a hit is submitted twice (the official code stops as well), a hit is not in the event (the
        official code ignores it), a track id is negative (the official code loses count of the tracks), or
        an id is not an integer.
    DataError
        If the truth lists a hit twice or its weights do not sum to a positive number.
    """
    hits = _integers("hit_id", truth["hit_id"].to_numpy())
    particles = _integers("particle_id", truth["particle_id"].to_numpy())
    try:
        submitted = _integers("hit_id", submission["hit_id"].to_numpy())
        tracks = _integers("track_id", submission["track_id"].to_numpy(), submitted.shape)
    except ValueError as error:
        raise InvalidSubmission(str(error)) from None
    if tracks.size and tracks.min() < 0:
        row = int(np.argmin(tracks))
        raise InvalidSubmission(f"hit {submitted[row]}: track_id must not be negative, got {tracks[row]}")
    weights = _wide(truth["weight"].to_numpy())
    try:
        return _score(particles, weights, _in_order_of(hits, submitted, tracks))
    except ValueError as error:
        raise DataError("truth", "weight", "a positive finite sum", str(error)) from None


def throughput_score(accuracy: float, seconds: float) -> float:
    """Return the score of the throughput phase from the mean accuracy and the mean time per event.

    ``sqrt(ln(1 + 600 / seconds) * (accuracy - 0.5)**2)``, natural logarithm, for an accuracy of at least
    0.5. Higher is better; without an upper end, since it grows slowly as the time goes to zero.

    Parameters
    ----------
    accuracy : float
        Mean of `event_score` over the events, with the weights of phase 2.
    seconds : float
        Mean wall-clock time per event in s.

    Returns
    -------
    float
        -1 for a time of zero or less or of more than 600 s, whatever the accuracy; else 0 for an accuracy of
        at most 0.5.

    Raises
    ------
    ValueError
        If an argument is NaN, or the accuracy is infinite.

    Examples
    --------
    >>> round(throughput_score(0.944, 0.56), 4)
    1.1728
    """
    if not math.isfinite(accuracy) or math.isnan(seconds):
        raise ValueError(f"throughput_score: got accuracy {accuracy!r} and seconds {seconds!r}")
    if not 0 < seconds <= _SECONDS_CAP:
        return -1.0
    if accuracy <= 0.5:
        return 0.0
    return (accuracy - 0.5) * math.sqrt(math.log1p(_SECONDS_CAP / seconds))


def random_solution(n_hits: int, n_tracks: int, rng: np.random.Generator) -> IntArray:
    """Return a random track id from 1 to `n_tracks` for each hit: a reference that scores about 0."""
    return rng.integers(1, n_tracks + 1, size=n_hits, dtype=np.int64)


def drop_hits(particle_id: ArrayLike, probability: float, rng: np.random.Generator) -> IntArray:
    """Return the exact tracks, except that every hit may have been made a track of its own.

    Parameters
    ----------
    particle_id : array of integers, shape (n_hits,)
        True particle of each hit; noise is taken as a particle.
    probability : float
        Of each hit to be dropped from its track, independently.
    rng : numpy.random.Generator

    Returns
    -------
    array of int64, shape (n_hits,)
        Track ids from 1 upwards without gaps, in random order.
    """
    particles = _integers("particle_id", particle_id)
    dropped = rng.random(particles.size) < probability
    own_track = np.where(dropped, np.arange(1, particles.size + 1), 0)
    return _renumbered(group_rows(np.where(dropped, 0, particles), own_track).numbers, rng)


def shuffle_hits(particle_id: ArrayLike, probability: float, rng: np.random.Generator) -> IntArray:
    """Return the exact tracks, except that every hit may have gone to the track of a random particle.

    Parameters
    ----------
    particle_id : array of integers, shape (n_hits,)
        True particle of each hit; noise is taken as a particle.
    probability : float
        Of each hit to be given to a particle of the event, each equally likely, its own included.
    rng : numpy.random.Generator

    Returns
    -------
    array of int64, shape (n_hits,)
        Track ids from 1 upwards, in random order.
    """
    numbers = group_rows(_integers("particle_id", particle_id)).numbers
    moved = rng.random(numbers.size) < probability
    numbers[moved] = rng.integers(0, numbers.max(initial=0) + 1, size=np.count_nonzero(moved))
    return _renumbered(numbers, rng)


class TrackMLAccuracy(EventScore):
    """Mean of `event_score` over the events, with the weights of the truth as published.

    From 0 to 1, higher is better: the official score of the accuracy phase. Every event counts the same,
    however many hits it has; published weights need not sum to 1.
    """

    def __init__(self, name: str = "accuracy", precision: int = 4) -> None:
        super().__init__(name, precision)

    def score_event(self, truth: Any, prediction: NDArray[Any]) -> float:
        """Return the score of one event.

        Parameters
        ----------
        truth
            With a data frame `truth` of the columns `particle_id` and `weight`, one row per hit.
        prediction : array of integers, shape (n_hits,)
            Track ids in the order of the hits, not negative.

        Raises
        ------
        InvalidSubmission
            If the track ids are not as said.
        DataError
            If the weights do not sum to a positive number.
        """
        particles = _integers("particle_id", truth.truth["particle_id"].to_numpy())
        tracks = np.asarray(prediction)
        if tracks.shape != particles.shape or tracks.dtype.kind not in "iu":
            raise InvalidSubmission(
                f"expected one integer track id for each of {particles.size} hits, "
                f"found {tracks.dtype} of shape {tracks.shape}"
            )
        if tracks.size and int(tracks.min()) < 0:
            raise InvalidSubmission(f"track ids must not be negative, found {tracks.min()}")
        try:
            return _score(particles, self.weights(truth), tracks.astype(np.int64, copy=False))
        except ValueError as error:
            raise DataError("truth", "weight", "a positive finite sum", str(error)) from None

    def weights(self, truth: Any) -> Weights:
        """Return the weights that the hits of an event have in this score."""
        return _wide(truth.truth["weight"].to_numpy())


class TrackMLAccuracyPhase2(TrackMLAccuracy):
    """Mean of `event_score` over the events, with weights on primary particles only.

    From 0 to 1, higher is better: the accuracy that enters the score of the throughput phase. Published
    weights are used as they are if they are zero for all secondary particles; otherwise weights are
    computed from the truth and the list of particles by the rules of phase 2 (`hit_weights`).
    """

    def weights(self, truth: Any) -> Weights:
        """Return the weights of phase 2 of the hits of an event."""
        published = super().weights(truth)
        secondary = is_secondary(truth.truth["particle_id"].to_numpy())
        if not published[secondary].any():
            return published
        return event_weights(truth.truth, truth.particles, phase=2)


class TrackMLThroughput(TrackMLAccuracyPhase2):
    """Accuracy of phase 2 and mean time per event in one number: `throughput_score`.

    From -1 to infinity, higher is better. Without measured times, as under `ramp-test` or for a file of
    predictions, the value is NaN.
    """

    minimum = -1.0
    maximum = math.inf
    needs_seconds = True

    def __init__(self, name: str = "throughput", precision: int = 4) -> None:
        super().__init__(name, precision)

    def combine(self, event_scores: FloatArray, seconds: FloatArray | None) -> float:
        """Return the score of the mean accuracy and the mean time of the events."""
        if seconds is None:
            return math.nan
        return throughput_score(super().combine(event_scores, seconds), math.fsum(seconds) / len(seconds))


class SecondsPerEvent(EventScore):
    """Mean wall-clock seconds per event; lower is better, from 0 upwards.

    Without measured times the value is NaN. What was predicted does not matter.
    """

    is_lower_the_better = True
    minimum = 0.0
    maximum = math.inf
    needs_seconds = True

    def __init__(self, name: str = "seconds_per_event", precision: int = 3) -> None:
        super().__init__(name, precision)

    def score_event(self, truth: Any, prediction: NDArray[Any]) -> float:
        """Return 0: an event's answer adds nothing to its time."""
        return 0.0

    def combine(self, event_scores: FloatArray, seconds: FloatArray | None) -> float:
        """Return the mean of the times."""
        return math.nan if seconds is None else math.fsum(seconds) / len(seconds)


def _score(particles: IntArray, weights: Weights, tracks: IntArray) -> float:
    """Score of arrays of one length; negative track ids are tracks as well."""
    total = float(weights.sum(dtype=np.float64))
    if not 0 < total < math.inf:
        raise ValueError(f"the weights of the {weights.size} hits sum to {total}")
    track = small_numbers(tracks)
    size = np.bincount(track)
    majority, common = np.zeros(len(size), dtype=np.int64), np.zeros(len(size), dtype=np.int64)
    own = _find_majorities(particles, track, size, size, majority, common)
    pure = np.flatnonzero(common)
    elsewhere = particles.take(np.flatnonzero(~own))
    good = np.zeros(len(size), dtype=np.bool_)
    good[pure] = _have_more_than_half(majority[pure], common[pure], elsewhere)
    own &= good.take(track)
    return float(weights.sum(dtype=np.float64, where=own)) / total


def _find_majorities(
    particles: IntArray,
    track: IntArray,
    left: IntArray,
    size: IntArray,
    majority: IntArray,
    common: IntArray,
    guess: bool = True,
) -> BoolArray:
    """Find the particle of more than half of the hits of a track, for all tracks that have one.

    `particles` and `track` are the hits that may still be of such particles, `left` of the `size` of each
    track. Writes the particle and the number of its hits on the track into `majority` and `common`, and
    returns which of the given hits these are.
    """
    if not guess:
        pairs = group_rows(particles, track)
        half = 2 * pairs.sizes > size[track[pairs.first]]
        first = pairs.first[half]
        majority[track[first]] = particles[first]
        common[track[first]] = pairs.sizes[half]
        own: BoolArray = np.empty(len(track), dtype=np.bool_)
        own[pairs.rows] = np.repeat(half, pairs.sizes)
        return own
    # Any one hit of a track mostly tells its particle. Guessing from one, then from those that it does not
    # fit, spares sorting most hits of a good answer.
    majority[track] = particles
    own = particles == majority.take(track)
    others = np.flatnonzero(~own)
    track_of_others = track.take(others)
    other = np.bincount(track_of_others, minlength=len(size))
    fitting = left - other
    won = 2 * fitting > size
    np.copyto(common, fitting, where=won)
    own &= won.take(track)
    rows = others[(2 * other > size).take(track_of_others)]
    if len(rows):
        again = 4096 < len(rows) <= len(track) // 2
        own[rows] = _find_majorities(particles[rows], track[rows], other, size, majority, common, again)
    return own


def _have_more_than_half(particles: IntArray, hits: IntArray, elsewhere: IntArray) -> BoolArray:
    """Whether each count of hits is more than half of the hits of its particle.

    A particle may be there several times; it has these hits, and one for each time that it is `elsewhere`.
    """
    n = len(particles)
    ids = np.concatenate((particles, elsewhere))
    amounts = np.concatenate((hits, np.ones(len(elsewhere), dtype=np.int64)))
    # The sum over a bucket of particles is a bound that settles most; only the others are told apart.
    bucket = buckets(ids, 16)
    bound = np.bincount(bucket, amounts, minlength=1 << 16)
    enough: BoolArray = 2 * hits > bound[bucket[:n]]
    unsettled = np.zeros(1 << 16, dtype=np.bool_)
    unsettled[bucket[:n][~enough]] = True
    rows = np.flatnonzero(unsettled.take(bucket))
    asked = rows[: np.searchsorted(rows, n)]
    enough[asked] = 2 * hits[asked] > group_totals(ids[rows], amounts[rows])[: len(asked)]
    return enough


def _in_order_of(hits: IntArray, submitted: IntArray, tracks: IntArray) -> IntArray:
    """Return the track ids in the order of the hits; each missing hit is a track of a negative id."""
    n = len(hits)
    rising = bool((hits[1:] > hits[:-1]).all())
    if rising and n == len(submitted) and bool((hits == submitted).all()):
        return tracks
    if rising and n and int(hits[-1]) - int(hits[0]) == n - 1:
        # Published ids count from 1 on and so are numbers of rows.
        rows = submitted - hits[0]
        rows[(submitted < hits[0]) | (submitted > hits[-1])] = -1
    else:
        codes = group_rows(np.concatenate((hits, submitted))).numbers
        row_of = np.full(n + len(submitted), -1)
        row_of[codes[:n]] = np.arange(n)
        if np.count_nonzero(row_of >= 0) != n:
            raise DataError("truth", "hit_id", "every hit once", f"hit {_doubled(hits)} twice")
        rows = row_of[codes[n:]]
    if rows.size and rows.min() < 0:
        raise InvalidSubmission(f"hit {submitted[int(np.argmin(rows))]} is not a hit of this event")
    ordered = np.arange(-1, -1 - n, -1)
    ordered[rows] = tracks
    if np.count_nonzero(ordered >= 0) != len(rows):
        raise InvalidSubmission(f"hit {_doubled(submitted)} is submitted twice")
    return ordered


def _doubled(ids: IntArray) -> int:
    """Return the smallest id that is there more than once."""
    ordered = np.sort(ids)
    return int(ordered[np.flatnonzero(ordered[1:] == ordered[:-1])[0]])


def _sort_within(
    group: IntArray, distance: NDArray[np.float32] | NDArray[np.float64]
) -> tuple[IntArray, BoolArray]:
    """Sort entries by distance within their groups, which stand one after the other, numbered upwards.

    Returns the order, and for each place in it whether its distance is that of the place before, in the
    same group.
    """
    n = len(group)
    tied = np.zeros(n, dtype=np.bool_)
    row_bits = n.bit_length()
    group_bits = int(group[-1]).bit_length() if n else 0
    if distance.dtype == np.float32 and group_bits + 31 + row_bits <= 64:
        # Bits of a single-precision number that is not negative rise with it; group, distance and row in one
        # word are sorted several times faster than indices.
        word = group.view(np.uint64) << np.uint64(31)
        word |= distance.view(np.uint32)
        word <<= np.uint64(row_bits)
        word |= np.arange(n, dtype=np.uint64)
        word.sort()
        order = (word & np.uint64((1 << row_bits) - 1)).view(np.int64)
        word >>= np.uint64(row_bits)
        np.equal(word[1:], word[:-1], out=tied[1:])
    else:
        order = np.lexsort((distance, group))
        ordered = distance[order]
        tied[1:] = (ordered[1:] == ordered[:-1]) & (group[1:] == group[:-1])
    return order, tied


def _renumbered(numbers: IntArray, rng: np.random.Generator) -> IntArray:
    """Return group numbers from 0 on as track ids from 1 on, shuffled."""
    return rng.permutation(int(numbers.max(initial=-1)) + 1)[numbers] + 1


def _wide(weights: NDArray[Any]) -> Weights:
    """Return weights of single or double precision as they are, others in double precision."""
    return weights if weights.dtype == np.float32 else weights.astype(np.float64, copy=False)


def _integers(name: str, values: ArrayLike, shape: tuple[int, ...] | None = None) -> IntArray:
    array: NDArray[Any] = np.asarray(values)
    # An empty list has no type of its own.
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    if array.ndim != 1 or (shape is not None and array.shape != shape):
        raise ValueError(
            f"{name} must have {f'shape {shape}' if shape else 'one dimension'}, got {array.shape}"
        )
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be at most 2**63 - 1, got {array.max()}")
    return array.astype(np.int64, copy=False)


def _floats(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    array: NDArray[Any] = np.asarray(values)
    if array.dtype != np.float32:
        array = array.astype(np.float64, copy=False)
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, got {array[row]} in row {row}")
    return array
