"""What an audit looks at: a challenge's data, read as submissions and the scorer get them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.audit.copies import Prints, fingerprints, row_prints
from hepchallenge.audit.evidence import Floats
from hepchallenge.audit.table import Label, Table, columns_of, count_rows, label_of, table_of
from hepchallenge.audit.trials import hit_columns, is_clustering
from hepchallenge.contract import Challenge
from hepchallenge.data import find_manifest, read_table
from hepchallenge.exceptions import DataError

__all__ = ["EventSample", "RowSample"]

_MOST_EVENTS = 20


@dataclass(frozen=True)
class RowSample:
    """Training or test rows.

    Parameters
    ----------
    challenge
        Whose rows they are.
    name : str
        `train` or `test`.
    X, y
        What the data function gave; `y` may be None.
    prepared : Path
        Where it read them, for withheld columns that are neither inputs nor labels.
    """

    challenge: Challenge
    name: str
    X: Any
    y: Any
    prepared: Path

    def __len__(self) -> int:
        return count_rows(self.y if self.y is not None else self.X)

    @cached_property
    def label_columns(self) -> Mapping[str, Any]:
        """The columns of the labels, by name; of text as it is."""
        if self.y is None:
            return {}
        if hasattr(self.y, "columns"):
            return {str(name): np.asarray(self.y.iloc[:, i]) for i, name in enumerate(self.y.columns)}
        try:
            array = np.asarray(self.y)
        except ValueError:
            # Labels of different lengths are beyond what is looked at.
            return {}
        if array.dtype.names:
            return {name: array[name] for name in array.dtype.names}
        if array.ndim == 1:
            return {"label": array}
        if array.ndim == 2:
            return {f"label column {place}": array[:, place] for place in range(array.shape[1])}
        return {}

    @cached_property
    def label(self) -> Label | None:
        """What has to be predicted: the first column of the labels; None for numbers of clusters."""
        if is_clustering(self.challenge) or not self.label_columns:
            return None
        return label_of(next(iter(self.label_columns.values())))

    @cached_property
    def index(self) -> NDArray[np.int64] | None:
        """The index of a DataFrame, which submissions see, if it is more than the row numbers."""
        if not hasattr(self.X, "iloc"):
            return None
        values = np.asarray(self.X.index)
        if values.dtype.kind not in "iu" or np.array_equal(values, np.arange(len(values))):
            return None
        return values.astype(np.int64)

    @cached_property
    def withheld(self) -> frozenset[str]:
        """Names that may never be among test features, without case."""
        return frozenset(name.strip().casefold() for name in self.challenge.config.withheld)

    @cached_property
    def _table(self) -> tuple[Table, NDArray[Any]] | None:
        return table_of(self.X)

    @cached_property
    def rows(self) -> NDArray[Any]:
        """Which rows `features` and `hidden` hold: all, or some drawn by chance."""
        return self._table[1] if self._table is not None else np.zeros(0, dtype=np.int64)

    @cached_property
    def features(self) -> Table | None:
        """The features of `rows`, without withheld columns, which training rows may have."""
        if self._table is None:
            return None
        table, _ = self._table
        kept = {
            name: values
            for name, values in table.columns.items()
            if name.strip().casefold() not in self.withheld
        }
        return Table(kept, table.is_flat) if kept else None

    @cached_property
    def hidden(self) -> Mapping[str, Floats]:
        """Labels, weights and withheld columns of `rows`."""
        found: dict[str, Any] = {}
        if not is_clustering(self.challenge):
            found |= {name: values[self.rows] for name, values in self.label_columns.items()}
        if self._table is not None:
            columns = self._table[0].columns
            found |= {
                name: values for name, values in columns.items() if name.strip().casefold() in self.withheld
            }
        for name, values in self._prepared_columns().items():
            found.setdefault(name, values[self.rows])
        numbers = {name: columns_of(np.asarray(values)[:, None])[0] for name, values in found.items()}
        return {name: next(iter(columns.values())) for name, columns in numbers.items() if columns}

    def _prepared_columns(self) -> dict[str, Any]:
        """Return withheld columns of a prepared table of the same rows."""
        if not self.withheld or find_manifest(self.prepared) is None:
            return {}
        try:
            table = read_table(self.prepared, self.name)
        except DataError:
            # Not every challenge keeps its rows in a table of this name.
            return {}
        if table.num_rows != len(self):
            return {}
        names = [name for name in table.column_names if name.strip().casefold() in self.withheld]
        return {name: table.column(name).to_numpy() for name in names}

    @cached_property
    def prints(self) -> Prints | None:
        """Fingerprints of the inputs of all rows."""
        return row_prints(self.X)

    @cached_property
    def hit_groups(self) -> list[NDArray[np.int64]]:
        """Of clusters, the numbers of an event's hits, event by event."""
        if not is_clustering(self.challenge) or self.y is None:
            return []
        y = np.asarray(self.y)
        events, codes = np.unique(y[:, 0], return_inverse=True)
        order = np.argsort(codes.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(codes.ravel(), minlength=len(events)))[:-1]
        return [part.astype(np.int64) for part in np.split(y[order, 1], ends)]


@dataclass(frozen=True)
class EventSample:
    """Training or test events.

    Parameters
    ----------
    name : str
        `train` or `test`.
    X, y
        Inputs and truths, one an event.
    """

    name: str
    X: Any
    y: Any

    def __len__(self) -> int:
        return len(self.y)

    @property
    def looked_at(self) -> range:
        """The events that are looked at closely."""
        return range(min(_MOST_EVENTS, len(self)))

    @cached_property
    def prints(self) -> Prints:
        """One fingerprint an event, whatever the order of its hits."""
        found = []
        for number in range(len(self)):
            columns = hit_columns(self.X[number], len(self.y[number]))
            kept = [np.asarray(v, dtype=np.float64) for v in columns.values() if v.dtype.kind in "biuf"]
            prints = fingerprints(kept) if kept else np.zeros(0, dtype=np.uint64)
            found.append(np.sum(prints, dtype=np.uint64))
        return np.array(found, dtype=np.uint64)

    def truths(self, most: int) -> Sequence[Any]:
        """Return the truths of the first events."""
        return [self.y[number] for number in range(min(most, len(self)))]

    def groups(self, column: str) -> list[NDArray[np.int64]]:
        """Return the number of the group of every hit, event by event, from a column of the truth."""
        found = []
        for number in self.looked_at:
            truth = self.y[number]
            values = hit_columns(truth, len(truth))[column]
            found.append(np.unique(values, return_inverse=True)[1].ravel().astype(np.int64))
        return found
