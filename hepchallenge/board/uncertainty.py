"""What a finite sample says of an order: intervals of ranks, whether an order holds, and ties.

Scores are compared by their bootstrap replicas, which are paired: replica number r of every submission is
made from the same counts of the same events. What moves two scores together drops out of their difference.

Intervals of ranks follow M. Mogstad, J. P. Romano, A. M. Shaikh and D. Wilhelm, "Inference for Ranks with
Applications to Mobility across Neighbourhoods and Academic Achievement across Countries", Rev. Econ. Stud. 91
(2024) 476: all differences of two scores are tested at once, by the bootstrap distribution of the largest
studentised one, step by step; a rank can be as good as the number of those that are proven better allows, and
as bad as the number of those that are proven worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hepchallenge.board.ranking import RankedRow
    from hepchallenge.records import BoardEntry

__all__ = [
    "FEWEST_REPLICAS",
    "MOST_COMPARED",
    "ordered_pairs",
    "probabilities_to_hold",
    "rank_intervals",
    "tie_groups",
    "with_uncertainties",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MOST_COMPARED = 100
"""Only so many rows, the first ones, are compared: the number of pairs grows with the square."""

FEWEST_REPLICAS = 100
"""Fewer say nothing of a probability of a few per cent."""

# Squares of larger numbers overflow, and one absurd score would make all others ties.
_LARGEST = 1e100

# A difference that varies by less than this share of the scores varies by rounding alone.
_ROUNDING = 1e-10


def ordered_pairs(
    scores: FloatArray, replicas: FloatArray, lower_is_better: bool, confidence: float
) -> BoolArray:
    """Return which scores are proven better than which others, all at once.

    Parameters
    ----------
    scores : array of float, shape (n,)
    replicas : array of float, shape (n, n_replicas)
        All finite; replica r of all scores from the same counts of events.
    lower_is_better : bool
        The direction.
    confidence : float
        The probability that, of all that is said to be proven, nothing is wrong.

    Returns
    -------
    array of bool, shape (n, n)
        Element (i, j) tells whether score i is proven better than score j. Two scores whose difference does
        not vary from replica to replica are ordered by it, or are equal.

    Notes
    -----
    For every ordered pair the hypothesis is that i is not better than j. It is rejected if the difference,
    divided by its bootstrap standard deviation, is above the quantile `confidence` of the maximum, over all
    pairs that are not rejected yet, of the same ratio for replicas around their mean. This is done until
    nothing more is rejected, which bounds the probability of any wrong rejection by 1 - `confidence` (Romano
    and Wolf, J. Am. Stat. Assoc. 100 (2005) 94), as far as the bootstrap is right.
    """
    n = len(scores)
    sign = -1.0 if lower_is_better else 1.0
    first, second = np.triu_indices(n, 1)
    better = np.zeros((n, n), dtype=np.bool_)
    if not len(first):
        return better
    centred = sign * (replicas - replicas.mean(axis=1, keepdims=True))
    difference = sign * (scores[first] - scores[second])
    around = centred[first] - centred[second]
    error = np.sqrt((around**2).sum(axis=1) / (around.shape[1] - 1))
    size = np.maximum(np.abs(scores[first]), np.abs(scores[second]))
    varies = error > _ROUNDING * size
    ratio = np.where(np.abs(difference) > _ROUNDING * size, np.copysign(math.inf, difference), 0.0)
    np.divide(difference, error, out=ratio, where=varies)
    around[varies] /= error[varies, np.newaxis]
    # What does not vary is certain, and has no part in what chance can do.
    around[~varies] = 0.0
    up, down = np.zeros(len(first), dtype=np.bool_), np.zeros(len(first), dtype=np.bool_)
    while True:
        # Of a pair, each of both directions counts as long as it is not rejected.
        largest = np.maximum(around[~up].max(axis=0, initial=0.0), (-around[~down]).max(axis=0, initial=0.0))
        limit = float(np.quantile(largest, confidence, method="higher"))
        new_up, new_down = ratio > limit, -ratio > limit
        if (new_up == up).all() and (new_down == down).all():
            break
        up, down = new_up | up, new_down | down
    better[first, second] = up
    better[second, first] = down
    return better


def rank_intervals(better: BoolArray) -> list[tuple[int, int]]:
    """Return the best and the worst rank that each row can have.

    Parameters
    ----------
    better : array of bool, shape (n, n)
        What `ordered_pairs` gave.

    Returns
    -------
    list of (int, int)
        From 1 on. The true ranks, all of them at once, are within with at least the confidence of `better`.
    """
    n = len(better)
    proven_better, proven_worse = better.sum(axis=0), better.sum(axis=1)
    return [(1 + int(up), n - int(down)) for up, down in zip(proven_better, proven_worse, strict=True)]


def probabilities_to_hold(
    scores: FloatArray, replicas: FloatArray, lower_is_better: bool
) -> list[float | None]:
    """Return for each row how probable it is before the next one on another sample of the same size.

    It is the share of the replicas, shifted to have the scores as their means, in which it is; equal ones
    count one half. What is proven of the truth is another question, see `ordered_pairs`.

    Parameters
    ----------
    scores, replicas, lower_is_better
        As for `ordered_pairs`, in the order of the ranks; replicas may be NaN.

    Returns
    -------
    list of float or None
        One fewer than rows. None where fewer than half of the pairs of replicas are finite.
    """
    sign = -1.0 if lower_is_better else 1.0
    found: list[float | None] = []
    for row in range(len(scores) - 1):
        around = sign * (replicas[row] - replicas[row + 1])
        around = around[np.isfinite(around)]
        if 2 * len(around) < replicas.shape[1] or len(around) < FEWEST_REPLICAS:
            found.append(None)
            continue
        shift = sign * (scores[row] - scores[row + 1]) - around.mean()
        moved = around + shift
        size = _ROUNDING * max(abs(scores[row]), abs(scores[row + 1]))
        wins, draws = np.count_nonzero(moved > size), np.count_nonzero(np.abs(moved) <= size)
        found.append(float((wins + draws / 2) / len(moved)))
    return found


def tie_groups(better: BoolArray) -> list[int | None]:
    """Return the number of the group of rows within which no order is proven.

    From the first row on, each group takes the following rows as long as none of it is ordered with any
    other of it; then the next one begins.

    Parameters
    ----------
    better : array of bool, shape (n, n)
        What `ordered_pairs` gave, rows in the order of their ranks.

    Returns
    -------
    list of int or None
        From 1 on; None for a row that is alone.
    """
    n = len(better)
    groups: list[int | None] = [None] * n
    number = begin = 0
    while begin < n:
        end = begin + 1
        while end < n and not (better[begin:end, end].any() or better[end, begin:end].any()):
            end += 1
        if end - begin > 1:
            number += 1
            groups[begin:end] = [number] * (end - begin)
        begin = end
    return groups


def with_uncertainties(
    rows: Sequence[RankedRow],
    replicas: Callable[[BoardEntry, str], np.ndarray | None],
    part: str,
    lower_is_better: bool,
    confidence: float,
) -> list[RankedRow]:
    """Fill in intervals of ranks, probabilities and ties of the first `MOST_COMPARED` ranked rows.

    Parameters
    ----------
    rows
        Ranked ones first, in order.
    replicas
        Those of the official metric of an entry on a part, or None.
    part
        By which the rows are ranked.
    lower_is_better, confidence
        As for `ordered_pairs`.

    Returns
    -------
    list of RankedRow
        A row whose replicas are missing, fewer than `FEWEST_REPLICAS`, or not finite in more than half of
        the cases, is compared with none: it has no interval, and the intervals of the others leave room for
        it. So is one of which too few replicas are finite where those of the others are, or whose score is
        beyond 1e100. Where there are more than `MOST_COMPARED` rows, intervals are of ranks among the
        compared ones.
    """
    ranked = [row for row in rows if row.rank is not None][:MOST_COMPARED]
    known: dict[int, FloatArray] = {}
    for place, row in enumerate(ranked):
        found = replicas(row.entry, part)
        if found is not None and found.ndim == 1 and len(found) >= FEWEST_REPLICAS:
            values = np.asarray(found, dtype=np.float64)
            values = np.where(np.abs(values) <= _LARGEST, values, np.nan)
            if abs(row.value or 0.0) > _LARGEST:
                continue
            if 2 * np.count_nonzero(np.isfinite(values)) >= len(values):
                known[place] = values
    if not known:
        return list(rows)
    # Replica r is the same sample whatever their number is, so that the first ones of all are paired.
    common = min(map(len, known.values()))
    table = np.full((len(ranked), common), np.nan)
    for place, values in known.items():
        table[place] = values[:common]
    scores = np.array([row.value for row in ranked], dtype=np.float64)
    filled = list(rows)
    places, finite = _compared(table)
    if len(places):
        better = np.zeros((len(ranked), len(ranked)), dtype=np.bool_)
        better[np.ix_(places, places)] = ordered_pairs(
            scores[places], table[places][:, finite], lower_is_better, confidence
        )
        intervals, ties = rank_intervals(better), _ties_of_known(better, set(places))
        for place in places:
            filled[place] = replace(filled[place], rank_interval=intervals[place], tie=ties[place])
    for place, holds in enumerate(probabilities_to_hold(scores, table, lower_is_better)):
        filled[place] = replace(filled[place], holds=holds)
    return filled


def _compared(table: FloatArray) -> tuple[list[int], BoolArray]:
    """Return the rows to compare with each other, and the replicas that are finite in all of them.

    Rows with holes are taken last, and only if `FEWEST_REPLICAS` are left then: whoever sends submissions
    whose replicas often cannot be computed must not take the intervals of all others away.
    """
    known = np.isfinite(table)
    finite = np.ones(table.shape[1], dtype=np.bool_)
    places = []
    for place in np.argsort(-known.sum(axis=1), kind="stable"):
        common = finite & known[place]
        if np.count_nonzero(common) >= FEWEST_REPLICAS:
            finite = common
            places.append(int(place))
    return sorted(places), finite


def _ties_of_known(better: BoolArray, known: set[int]) -> list[int | None]:
    """Return `tie_groups` such that a row that is not compared is alone."""
    fenced = better.copy()
    for place in set(range(len(better))) - known:
        fenced[place] = True
    return tie_groups(fenced)
