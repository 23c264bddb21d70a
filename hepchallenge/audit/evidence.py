"""Pure measures of dependence, each an effect from 0 to 1 with its significance, and what they amount to.

With a million rows everything is significant, with thirty nothing is small: a finding needs both, an effect
that somebody could use and a significance that holds although many things were looked at (Bonferroni).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepchallenge.findings import Status

__all__ = [
    "STRONG",
    "WEAK",
    "Evidence",
    "association",
    "autocorrelation",
    "grade",
    "kolmogorov",
    "rank_correlation",
    "rank_effect",
    "ranks",
]

WEAK, STRONG = 0.02, 0.1
"""Effects from which a significant dependence is worth a warning, and from which it is a leak."""

_FALSE_ALARM = 1e-4
"""Probability that one check reports something where there is nothing."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class Evidence(NamedTuple):
    """A dependence: its effect from 0 to 1, in how many standard deviations, and what it is about."""

    effect: float
    deviations: float
    what: str = ""


def grade(evidence: Evidence, looks: int, worst: Status = Status.FAIL) -> Status:
    """Return what a dependence amounts to if so many were looked at; `worst` for a strong one."""
    needed = -NormalDist().inv_cdf(_FALSE_ALARM / 2 / max(1, looks))
    if evidence.effect < WEAK or evidence.deviations < needed:
        return Status.OK
    return worst if evidence.effect >= STRONG else Status.WARN


def ranks(values: NDArray[Any]) -> Floats:
    """Return ranks from 1, the mean rank for equal values; NaN ranks first, and equal to NaN."""
    clean = np.where(np.isnan(values), -np.inf, values) if values.dtype.kind == "f" else values
    order = np.argsort(clean, kind="stable")
    ordered = clean[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, int)
    sizes = np.diff(np.r_[first, len(values)])
    result = np.empty(len(values))
    result[order] = np.repeat(first + (sizes + 1) / 2, sizes)
    return result


def rank_effect(of_rows: Floats, members: NDArray[np.bool_], what: str = "") -> Evidence:
    """Return how well a quantity tells members from the others: 2 AUC - 1, whatever its sign.

    Parameters
    ----------
    of_rows : array of float, shape (n,)
        What `ranks` gave for the quantity.
    members : array of bool, shape (n,)
        Of which rows the label is the one in question.
    """
    n = len(of_rows)
    inside = int(np.count_nonzero(members))
    if not 0 < inside < n:
        return Evidence(0.0, 0.0, what)
    outside = n - inside
    auc = (float(of_rows[members].sum()) - inside * (inside + 1) / 2) / (inside * outside)
    deviation = math.sqrt((n + 1) / (12 * inside * outside))
    return Evidence(abs(2 * auc - 1), abs(auc - 0.5) / deviation, what)


def rank_correlation(first: Floats, second: Floats, what: str = "") -> Evidence:
    """Return Spearman's correlation of two quantities, whatever its sign, from their ranks."""
    if len(first) < 3 or not first.std() or not second.std():
        return Evidence(0.0, 0.0, what)
    correlation = abs(float(np.corrcoef(first, second)[0, 1]))
    return Evidence(correlation, correlation * math.sqrt(len(first) - 1), what)


def autocorrelation(trace: Floats, most: int) -> Floats:
    """Return the autocorrelation of a sequence at the distances 1 to `most`, by a Fourier transform."""
    centred = trace - trace.mean()
    power = float(centred @ centred)
    if not power:
        return np.zeros(most)
    # Room for all distances, so that the end is not compared with the beginning.
    size = 1 << (len(trace) + most).bit_length()
    spectrum = np.fft.rfft(centred, size)
    return np.fft.irfft(spectrum * spectrum.conj(), size)[1 : most + 1] / power


def association(first: Codes, second: Codes, what: str = "") -> Evidence:
    """Return Cramer's V of two codes from 0, with chi-squared as deviations (Wilson and Hilferty)."""
    first, second = (np.unique(codes, return_inverse=True)[1].ravel() for codes in (first, second))
    rows, columns = int(first.max(initial=-1)) + 1, int(second.max(initial=-1)) + 1
    if min(rows, columns) < 2:
        return Evidence(0.0, 0.0, what)
    counts = np.bincount(first * columns + second, minlength=rows * columns).reshape(rows, columns)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / len(first)
    squares = float(((counts - expected) ** 2 / expected).sum())
    freedom = (rows - 1) * (columns - 1)
    spread = 2 / (9 * freedom)
    deviations = ((squares / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    effect = math.sqrt(squares / len(first) / (min(rows, columns) - 1))
    return Evidence(effect, max(0.0, deviations), what)


def kolmogorov(first: Floats, second: Floats, what: str = "") -> Evidence:
    """Return the largest distance between two distributions, with its asymptotic significance."""
    first, second = np.sort(first), np.sort(second)
    if not len(first) or not len(second):
        return Evidence(0.0, 0.0, what)
    both = np.concatenate([first, second])
    shares = [np.searchsorted(part, both, side="right") / len(part) for part in (first, second)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    scaled = distance * math.sqrt(len(first) * len(second) / len(both))
    probability = min(1.0, 2 * math.exp(-2 * scaled**2))
    # As deviations of a normal distribution, so that all evidence is told in one unit.
    deviations = -NormalDist().inv_cdf(max(probability, 1e-300) / 2) if probability < 1 else 0.0
    return Evidence(distance, deviations, what)
