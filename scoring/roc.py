"""The ROC curve, vertex by vertex: what the metrics of classifiers are computed from.

A classifier gives every row a number, larger for what it takes to be signal. A cut on that number keeps a
share of the signal, the signal efficiency or true positive rate, and a share of the background, the
background efficiency or false positive rate. The cuts between different numbers are the vertices of the
curve.

Labels are 1 for signal and 0 for background.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepchallenge.exceptions import InvalidSubmission

__all__ = ["RocCurve", "probabilities", "roc_auc", "roc_curve"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class RocCurve(NamedTuple):
    """Every vertex of a ROC curve, from selecting nothing, (0, 0), to selecting everything, (1, 1).

    `background_efficiency` and `signal_efficiency` are of one length, the number of different scores + 1, and
    never fall. `n_background` is the number of background rows, or, of weighted ones, their effective number,
    ``(sum of weights)**2 / (sum of squared weights)``.
    """

    background_efficiency: FloatArray
    signal_efficiency: FloatArray
    n_background: float


def roc_curve(score: ArrayLike, is_signal: ArrayLike, weight: ArrayLike | None = None) -> RocCurve:
    """Return the ROC curve with one vertex for every different score, none left out.

    Parameters
    ----------
    score : array of float, shape (n,)
        Larger is more signal-like. Finite; only the order matters, so that the curve is the same for any
        rising function of the score, and for any order of the rows.
    is_signal : array of bool or of 0 and 1, shape (n,)
        The truth of each row.
    weight : array of float, shape (n,), optional
        How much each row counts, finite and not negative; rows count alike without.

    Returns
    -------
    RocCurve
        Rows of equal score pass a cut together. Without weights, the efficiencies are exact quotients of
        counts.

    Raises
    ------
    InvalidSubmission
        If the score has another shape than `is_signal`, or is not finite in some row.
    ValueError
        If a label is neither 0 nor 1, a weight is negative or not finite, or a class has no rows or no
        weight.

    Examples
    --------
    >>> roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]).signal_efficiency
    array([0. , 0.5, 1. , 1. ])
    """
    signal, scores = _checked(score, is_signal)
    order = np.argsort(scores)[::-1]
    falling = scores.take(order)
    last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)
    chosen = signal.take(order)
    if weight is None:
        signal_sum = np.cumsum(chosen).take(last)
        n_background = float(len(signal) - signal_sum[-1])
        return RocCurve(_shares(last + 1 - signal_sum), _shares(signal_sum), n_background)
    weights = _weights(weight, signal)
    ordered = weights.take(order)
    background = weights[~signal]
    n_background = float(background.sum() ** 2 / (background**2).sum())
    return RocCurve(
        _shares(np.cumsum(ordered * ~chosen).take(last)),
        _shares(np.cumsum(ordered * chosen).take(last)),
        n_background,
    )


def roc_auc(score: ArrayLike, is_signal: ArrayLike, weight: ArrayLike | None = None) -> float:
    """Return the area under the ROC curve.

    It is the probability that a signal row has a larger score than a background row, equal scores counting
    one half. Range 0 to 1, higher is better, 0.5 for a constant score; the area for the negative score is 1
    minus this one.

    Parameters
    ----------
    score, is_signal, weight : arrays of shape (n,)
        As in `roc_curve`.

    Raises
    ------
    InvalidSubmission, ValueError
        As `roc_curve` does.

    Examples
    --------
    >>> roc_auc([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])
    0.875
    """
    curve = roc_curve(score, is_signal, weight)
    return area(curve.background_efficiency, curve.signal_efficiency)


def area(x: FloatArray, y: FloatArray) -> float:
    """Return the area under straight lines between points of rising `x`, kept within 0 and 1."""
    total = float((np.diff(x) * (y[1:] + y[:-1])).sum()) / 2
    return min(max(total, 0.0), 1.0)


def probabilities(score: ArrayLike) -> FloatArray:
    """Return predictions as an array, after making sure that they are probabilities.

    Parameters
    ----------
    score : array of float, shape (n,) or (n, 1)

    Returns
    -------
    array of float64, shape (n,)

    Raises
    ------
    InvalidSubmission
        If the shape is another one, or a value is not a number from 0 to 1. The first such row is named.
    """
    array = np.asarray(score, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidSubmission(f"expected one prediction a row, found an array of shape {array.shape}")
    # NaN makes the comparisons false.
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        row = int(np.flatnonzero(~((array >= 0) & (array <= 1)))[0])
        raise InvalidSubmission(f"row {row}: prediction: expected a number from 0 to 1, found {array[row]}")
    return array


def labels(is_signal: ArrayLike) -> BoolArray:
    """Return labels as booleans.

    Raises
    ------
    ValueError
        If there is more than one dimension, or a label is neither 0 nor 1.
    """
    array: NDArray[Any] = np.asarray(is_signal)
    if array.ndim != 1:
        raise ValueError(f"is_signal must have one dimension, got shape {array.shape}")
    if array.dtype == np.bool_:
        return array
    flags: BoolArray = array == 1
    if np.count_nonzero(flags) + np.count_nonzero(array == 0) != array.size:
        row = int(np.flatnonzero(~flags & (array != 0))[0])
        raise ValueError(f"is_signal must be 0 or 1, got {array[row]} in row {row}")
    return flags


def _checked(score: ArrayLike, is_signal: ArrayLike) -> tuple[BoolArray, FloatArray]:
    signal, scores = labels(is_signal), np.asarray(score, dtype=np.float64)
    if scores.shape != signal.shape:
        raise InvalidSubmission(f"expected predictions of shape {signal.shape}, found {scores.shape}")
    count = int(np.count_nonzero(signal))
    if not 0 < count < signal.size:
        raise ValueError(
            f"a ROC curve needs signal and background, got {count} and {signal.size - count} rows of them"
        )
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InvalidSubmission(f"row {row}: prediction: expected a finite number, found {scores[row]}")
    return signal, scores


def _weights(weight: ArrayLike, signal: BoolArray) -> FloatArray:
    weights = np.asarray(weight, dtype=np.float64)
    if weights.shape != signal.shape:
        raise ValueError(f"weight must have the shape {signal.shape} of is_signal, got {weights.shape}")
    if not (weights.min() >= 0 and weights.max() < np.inf):
        row = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise ValueError(f"weight must be finite and not negative, got {weights[row]} in row {row}")
    if not (weights[signal].any() and weights[~signal].any()):
        raise ValueError("a ROC curve needs signal and background of positive weight")
    return weights


def _shares(sums: NDArray[Any]) -> FloatArray:
    """Running sums as shares of the last one, with a zero before them."""
    shares = np.zeros(len(sums) + 1)
    np.divide(sums, sums[-1], out=shares[1:])
    return shares
