"""What many trainings of one submission say together: outliers, median and spread.

The rule is that of the comparison of top taggers, arXiv:1902.09914, as published with its numbers
(SebastianMacaluso/TopTagComparison): what the others do decides that a training went wrong, not a person.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Spread", "kept_runs", "median_run", "spread"]

BoolArray = NDArray[np.bool_]

_CORE = (100 / 6, 500 / 6)
_SIGMAS = 3.0
# The core of fewer trainings is one of them, or none.
_FEWEST = 4


class Spread(NamedTuple):
    """Median and standard deviation of the kept ones of `n_runs` trainings.

    The standard deviation is that of a population, divided by the number kept.
    """

    median: float
    std: float
    n_kept: int
    n_runs: int


def kept_runs(values: ArrayLike) -> BoolArray:
    """Return which trainings are no outliers.

    The core are the values between the percentiles 100/6 and 500/6, both included, interpolated linearly:
    five of nine different values. A training is kept if its value is within three standard deviations of the
    core around the mean of the core, limits included. All of fewer than four trainings are kept, as the rule
    would leave one of three, or none of two.

    Parameters
    ----------
    values : array of float, shape (n_runs,)
        One number a training, finite; in the comparison of top taggers, the background rejection.

    Returns
    -------
    array of bool, shape (n_runs,)
        At least one is kept; of equal values all or none are.

    Raises
    ------
    ValueError
        If there are no values, or one is not finite.

    Examples
    --------
    >>> kept_runs([100, 101, 99, 102, 98, 100, 101, 99, 5]).tolist()
    [True, True, True, True, True, True, True, True, False]
    """
    runs = _runs(values)
    if len(runs) < _FEWEST:
        return np.ones(len(runs), dtype=np.bool_)
    low, high = np.percentile(runs, _CORE)
    core = runs[(runs >= low) & (runs <= high)]
    center, width = core.mean(), _SIGMAS * core.std()
    return np.asarray((runs >= center - width) & (runs <= center + width))


def spread(values: ArrayLike, kept: ArrayLike | None = None) -> Spread:
    """Return median and standard deviation of the trainings that are kept.

    Parameters
    ----------
    values : array of float, shape (n_runs,)
        One number a training, finite.
    kept : array of bool, shape (n_runs,), optional
        Which trainings to take; by default what `kept_runs` says of the values. To summarise several metrics
        of the same trainings, choose by one of them: the comparison of top taggers chooses by the rejection.

    Returns
    -------
    Spread
        In the unit of the values.

    Raises
    ------
    ValueError
        If there are no values, one is not finite, or none is kept.

    Examples
    --------
    >>> spread([100.0, 101.0, 99.0, 102.0, 98.0, 100.0, 101.0, 99.0, 5.0]).median
    100.0
    """
    runs = _runs(values)
    chosen = kept_runs(runs) if kept is None else np.asarray(kept)
    if chosen.dtype != np.bool_ or chosen.shape != runs.shape or not chosen.any():
        raise ValueError(f"kept must have {len(runs)} booleans, one of them true, got {chosen!r}")
    taken = runs[chosen]
    return Spread(float(np.median(taken)), float(taken.std()), len(taken), len(runs))


def median_run(values: ArrayLike) -> int:
    """Return the index of the training that stands for all, the one with the median value.

    Of an even number it is the upper one of the two in the middle, of equal values the earliest that stands
    there when they are sorted as they stand. The comparison of top taggers chooses by AUC.

    Parameters
    ----------
    values : array of float, shape (n_runs,)
        One number a training, finite.

    Raises
    ------
    ValueError
        If there are no values, or one is not finite.

    Examples
    --------
    >>> median_run([0.5, 0.9, 0.7])
    2
    """
    runs = _runs(values)
    return int(np.argsort(runs, kind="stable")[len(runs) // 2])


def _runs(values: ArrayLike) -> NDArray[np.float64]:
    runs = np.asarray(values, dtype=np.float64)
    if runs.ndim != 1 or not runs.size:
        raise ValueError(f"expected one value a training, got an array of shape {runs.shape}")
    if not np.isfinite(runs).all():
        raise ValueError(f"the value of training {int(np.flatnonzero(~np.isfinite(runs))[0])} is not finite")
    return runs
