"""Whether the place of a row, or its id, tells the label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit.evidence import Evidence, association, autocorrelation, grade, rank_effect, ranks
from hepchallenge.audit.table import Label
from hepchallenge.findings import Answer, Status, fine

__all__ = ["check_ids", "check_row_order"]

_FEWEST = 20
_MOST_LAGS = 1000
_MODULI = (*range(2, 17), 32, 64, 100)
_SHUFFLE = "shuffle the rows once, with a fixed seed, where the data are prepared"


def _neighbours(label: Label, order: NDArray[Any] | None, most: int) -> list[Evidence]:
    """Return how far the labels of a sequence resemble those some rows before, once a class."""
    found = []
    for name, trace in label.traces():
        ordered = trace if order is None else trace[order]
        alike = np.abs(autocorrelation(ordered, most))
        place = int(alike.argmax())
        effect = float(alike[place])
        what = f"{name} resembles itself at a distance of {place + 1} (correlation {effect:.3f})"
        found.append(Evidence(effect, effect * len(trace) ** 0.5, what))
    return found


def _strongest(found: list[tuple[Evidence, int]], worst: Status) -> tuple[Status, Evidence]:
    """Return the gravest of several dependences, each with how many were looked at to find it."""
    severity = list(Status)
    return max(
        ((grade(one, looks, worst), one) for one, looks in found),
        key=lambda pair: (severity.index(pair[0]), pair[1].effect),
    )


def check_row_order(label: Label, worst: Status = Status.FAIL) -> Answer:
    """Look whether rows are sorted by label, come in blocks of one label, or in a pattern that repeats.

    The AUC of the row number (rank correlation for numbers) and the autocorrelation of the label at up to
    1000 distances, over all classes.
    """
    n = len(label)
    if not label.varies:
        return Status.WARN, f"all {n} rows have one label", "check whether these are the labels"
    if n < _FEWEST:
        return fine(f"{n} rows are too few to say")
    lags = min(_MOST_LAGS, n // 10)
    trend = label.told_by(np.arange(1.0, n + 1))
    trend = trend._replace(
        what=f"the row number tells the label (2 AUC - 1 or correlation {trend.effect:.3f})"
    )
    alike = _neighbours(label, None, lags)
    looks = len(alike)
    status, found = _strongest([(trend, looks), *((one, looks * lags) for one in alike)], worst)
    if status is not Status.OK:
        return status, f"{found.what}; {n} rows", _SHUFFLE
    strongest = max(alike)
    return fine(
        f"{n} rows: row number {trend.effect:.3f}, rows up to {lags} apart {strongest.effect:.3f} at most"
    )


def check_ids(ids: NDArray[Any], label: Label, what: str = "id") -> Answer:
    """Look whether the label follows from ids: their size, remainders, gaps, or their order.

    Parameters
    ----------
    ids : array of whole numbers, shape (n,)
        One a row; different ones if they are ids.
    what : str
        What they are called: `id`, or `index` for that of a DataFrame, which may repeat.
    """
    ids = np.asarray(ids).astype(np.int64)
    values, counts = np.unique(ids, return_counts=True)
    if what == "id" and len(values) < len(ids):
        fact = f"id {values[counts > 1][0]} is there {counts[counts > 1][0]} times"
        return Status.FAIL, fact, "give every row an id of its own"
    if len(ids) < _FEWEST or not label.varies:
        return fine(f"{len(ids)} rows, or their labels, are too few to say")
    size = label.told_by(ranks(ids))
    found = [
        (size._replace(what=f"the {what} tells the label (2 AUC - 1 or correlation {size.effect:.3f})"), 1)
    ]
    for modulus in _MODULI:
        if modulus * 5 <= len(ids):
            one = association(ids % modulus, label.codes)
            words = f"the {what} modulo {modulus} tells the label (Cramer's V {one.effect:.3f})"
            found.append((one._replace(what=words), len(_MODULI)))
    order = np.argsort(ids, kind="stable")
    gaps = ranks(np.diff(ids[order]))
    for side, rows in (("before", order[1:]), ("after", order[:-1])):
        for code in range(len(label.classes)):
            one = rank_effect(gaps, label.codes[rows] == code)
            words = f"the gap {side} an {what} tells the label (2 AUC - 1 = {one.effect:.3f})"
            found.append((one._replace(what=words), 2 * len(label.classes)))
    lags = min(100, len(ids) // 10)
    found += [
        (one._replace(what=f"in the order of the {what}, {one.what}"), lags * len(label.classes))
        for one in _neighbours(label, order, lags)
    ]
    status, worst = _strongest(found, Status.FAIL)
    if status is Status.OK:
        return fine(
            f"{len(ids)} rows; size, remainders, gaps and order of the {what} say nothing of the label"
        )
    return status, worst.what, f"draw a new {what} by chance where the data are prepared"
