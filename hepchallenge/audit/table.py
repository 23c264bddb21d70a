"""Inputs and labels of any kind a challenge may give, brought into the few forms that checks take."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit.evidence import Evidence, Floats, rank_correlation, rank_effect, ranks

__all__ = [
    "UNREADABLE",
    "Label",
    "Table",
    "columns_of",
    "count_rows",
    "label_of",
    "some_rows",
    "table_of",
    "take",
]

_MOST_CLASSES = 20
_MOST_CELLS = 20_000_000
_MOST_WIDE_CELLS = 4_000_000
_MOST_ROWS = 200_000

Codes = NDArray[np.int64]

UNREADABLE = (TypeError, ValueError, KeyError, IndexError)
"""What inputs raise that are no table."""


@dataclass(frozen=True)
class Table:
    """Named columns of numbers.

    `is_flat` says that they are columns of a table, and not cells of an image or a list of constituents.
    """

    columns: Mapping[str, Floats]
    is_flat: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


@dataclass(frozen=True)
class Label:
    """What has to be predicted: classes, or numbers, which then are two classes as well (up to the median).

    Attributes
    ----------
    codes : array of int64, shape (n,)
        Number of the class of every row.
    classes : tuple of str
        What the classes are called.
    values : array of float, shape (n,), or None
        The numbers, where there are too many different ones for classes.
    """

    codes: Codes
    classes: tuple[str, ...]
    values: Floats | None = None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def varies(self) -> bool:
        """Whether there is more than one class."""
        return len(self.classes) > 1

    def take(self, rows: NDArray[Any]) -> Label:
        """Return the label of some rows; classes keep their numbers."""
        return Label(self.codes[rows], self.classes, None if self.values is None else self.values[rows])

    def traces(self) -> Iterator[tuple[str, Floats]]:
        """Yield, with a name, sequences of numbers whose order tells of the label."""
        if self.values is not None:
            yield "label", ranks(self.values)
            return
        # With two classes, the second is the opposite of the first.
        for code, name in list(enumerate(self.classes))[1 if len(self.classes) == 2 else 0 :]:
            yield f"label {name}", (self.codes == code).astype(np.float64)

    def told_by(self, of_rows: Floats, what: str = "") -> Evidence:
        """Return how well the ranks of a quantity tell the label: of the class told best."""
        if self.values is not None:
            return rank_correlation(of_rows, ranks(self.values), what)
        chosen = range(len(self.classes))[1 if len(self.classes) == 2 else 0 :]
        found = [rank_effect(of_rows, self.codes == code, what) for code in chosen]
        return max(found, default=Evidence(0.0, 0.0, what))


def count_rows(X: Any) -> int:
    """Return the number of rows of inputs or labels; 0 if they cannot be counted."""
    try:
        return len(X)
    except TypeError:
        return 0


def take(X: Any, rows: NDArray[Any]) -> Any:
    """Return some rows of inputs or labels, as the kind of thing they are."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if isinstance(X, list | tuple):
        return [X[int(row)] for row in rows]
    return X[rows]


def some_rows(n_rows: int, most: int, seed: int = 0) -> NDArray[np.int64]:
    """Return at most so many rows, in order, drawn by chance that repeats itself."""
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def _numbers(values: Any) -> Floats | None:
    """Return a column as numbers: text by a checksum, times as counted."""
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    if array.dtype.kind in "mM":
        return array.astype(np.int64).astype(np.float64)
    if array.dtype.kind in "OUST":
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError):
            pass
        try:
            words, places = np.unique(array.astype(str), return_inverse=True)
        except (TypeError, ValueError):
            return None
        # The same number in every sample, small enough for float32.
        codes = np.array([zlib.crc32(word.encode("utf-8", "replace")) & 0xFFFFFF for word in words])
        return codes[places.ravel()].astype(np.float64)
    return None


def columns_of(X: Any) -> tuple[dict[str, Floats], bool]:
    """Return the columns of inputs by name, and whether they are columns of a table.

    DataFrames, Series, structured and plain arrays of any dimension, lists of rows, and all that numpy
    makes an array of. What has no numbers gives no column.
    """
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        named = ((str(name), _numbers(X.iloc[:, place])) for place, name in enumerate(X.columns))
        return {name: values for name, values in named if values is not None}, True
    if hasattr(X, "data_vars"):
        return {}, False
    try:
        array = np.asarray(X)
    except (TypeError, ValueError):
        return {}, False
    if array.dtype.names:
        fields = ((name, _numbers(array[name])) for name in array.dtype.names if array[name].ndim == 1)
        return {name: values for name, values in fields if values is not None}, True
    if array.ndim == 0 or not len(array):
        return {}, False
    wide = array.reshape(len(array), -1)
    columns = {}
    for place in range(wide.shape[1]):
        values = _numbers(wide[:, place])
        if values is not None:
            columns[f"[{place}]"] = values
    return columns, array.ndim <= 2


def table_of(X: Any, rows: NDArray[Any] | None = None) -> tuple[Table, NDArray[Any]] | None:
    """Return inputs as a table and which rows it holds, or None if they are no numbers.

    At most 200 000 rows, and fewer of wide inputs, are taken.
    """
    n_rows = count_rows(X)
    if not n_rows:
        return None
    try:
        first, is_flat = columns_of(take(X, np.arange(1)))
        width, cells = max(1, len(first)), _MOST_CELLS if is_flat else _MOST_WIDE_CELLS
        chosen = np.arange(n_rows) if rows is None else rows
        chosen = chosen[some_rows(len(chosen), max(1, min(_MOST_ROWS, cells // width)))]
        columns, is_flat = columns_of(take(X, chosen))
    except UNREADABLE:
        return None
    return (Table(columns, is_flat), chosen) if columns else None


def label_of(values: Any) -> Label | None:
    """Return a column of labels as classes, or as numbers if there are many different ones."""
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        return None
    if array.dtype.kind in "OUST":
        try:
            array = array.astype(str)
        except ValueError:
            # A list of labels a row is neither a class nor a number.
            return None
    elif array.dtype.kind not in "biuf":
        return None
    found, codes = np.unique(array, return_inverse=True)
    if len(found) <= _MOST_CLASSES:
        return Label(codes.ravel().astype(np.int64), tuple(str(name) for name in found))
    if array.dtype.kind in "UST":
        return None
    numbers = array.astype(np.float64)
    middle = float(np.median(numbers))
    above = numbers > middle
    names = (f"up to {middle:.6g}", f"above {middle:.6g}")
    return Label(above.astype(np.int64), names if above.any() else names[:1], numbers)
