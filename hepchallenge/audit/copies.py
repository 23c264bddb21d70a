"""Rows that are there twice: within a sample, or on both sides of a line that they must not cross."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit.evidence import Floats
from hepchallenge.audit.table import UNREADABLE, columns_of, count_rows, take
from hepchallenge.findings import Answer, Status, fine

__all__ = ["check_overlap", "check_twins", "fingerprints", "row_prints", "true_twins"]

Prints = NDArray[np.uint64]

_BLOCK_CELLS = 4_000_000
_MOST_COLUMNS = 64
_FEW_COLUMNS = 6
_CLOSE = 1e-5
_COMPARED = 2000
_FAILS = 0.001
"""Share of rows with a twin from which it is no accident."""


def _coarse(values: Floats, bits: int) -> Floats:
    """Return numbers with so many bits of mantissa, NaN and both zeros as one."""
    mantissa, exponent = np.frexp(values)
    rounded = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return np.where(np.isnan(values), np.nan, rounded + 0.0)


def fingerprints(columns: Sequence[Floats]) -> Prints:
    """Return one number a row, equal for rows whose values agree but for rounding.

    Of many columns ten bits count, so that a copy written as float32 or with six digits is still found; of
    few columns twenty, since chance would make them agree otherwise.
    """
    bits = 20 if len(columns) < _FEW_COLUMNS else 10
    prints = np.zeros(len(columns[0]), dtype=np.uint64)
    with np.errstate(over="ignore", invalid="ignore"):
        for values in columns:
            # By way of float32, so that a copy that went through it cannot lie on another side of a rounding.
            narrow = np.asarray(values).astype(np.float32).astype(np.float64)
            coarse = _coarse(narrow, bits)
            # One pattern for all NaN, then the mixing of splitmix64.
            word = np.where(np.isnan(coarse), np.float64(-1.7e308), coarse).view(np.uint64)
            prints = (prints ^ word) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x7F4A7C15)
            prints ^= prints >> np.uint64(29)
            prints *= np.uint64(0xBF58476D1CE4E5B9)
            prints ^= prints >> np.uint64(32)
    return prints


def row_prints(X: Any) -> Prints | None:
    """Return fingerprints of all rows of inputs, read block by block; None if they are no numbers.

    Of wide inputs the first 64 columns count.
    """
    n_rows = count_rows(X)
    try:
        width = len(columns_of(take(X, np.arange(1)))[0]) if n_rows else 0
        if not width:
            return None
        block = max(1, _BLOCK_CELLS // width)
        parts = []
        for first in range(0, n_rows, block):
            columns, _ = columns_of(take(X, np.arange(first, min(n_rows, first + block))))
            parts.append(fingerprints(list(columns.values())[:_MOST_COLUMNS]))
    except UNREADABLE:
        return None
    return np.concatenate(parts)


def true_twins(first: Any, second: Any) -> float:
    """Return the share of pairs of rows, one of each input, whose numbers all agree to 1e-5."""
    ours, theirs = columns_of(first)[0], columns_of(second)[0]
    same = np.ones(count_rows(first), dtype=bool)
    for name in [name for name in ours if name in theirs]:
        same &= np.isclose(ours[name], theirs[name], rtol=_CLOSE, atol=0.0, equal_nan=True)
    return float(same.mean()) if len(same) else 0.0


def _share_with_twin(of: Prints, among: Prints) -> tuple[float, NDArray[np.int64], NDArray[np.int64]]:
    """Return which share of rows has a twin, and some pairs to compare."""
    order = np.argsort(among, kind="stable")
    place = np.searchsorted(among[order], of)
    there = place < len(among)
    there[there] = among[order][place[there]] == of[there]
    rows = np.flatnonzero(there)
    shown = rows[:: max(1, len(rows) // _COMPARED)][:_COMPARED]
    return float(there.mean()), shown, order[place[shown]]


def _repeated(prints: Prints) -> float:
    """Return the share of rows that have a twin in their own sample."""
    _, counts = np.unique(prints, return_counts=True)
    return float(counts[counts > 1].sum()) / max(1, len(prints))


def check_twins(prints: Prints, compare: Callable[[NDArray[Any], NDArray[Any]], float]) -> Answer:
    """Look for rows of a sample that are there more than once.

    Parameters
    ----------
    prints
        What `row_prints` gave.
    compare
        Given the rows of pairs, the share of those that are truly equal.
    """
    order = np.argsort(prints, kind="stable")
    same = np.flatnonzero(prints[order[1:]] == prints[order[:-1]])
    if not len(same):
        return fine(f"{len(prints)} rows, all different")
    share = _repeated(prints)
    pairs = same[:: max(1, len(same) // _COMPARED)][:_COMPARED]
    share *= compare(order[pairs], order[pairs + 1])
    if not share:
        return fine(f"{len(prints)} rows, all different")
    fact = f"{share:.2%} of {len(prints)} rows are there more than once"
    return Status.WARN, fact, "drop all but one of them, unless few values make them equal by chance"


def check_overlap(
    of: Prints,
    among: Prints,
    words: tuple[str, str],
    compare: Callable[[NDArray[Any], NDArray[Any]], float],
) -> Answer:
    """Look for rows of one sample that another one has too, which lets the label be looked up.

    It fails from one row in a thousand, unless rows are repeated as often within the other sample: then few
    different values, not a mistake, may be the reason.
    """
    share, ours, theirs = _share_with_twin(of, among)
    if share:
        share *= compare(ours, theirs)
    if not share:
        return fine(f"none of {len(of)} {words[0]} rows is a {words[1]} row")
    natural = _repeated(among)
    fact = f"{share:.2%} of {len(of)} {words[0]} rows are {words[1]} rows too"
    if share > _FAILS and share > 2 * natural:
        return Status.FAIL, fact, f"drop them from the {words[1]} rows"
    mend = f"drop them from the {words[1]} rows, unless few values make them equal by chance"
    return Status.WARN, f"{fact} ({natural:.2%} of the {words[1]} rows are repeated)", mend
