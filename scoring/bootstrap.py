"""Poisson bootstrap: what a score would be on other samples of the same size, from the events at hand.

A replica of a sample counts every event a random number of times, of mean 1 and variance 1. The standard
deviation of a score over replicas estimates the one over samples (B. Efron, Ann. Statist. 7 (1979) 1;
with Poisson counts in place of drawing with replacement: J. A. Hanley and B. MacGibbon, Comput. Methods
Programs Biomed. 83 (2006) 57; N. Chamandy, O. Muralidharan, A. Najmi and S. Naidu, "Estimating uncertainty
for massive data streams", Google, 2012).

The count of an event in a replica is a function of a seed, the number of the event and the number of the
replica, and of nothing else, as in the ATLAS note ATL-PHYS-PUB-2021-011. Whatever is computed from the same
events, by whomever and on whatever subset, thus sees the same fluctuations, and two submissions are compared
pair by pair by subtracting their replicas.

A kernel gives the values of a score on replicas, without making the replicas: it is called with counts of
shape (n_rows, n_replicas) and returns an array of shape (n_replicas,), NaN where the score cannot be
computed.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.scoring.roc import RocCurve

__all__ = [
    "DEFAULT_REPLICAS",
    "AucKernel",
    "Counts",
    "FewRowsKernel",
    "Kernel",
    "MeanKernel",
    "RocKernel",
    "SumsKernel",
    "at_least_one_row",
    "seed_of",
    "standard_error",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CountArray = NDArray[np.uint8]

DEFAULT_REPLICAS = 1000

_WORD = 8
"""Replicas that one random word gives."""

# 94, 95, 46, 16, 4 and 1 of 256 values of a byte count 0, 1, 2, 3, 4 and 5 times. Poisson probabilities times
# 256 are 94.2, 94.2, 47.1, 15.7, 3.9, 0.9; these whole numbers make mean and variance exactly 1.
_FIRST_BYTES = np.array([94, 189, 235, 251, 255], dtype=np.uint8)

_GOLDEN = np.array(0x9E3779B97F4A7C15, dtype=np.uint64)
_FIRST_FACTOR = np.array(0xBF58476D1CE4E5B9, dtype=np.uint64)
_SECOND_FACTOR = np.array(0x94D049BB133111EB, dtype=np.uint64)

# What is worked on at once fits into a second-level cache.
_BYTES_AT_ONCE = 1 << 18
_BLOCK_BYTES = 1 << 25
_WIDEST = 128
_ROWS_AT_ONCE = 1024
_CELL = 32


def seed_of(*words: str) -> int:
    """Return a seed of 64 bits that differs whenever one of the words does."""
    return int.from_bytes(hashlib.sha256("\0".join(words).encode()).digest()[:8], "little")


class Counts:
    """How often each event counts in each replica.

    Parameters
    ----------
    seed : int
        Taken modulo 2**64.
    n_replicas : int, default 1000
        At least 0.

    Notes
    -----
    Random bytes come from SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, OOPSLA 2014): the numbers of
    the events pick values of its sequence that starts at the seed, and each of these starts a sequence of its
    own, of which a word gives eight replicas. A byte becomes a count by a table whose mean and variance are
    exactly 1. Compared with Poisson(1) no probability is off by more than 0.0043, the third central moment is
    63/64, not 1, and no count is above 5.
    """

    def __init__(self, seed: int, n_replicas: int = DEFAULT_REPLICAS) -> None:
        if n_replicas < 0:
            raise ValueError(f"the number of replicas must not be negative, got {n_replicas}")
        self.seed = seed % 2**64
        self.n_replicas = n_replicas

    def of(self, rows: ArrayLike, start: int = 0, stop: int | None = None) -> CountArray:
        """Return the counts of some events in the replicas from `start` up to `stop`.

        Parameters
        ----------
        rows : array of int, shape (n,)
            Numbers of the events, not negative, in any order.
        start, stop : int
            By default all replicas.

        Returns
        -------
        array of uint8, shape (n, stop - start)
        """
        last = self.n_replicas if stop is None else min(stop, self.n_replicas)
        numbers = np.asarray(rows).astype(np.uint64)
        if numbers.ndim != 1:
            raise ValueError(f"rows must have one dimension, got shape {numbers.shape}")
        first_word, end_word = start // _WORD, -(-last // _WORD)
        keys = _mixed(np.array(self.seed, dtype=np.uint64) + (numbers + np.uint64(1)) * _GOLDEN)
        steps = np.arange(first_word + 1, end_word + 1, dtype=np.uint64) * _GOLDEN
        counts = np.empty((len(keys), len(steps) * _WORD), dtype=np.uint8)
        many = max(1, _BYTES_AT_ONCE // max(1, counts.shape[1]))
        for begin in range(0, len(keys), many):
            words = _mixed(keys[begin : begin + many, np.newaxis] + steps)
            _count(words.astype("<u8", copy=False).view(np.uint8), counts[begin : begin + many])
        return counts[:, start - first_word * _WORD : last - first_word * _WORD]

    def blocks(self, n_rows: int) -> Iterator[tuple[int, CountArray]]:
        """Yield all counts of the events 0 to `n_rows`, so many replicas at a time that memory stays bounded.

        Yields
        ------
        start : int
            The first replica of the block.
        counts : array of uint8, shape (n_rows, n)
            At most 128 replicas, and 32 MiB unless eight replicas are more.
        """
        width = _BLOCK_BYTES // max(1, n_rows) // _WORD * _WORD
        width = min(max(width, _WORD), _WIDEST)
        rows = np.arange(n_rows)
        for start in range(0, self.n_replicas, width):
            yield start, self.of(rows, start, start + width)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble words in place."""
    spare = words >> np.uint64(30)
    words ^= spare
    words *= _FIRST_FACTOR
    np.right_shift(words, np.uint64(27), out=spare)
    words ^= spare
    words *= _SECOND_FACTOR
    np.right_shift(words, np.uint64(31), out=spare)
    words ^= spare
    return words


def _count(random: CountArray, counts: CountArray) -> None:
    """Turn random bytes into counts."""
    np.greater_equal(random, _FIRST_BYTES[0], out=counts.view(np.bool_))
    more = np.empty(random.shape, dtype=np.bool_)
    for first in _FIRST_BYTES[1:]:
        np.greater_equal(random, first, out=more)
        counts += more.view(np.uint8)


def at_least_one_row(counts: CountArray) -> CountArray:
    """Return counts in which a replica without any event counts every event once.

    Only small samples have such replicas: the probability is 0.37 to the power of the number of events, so
    that more than 64 events are not looked at.
    """
    if len(counts) > 64:
        return counts
    return np.where(counts.any(axis=0), counts, np.uint8(1))


def standard_error(replicas: ArrayLike) -> float | None:
    """Return the standard deviation of the finite ones of some replicas.

    Parameters
    ----------
    replicas : array of float, shape (n_replicas,)

    Returns
    -------
    float or None
        None if fewer than two, or fewer than half of them, are finite.
    """
    values = np.asarray(replicas, dtype=np.float64)
    finite = values[np.isfinite(values)]
    if len(finite) < 2 or 2 * len(finite) < len(values):
        return None
    return float(finite.std(ddof=1))


class Kernel(ABC):
    """Computes the values of one score on replicas of one sample.

    Attributes
    ----------
    nanoseconds : float
        What one row of one replica costs, roughly; it decides how many replicas are worth their time. A fixed
        number, not a measured one, so that the same replicas are computed everywhere.
    """

    nanoseconds: float = 1.0

    @abstractmethod
    def __call__(self, counts: CountArray) -> FloatArray:
        """Return the values on replicas, shape (n_replicas,), from counts of shape (n_rows, n_replicas)."""


class SumsKernel(Kernel):
    """A score that is a function of sums over events.

    Parameters
    ----------
    terms : array of float, shape (n_rows, n_sums) or (n_rows,)
        What each event adds to each sum.
    finish : callable
        Takes the sums, shape (n_sums, n_replicas), and returns the values, shape (n_replicas,).
    """

    nanoseconds = 1.5

    def __init__(self, terms: ArrayLike, finish: Callable[[FloatArray], FloatArray]) -> None:
        array = np.asarray(terms, dtype=np.float64)
        self._terms = array.reshape(len(array), -1)
        self._finish = finish

    def __call__(self, counts: CountArray) -> FloatArray:
        """Return the values on replicas."""
        sums = np.zeros((self._terms.shape[1], counts.shape[1]))
        for start in range(0, len(counts), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            sums += self._terms[some].T @ counts[some].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self._finish(sums), dtype=np.float64)


class MeanKernel(SumsKernel):
    """The mean over events of one number an event, such as an accuracy or a mean loss.

    Parameters
    ----------
    values : array of float, shape (n_rows,)
    """

    def __init__(self, values: ArrayLike) -> None:
        array = np.asarray(values, dtype=np.float64)
        super().__init__(np.column_stack((array, np.ones(len(array)))), lambda sums: sums[0] / sums[1])


class RocKernel(Kernel):
    """A score that is read off the ROC curve, whose vertices are sorted once for all replicas.

    Parameters
    ----------
    score : array of float, shape (n_rows,)
        Larger is more signal-like.
    is_signal : array of bool, shape (n_rows,)
    value : callable
        Takes a `RocCurve` and returns a number. The curve of a replica may have a vertex several times, and
        that of weighted rows does not know its `n_background`, which is NaN.
    weight : array of float, shape (n_rows,), optional
        How much each row counts; rows count alike without.
    nanoseconds : float, default 16
        See `Kernel`.
    """

    def __init__(
        self,
        score: ArrayLike,
        is_signal: ArrayLike,
        value: Callable[[RocCurve], float],
        weight: ArrayLike | None = None,
        nanoseconds: float = 16.0,
    ) -> None:
        scores, signal = np.asarray(score, dtype=np.float64), np.asarray(is_signal, dtype=np.bool_)
        order = np.argsort(scores)[::-1]
        falling = scores.take(order)
        ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
        self._order = order
        self._ends = None if len(ends) == len(order) else ends
        ordered = signal.take(order)
        # What each row adds to background and signal; of bytes if rows count alike.
        self._adds: tuple[NDArray[Any], NDArray[Any]] = (~ordered, ordered)
        self._is_weighted = weight is not None
        if weight is not None:
            weights = np.asarray(weight, dtype=np.float64).take(order)
            self._adds = (weights * ~ordered, weights * ordered)
        self._value = value
        self.nanoseconds = nanoseconds

    def __call__(self, counts: CountArray) -> FloatArray:
        """Return the values on replicas; NaN where signal or background is missing."""
        n_rows, n_replicas = counts.shape
        if not n_rows:
            return np.full(n_replicas, math.nan)
        # `take` copies what is not contiguous, whole, at every call.
        counts = np.ascontiguousarray(counts)
        ordered = np.empty((n_replicas, n_rows), dtype=np.uint8)
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            rows = self._order[start : start + _ROWS_AT_ONCE]
            ordered[:, start : start + _ROWS_AT_ONCE] = counts.take(rows, axis=0).T
        # Fresh memory for every sum would cost more than the sum.
        sums = np.empty((2, n_rows))
        shares = np.zeros((2, (n_rows if self._ends is None else len(self._ends)) + 1))
        return np.array([self._one(replica, sums, shares) for replica in ordered], dtype=np.float64)

    def _one(self, counts: CountArray, sums: FloatArray, shares: FloatArray) -> float:
        for running, adds in zip(sums, self._adds, strict=True):
            if self._is_weighted:
                np.cumsum(np.multiply(counts, adds, out=running), out=running)
            else:
                np.cumsum(counts * adds, dtype=np.float64, out=running)
        totals = sums[:, -1]
        if not (totals > 0).all():
            return math.nan
        n_background = math.nan if self._is_weighted else float(totals[0])
        for running, share in zip(sums, shares, strict=True):
            at_vertices = running if self._ends is None else running.take(self._ends)
            np.divide(at_vertices, running[-1], out=share[1:])
        return self._value(RocCurve(shares[0], shares[1], n_background))


class AucKernel(Kernel):
    """The area under the ROC curve of rows that count alike, several times faster than by `RocKernel`.

    Parameters
    ----------
    score : array of float, shape (n_rows,)
        Larger is more signal-like.
    is_signal : array of bool, shape (n_rows,)

    Notes
    -----
    The area is the share of pairs of signal and background in which signal has the larger score. Rows are cut
    into cells of neighbouring scores. Pairs within cells are counted for all cells at once, in small whole
    numbers; all other pairs are counted by cells. Where scores are equal, the area is the mean of that with
    signal taken for larger and that with background taken for larger.
    """

    nanoseconds = 3.0

    def __init__(self, score: ArrayLike, is_signal: ArrayLike) -> None:
        scores, signal = np.asarray(score, dtype=np.float64), np.asarray(is_signal, dtype=np.bool_)
        self._n_rows = len(scores)
        self._orders = [self._cells(np.lexsort((~signal, -scores)), signal)]
        if len(np.unique(scores)) < len(scores):
            self._orders.append(self._cells(np.lexsort((signal, -scores)), signal))
            self.nanoseconds = 6.0

    @staticmethod
    def _cells(order: NDArray[np.intp], signal: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
        """Return rows by place in their cell, and which of them are background and signal."""
        n_cells = -(-len(order) // _CELL)
        filled = np.zeros(n_cells * _CELL, dtype=np.intp)
        filled[: len(order)] = order
        flags = np.zeros((2, len(filled)), dtype=np.uint8)
        flags[0, : len(order)], flags[1, : len(order)] = ~signal[order], signal[order]
        rows = np.ascontiguousarray(filled.reshape(n_cells, _CELL).T)
        background, chosen = flags.reshape(2, n_cells, _CELL).transpose(0, 2, 1)[..., np.newaxis]
        return rows, background, chosen

    def __call__(self, counts: CountArray) -> FloatArray:
        """Return the values on replicas; NaN where signal or background is missing."""
        if not self._n_rows:
            return np.full(counts.shape[1], math.nan)
        counts = np.ascontiguousarray(counts)
        areas = [self._area(counts, *order) for order in self._orders]
        return np.asarray(np.mean(areas, axis=0), dtype=np.float64)

    @staticmethod
    def _area(
        counts: CountArray, rows: NDArray[np.intp], background: NDArray[Any], signal: NDArray[Any]
    ) -> FloatArray:
        shape = (rows.shape[1], counts.shape[1])
        signal_sum, background_sum, pairs = (np.zeros(shape, dtype=np.uint16) for _ in range(3))
        # So many cells at a time that they stay in the cache.
        step = max(1, _BYTES_AT_ONCE // 4 // shape[1])
        for begin in range(0, shape[0], step):
            cells = slice(begin, begin + step)
            # 32 rows count at most 160 times and make at most 6 400 pairs.
            of_signal, of_background, of_pairs = signal_sum[cells], background_sum[cells], pairs[cells]
            for place in range(_CELL):
                some = counts.take(rows[place, cells], axis=0)
                kept = (some * background[place, cells]).astype(np.uint16)
                of_background += kept
                kept *= of_signal
                of_pairs += kept
                of_signal += some * signal[place, cells]
        up_to = np.cumsum(signal_sum, axis=0, dtype=np.float64)
        totals = up_to[-1].copy(), background_sum.sum(axis=0, dtype=np.float64)
        up_to -= signal_sum
        up_to *= background_sum
        up_to += pairs
        with np.errstate(divide="ignore", invalid="ignore"):
            areas: FloatArray = up_to.sum(axis=0) / (totals[0] * totals[1])
        return areas


class FewRowsKernel(Kernel):
    """A score in which only some rows count, or in which one row stands for a group.

    Parameters
    ----------
    rows : array of int or of bool
        Which rows.
    kernel : Kernel
        Of these rows.
    """

    def __init__(self, rows: ArrayLike, kernel: Kernel) -> None:
        chosen = np.asarray(rows)
        self._rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        self._kernel = kernel
        self.nanoseconds = kernel.nanoseconds

    def __call__(self, counts: CountArray) -> FloatArray:
        """Return the values on replicas."""
        return self._kernel(at_least_one_row(counts.take(self._rows, axis=0)))
