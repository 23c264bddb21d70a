"""Kernels of a weighted counting search: the approximate median significance and what goes with it.

All weights are expected numbers of events (dimensionless); a sum of weights over selected events is
the number of events an analysis would expect to see. Nothing here depends on the order of the rows,
except through the rounding of floating-point sums.

The approximate median significance (AMS) is the square root of a likelihood-ratio test statistic for a
counting experiment: G. Cowan, K. Cranmer, E. Gross, O. Vitells, Eur. Phys. J. C 71 (2011) 1554,
https://doi.org/10.1140/epjc/s10052-011-1554-0, eq. (97), with a constant `b_reg` added to the background
as the 2014 Higgs Boson Machine Learning Challenge did.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BestSelection",
    "SelectionCurve",
    "ams",
    "ams_of_sums",
    "best_ams",
    "renormalise",
    "scaled_selected_sums",
    "selected_sums",
    "selection_curve",
    "weighted_roc_auc",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class BestSelection(NamedTuple):
    """Largest AMS of all selections `score > threshold`, and the threshold that gives it."""

    ams: float
    threshold: float


class SelectionCurve(NamedTuple):
    """Every different selection `score > threshold[i]`, from selecting nothing to selecting all.

    `signal[i]` and `background[i]` are the sums of weights that `threshold[i]` selects.
    """

    threshold: FloatArray
    signal: FloatArray
    background: FloatArray


def ams(s: float, b: float, b_reg: float = 10.0) -> float:
    """Return the approximate median significance of `s` signal events on `b` background events.

    ``sqrt(2 ((s + b + b_reg) ln(1 + s / (b + b_reg)) - s))``, natural logarithm. Higher is better; the
    range is zero to infinity.

    Parameters
    ----------
    s, b : float
        Sums of weights of the selected true signal and true background events, in expected events.
    b_reg : float, default 10
        Regularisation added to `b`; 10 in the HiggsML challenge.

    Returns
    -------
    float
        The significance in standard deviations. Selecting nothing, or background only, gives 0.
        With `b` = 0 the value is finite as long as `b_reg` is positive.

    Raises
    ------
    ValueError
        If an argument is negative or not finite, or if `s` is positive while `b + b_reg` is zero,
        where the significance would be infinite.

    Notes
    -----
    Rounding can make the radicand slightly negative for tiny `s`; it is then taken as zero, where
    the evaluation script of 2014 stops.

    Examples
    --------
    >>> round(ams(250.0, 4000.0), 4)
    3.9079
    >>> ams(0.0, 1000.0)
    0.0
    """
    for name, value in (("s", s), ("b", b), ("b_reg", b_reg)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"ams: {name} must be finite and not negative, got {value!r}")
    if s == 0:
        return 0.0
    if b + b_reg == 0:
        raise ValueError(f"ams: the significance of s = {s!r} is infinite when b + b_reg is zero")
    return float(ams_of_sums(np.array([s], dtype=np.float64), np.array([b], dtype=np.float64), b_reg)[0])


def selected_sums(is_signal: ArrayLike, weight: ArrayLike, selected: ArrayLike) -> tuple[float, float]:
    """Return the sums of weights of the selected true signal and true background events.

    Parameters
    ----------
    is_signal : array of bool or of 0 and 1, shape (n,)
        The truth of each event.
    weight : array of float, shape (n,)
        Expected events of each simulated event, finite and not negative.
    selected : array of bool or of 0 and 1, shape (n,)
        Which events the analysis keeps.

    Returns
    -------
    s, b : float
        Expected selected signal and background events; (0, 0) if nothing is selected.

    Raises
    ------
    ValueError
        If the shapes differ, a weight is negative or not finite, or a flag is neither 0 nor 1.
    """
    signal = _flags("is_signal", is_signal)
    weights = _weights(weight, signal.shape)
    keep = _flags("selected", selected)
    if keep.shape != signal.shape:
        raise ValueError(f"selected must have the shape {signal.shape} of is_signal, got {keep.shape}")
    _, _, b, s = _sums(signal, weights, keep)
    return s, b


def scaled_selected_sums(
    is_signal: ArrayLike, weight: ArrayLike, selected: ArrayLike, totals: tuple[float, float]
) -> tuple[float, float]:
    """Return `selected_sums` of the weights that `renormalise` would give, without computing these.

    Parameters
    ----------
    is_signal, weight, selected : arrays of shape (n,)
        As in `selected_sums`.
    totals : (float, float)
        As in `renormalise`.

    Raises
    ------
    ValueError
        As `selected_sums` and `renormalise` do.
    """
    signal = _flags("is_signal", is_signal)
    weights = _weights(weight, signal.shape)
    keep = _flags("selected", selected)
    if keep.shape != signal.shape:
        raise ValueError(f"selected must have the shape {signal.shape} of is_signal, got {keep.shape}")
    other_background, other_signal, b, s = _sums(signal, weights, keep)
    factors = _factors(signal, (other_signal + s, other_background + b), totals)
    return s * factors[0], b * factors[1]


def selection_curve(score: ArrayLike, is_signal: ArrayLike, weight: ArrayLike) -> SelectionCurve:
    """Return the selected sums for every different selection `score > threshold`.

    A threshold stands only between different scores, so that events of equal score are selected
    together and the result does not depend on the order of the rows.

    Parameters
    ----------
    score : array of float, shape (n,)
        Larger is more signal-like. Finite; only the order matters.
    is_signal, weight : arrays of shape (n,)
        Truth and expected events, as in `selected_sums`.

    Returns
    -------
    SelectionCurve
        Arrays of length (number of different scores) + 1, in the order of falling thresholds. The first
        threshold is the largest score, which selects nothing; every further one is itself a score, the
        largest that is not selected; the last is minus infinity, which selects everything.

    Raises
    ------
    ValueError
        If there are no events, the shapes differ, or a score or weight is not as said above.
    """
    signal = _flags("is_signal", is_signal)
    weights = _weights(weight, signal.shape)
    scores = np.asarray(score, dtype=np.float64)
    if scores.shape != signal.shape:
        raise ValueError(f"score must have the shape {signal.shape} of is_signal, got {scores.shape}")
    if scores.size == 0:
        raise ValueError("there are no events to select from")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise ValueError(f"score must be finite, got {scores[row]} in row {row}")
    order = np.argsort(scores)[::-1]
    n = scores.size
    threshold, signal_sum, background_sum = np.empty(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    scores.take(order, out=threshold[:n])
    threshold[n] = -np.inf
    falling_signal, falling_weights = signal.take(order), weights.take(order)
    np.cumsum(falling_weights * falling_signal, out=signal_sum[1:])
    np.cumsum(falling_weights * ~falling_signal, out=background_sum[1:])
    # Element i belongs to the selection of the i first events; it counts if the next score is another one.
    possible = np.empty(n + 1, dtype=np.bool_)
    possible[0] = True
    np.not_equal(threshold[1:], threshold[:-1], out=possible[1:])
    if possible.all():
        return SelectionCurve(threshold, signal_sum, background_sum)
    return SelectionCurve(threshold[possible], signal_sum[possible], background_sum[possible])


def best_ams(score: ArrayLike, is_signal: ArrayLike, weight: ArrayLike, b_reg: float = 10.0) -> BestSelection:
    """Return the largest AMS that any selection `score > threshold` reaches, and that threshold.

    Parameters
    ----------
    score, is_signal, weight : arrays of shape (n,)
        As in `selection_curve`. The weights are used as they are; renormalise them first.
    b_reg : float, default 10
        As in `ams`; must be positive, or background-free selections would be infinitely significant.

    Returns
    -------
    BestSelection
        AMS at least 0 (selecting nothing is allowed), and the threshold as described for
        `selection_curve`: `score > threshold` reproduces the selection exactly, minus infinity selects all.
        Of several equally good selections the tightest is returned.

    Raises
    ------
    ValueError
        As `selection_curve` does, or if `b_reg` is not positive and finite.

    Examples
    --------
    >>> best_ams([0.1, 0.8, 0.9], [0, 1, 1], [100.0, 5.0, 5.0]).threshold
    0.1
    """
    if not (np.isfinite(b_reg) and b_reg > 0):
        raise ValueError(f"best_ams: b_reg must be positive and finite, got {b_reg!r}")
    curve = selection_curve(score, is_signal, weight)
    values = ams_of_sums(curve.signal, curve.background, b_reg)
    best = int(np.argmax(values))
    return BestSelection(ams=float(values[best]), threshold=float(curve.threshold[best]))


def weighted_roc_auc(score: ArrayLike, is_signal: ArrayLike, weight: ArrayLike) -> float:
    """Return the area under the ROC curve in which every event counts with its weight.

    It is the probability that a signal event has a larger score than a background event, both drawn in
    proportion to their weights; equal scores count one half. Range 0 to 1, higher is better, 0.5 for a
    constant score. Scaling all weights of one class changes nothing.

    Parameters
    ----------
    score, is_signal, weight : arrays of shape (n,)
        As in `selection_curve`.

    Raises
    ------
    ValueError
        As `selection_curve` does, or if the weights of one class sum to zero.
    """
    curve = selection_curve(score, is_signal, weight)
    total_signal, total_background = curve.signal[-1], curve.background[-1]
    if not (total_signal > 0 and total_background > 0):
        raise ValueError(
            "the ROC curve needs signal and background, "
            f"got summed weights {total_signal} and {total_background}"
        )
    signal, background = curve.signal / total_signal, curve.background / total_background
    area = float((np.diff(background) * (signal[1:] + signal[:-1])).sum()) / 2
    return min(max(area, 0.0), 1.0)


def renormalise(weight: ArrayLike, is_signal: ArrayLike, totals: tuple[float, float]) -> FloatArray:
    """Return the weights scaled so that each class sums to its total.

    Any subset of a simulated sample stands for the full data set once its weights are scaled this way,
    which makes the AMS of subsets of different size comparable.

    Parameters
    ----------
    weight, is_signal : arrays of shape (n,)
        As in `selected_sums`.
    totals : (float, float)
        Expected signal and background events of the full data set, positive.

    Returns
    -------
    array of float, shape (n,)
        A new array; ratios within a class are unchanged.

    Raises
    ------
    ValueError
        If a class has no events or its weights sum to zero, or an argument is not as said above.
    """
    signal = _flags("is_signal", is_signal)
    weights = _weights(weight, signal.shape)
    background_sum, signal_sum, _, _ = _sums(signal, weights, np.zeros_like(signal))
    factors = _factors(signal, (signal_sum, background_sum), totals)
    return weights * np.where(signal, *factors)


def ams_of_sums(s: FloatArray, b: FloatArray, b_reg: float) -> FloatArray:
    """Return the AMS of many selections at once, without any check.

    Parameters
    ----------
    s, b : arrays of float of one shape
        As in `ams`; NaN gives NaN.
    b_reg : float
        `b + b_reg` must be positive.

    Returns
    -------
    array of float, of the same shape
    """
    regular = b + b_reg
    radicand = 2.0 * ((s + regular) * np.log1p(s / regular) - s)
    return np.sqrt(np.maximum(radicand, 0.0))


def _sums(signal: BoolArray, weights: FloatArray, keep: BoolArray) -> tuple[float, float, float, float]:
    """Sums of weights: background and signal that are not kept, background and signal that are."""
    # One pass in the order of the rows, so that the digits do not depend on the number of threads.
    group = (keep.view(np.uint8) << 1) | signal.view(np.uint8)
    first, second, third, fourth = np.bincount(group, weights, 4).tolist()
    return first, second, third, fourth


def _factors(
    signal: BoolArray, present: tuple[float, float], totals: tuple[float, float]
) -> tuple[float, float]:
    """Factors that bring the summed weights of signal and background to their totals."""
    count = int(np.count_nonzero(signal))
    counts = (count, signal.size - count)
    for name, number, found, total in zip(("signal", "background"), counts, present, totals, strict=True):
        if not (np.isfinite(total) and total > 0):
            raise ValueError(f"the total of the {name} weights must be positive and finite, got {total!r}")
        if not (np.isfinite(found) and found > 0):
            raise ValueError(
                f"cannot scale the {name} weights to {total}: {number} {name} events "
                f"of {signal.size} have a summed weight of {found}"
            )
    return totals[0] / present[0], totals[1] / present[1]


def _flags(name: str, values: ArrayLike) -> BoolArray:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if array.dtype == np.bool_:
        return array
    flags: BoolArray = array == 1
    zeros: BoolArray = array == 0
    # Counting booleans is cheap; NaN is neither.
    if np.count_nonzero(flags) + np.count_nonzero(zeros) != array.size:
        row = int(np.flatnonzero(~(flags | zeros))[0])
        raise ValueError(f"{name} must be 0 or 1, got {array[row]} in row {row}")
    return flags


def _weights(weight: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    weights = np.asarray(weight, dtype=np.float64)
    if weights.shape != shape:
        raise ValueError(f"weight must have the shape {shape} of is_signal, got {weights.shape}")
    # One reduction decides the usual case: a NaN makes both comparisons false.
    if weights.size and not (weights.min() >= 0 and weights.max() < np.inf):
        row = int(np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0])
        raise ValueError(f"weight must be finite and not negative, got {weights[row]} in row {row}")
    return weights
