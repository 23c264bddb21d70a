"""Intake of prediction files of event challenges: one integer per hit, for more hits than fit into memory.

The file (`submission.csv` of TrackML: `event_id,hit_id,track_id`) is read once, in pieces, and nothing in it
is trusted; see `hepchallenge.run.untrusted`. Every value goes to the place of its hit in a nameless file on
disk, so that rows may come in any order, and the memory in use depends neither on their number nor on it.

Every refusal is an `InvalidSubmission` whose message names the row, the event and the hit. Rows are counted
from 1 and the header is not counted.
"""

from __future__ import annotations

import os
import re
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from hepchallenge.data.files import told_when_full
from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.untrusted import (
    ARROW_TYPES,
    BYTES_OF_HEADER,
    Regular,
    Unpacked,
    cap_for,
    check_nulls,
    check_parquet,
    csv_header,
    explain_csv,
    open_regular,
    parse_csv,
    suffix_of,
    unpacked,
)

__all__ = ["EventPredictions", "read_event_predictions"]

Integers = NDArray[np.int64]

_BLOCK = 8 << 20
"""Bytes of text that are parsed at a time."""

_ROWS = 1 << 19
"""Rows of Parquet that are read at a time."""

_LONGEST_LINE = 64 * 1024
_WIDTH = 8


def read_event_predictions(
    path: str | os.PathLike[str],
    columns: Mapping[str, str],
    event_column: str,
    id_column: str,
    event_ids: Integers,
    hit_ids: Callable[[int], Integers],
    out: Path,
) -> EventPredictions:
    """Read and check one prediction file, and sort its values into events.

    Parameters
    ----------
    path : path
        The file: `.csv`, `.csv.gz`, `.csv.zip` (one member) or `.parquet`; not a link.
    columns : mapping of str to 'int64'
        Exactly the three columns that the file must have, in any order.
    event_column, id_column : str
        Which of them tell the event and the hit. The third holds the values, from 0.
    event_ids : array of int64, shape (n_events,)
        The events, each once.
    hit_ids : function
        `hit_ids(i)` gives the ids of the hits of the i-th event, each once; it is called more than once.
    out : Path
        A folder on the disk that is to hold the values, 8 bytes a hit; the file there has no name, and is
        gone with the result.

    Returns
    -------
    EventPredictions
        A sequence of one int64 array per event, in the order of `hit_ids(i)`.

    Raises
    ------
    InvalidSubmission
        If the file is not readable, not regular, too large, damaged or of an unknown format; a column is
        missing, unexpected or twice there; a value is no 64-bit integer, or negative; an event or a hit is
        unknown, or a hit is missing or twice there.
    InfrastructureError
        If the disk is full.
    ValueError
        If the request itself is not as described.

    Notes
    -----
    File and unpacked content may hold at most 64 bytes a cell and 64 KiB besides.
    """
    value_column = _checked_request(columns, event_column, id_column, event_ids)
    file = Path(path)
    suffix = suffix_of(file)
    sizes = np.array([len(hit_ids(i)) for i in range(len(event_ids))], dtype=np.int64)
    n_rows = int(sizes.sum())
    cap = cap_for(columns, n_rows)
    order = (event_column, id_column, value_column)
    with told_when_full(out):
        predictions = EventPredictions._in(out, sizes)
        try:
            places = _Places(file.name, order, event_ids, hit_ids, predictions)
            with open_regular(file, cap) as regular:
                if suffix == ".parquet":
                    rows = _parquet_rows(regular, columns, n_rows, cap)
                else:
                    rows = _csv_rows(regular, suffix, columns, [event_column, id_column], cap)
                for first_row, table in rows:
                    places.fill(first_row, *(table.column(name).to_numpy() for name in order))
            places.check_complete()
        except BaseException:
            predictions.close()
            raise
    return predictions


def _checked_request(
    columns: Mapping[str, str], event_column: str, id_column: str, event_ids: Integers
) -> str:
    values = [name for name in columns if name not in (event_column, id_column)]
    if len(columns) != 3 or len(values) != 1 or set(columns.values()) != {"int64"}:
        named = f"{event_column!r} and {id_column!r}"
        raise ValueError(f"expected three int64 columns, among them {named}, got {dict(columns)}")
    if event_ids.ndim != 1 or event_ids.dtype != np.int64 or not len(event_ids):
        raise ValueError(f"event ids must be an array of int64, got {event_ids.dtype} of {event_ids.shape}")
    if len(np.unique(event_ids)) != len(event_ids):
        raise ValueError("an event id comes twice")
    return values[0]


# ---- the result --------------------------------------------------------------------------------------


class EventPredictions(Sequence[Integers]):
    """One array of int64 per event, read from disk when it is asked for.

    The disk space is given back when the object is closed or no longer used.
    """

    def __init__(self, descriptor: int, sizes: Integers) -> None:
        self._descriptor = descriptor
        self._ends = np.cumsum(sizes) * _WIDTH
        self._sizes = sizes
        self._close = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def _in(cls, folder: Path, sizes: Integers) -> EventPredictions:
        descriptor, name = tempfile.mkstemp(prefix=".tmp-", dir=folder)
        os.unlink(name)
        predictions = cls(descriptor, sizes)
        # A hole: what was not written yet reads as zero.
        os.ftruncate(descriptor, int(sizes.sum()) * _WIDTH)
        return predictions

    def close(self) -> None:
        """Give the disk space back; nothing can be read any more."""
        self._close()

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, index: int) -> Integers: ...
    @overload
    def __getitem__(self, index: slice) -> list[Integers]: ...

    def __getitem__(self, index: int | slice) -> Integers | list[Integers]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return ~self._stored(range(len(self))[index])

    # A value v is stored as ~v = -v - 1: zero stays free for "not there yet", and every v from 0 fits.

    def _stored(self, event: int) -> Integers:
        stored = np.empty(self._sizes[event], dtype=np.int64)
        view = _bytes_of(stored)
        start = int(self._ends[event]) - len(view)
        done = 0
        while done < len(view):
            got = os.preadv(self._descriptor, [view[done:]], start + done)
            if not got:
                raise OSError(f"the predictions of event number {event} end after {done} bytes")
            done += got
        return stored

    def _store(self, event: int, stored: Integers) -> None:
        view = _bytes_of(stored)
        start = int(self._ends[event]) - len(view)
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], start + done)


def _bytes_of(values: Integers) -> memoryview:
    return memoryview(cast("Any", values.view(np.uint8)))


# ---- rows --------------------------------------------------------------------------------------------


class _Places:
    """Brings values to the places of their hits."""

    def __init__(
        self,
        name: str,
        columns: tuple[str, str, str],
        event_ids: Integers,
        hit_ids: Callable[[int], Integers],
        predictions: EventPredictions,
    ) -> None:
        self._name = name
        self._event_column, self._id_column, self._value_column = columns
        self._event_ids, self._hit_ids = event_ids, hit_ids
        self._predictions = predictions
        self._number = {event_id: number for number, event_id in enumerate(event_ids.tolist())}
        # Hits are mostly numbered without gaps; then the first id says where all are.
        self._first: dict[int, int | None] = {}
        self._filled = 0

    def fill(self, first_row: int, events: Integers, hits: Integers, values: Integers) -> None:
        """Store some rows of the file, of which `first_row` came before.

        Raises
        ------
        InvalidSubmission
            For the first of them that is wrong.
        """
        faults: list[tuple[int, str]] = []
        negative = values < 0
        if negative.any():
            row = int(np.argmax(negative))
            faults.append((row, f"{self._value_column}: expected an integer from 0, found {values[row]}"))
        for rows in _groups(events):
            event_id = int(events[rows[0]])
            if event_id not in self._number:
                faults.append((int(rows[0]), f"there is no such {self._event_column} among the test events"))
                continue
            fault = self._fill_event(self._number[event_id], hits[rows], values[rows])
            if fault is not None:
                faults.append((int(rows[fault[0]]), fault[1]))
        if faults:
            row, message = min(faults)
            ids = f"{self._event_column} {events[row]}, {self._id_column} {hits[row]}"
            raise InvalidSubmission(f"{self._name}: row {first_row + row + 1} ({ids}): {message}")
        self._filled += len(events)

    def _fill_event(self, number: int, hits: Integers, values: Integers) -> tuple[int, str] | None:
        """Store rows of one event; return the first that is wrong, and why."""
        place = self._locate(number, hits)
        if (place < 0).any():
            return int(np.argmax(place < 0)), f"there is no such {self._id_column} in this event"
        stored = self._predictions._stored(number)
        twice = stored[place] != 0
        # Where several rows go to one place, only the last finds its own number there.
        tickets = np.arange(1, len(place) + 1)
        stored[place] = tickets
        if twice.any() or not np.array_equal(stored[place], tickets):
            _, first = np.unique(place, return_index=True)
            later = np.ones(len(place), dtype=bool)
            later[first] = False
            return int(np.argmax(twice | later)), f"this {self._id_column} was there before"
        stored[place] = ~values
        self._predictions._store(number, stored)
        return None

    def _locate(self, number: int, hits: Integers) -> Integers:
        """Return the place of each hit within its event, -1 where there is none."""
        if number not in self._first:
            ids = np.asarray(self._hit_ids(number))
            dense = len(ids) > 0 and np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids)))
            self._first[number] = int(ids[0]) if dense else None
        first = self._first[number]
        if first is not None:
            # Differences that overflow become negative or too large, never a place.
            place = hits - np.int64(first)
            return np.where(place.view(np.uint64) < self._predictions._sizes[number], place, -1)
        ids = np.asarray(self._hit_ids(number), dtype=np.int64)
        if not len(ids):
            return np.full(len(hits), -1)
        order = np.argsort(ids)
        nearest = order[np.minimum(np.searchsorted(ids[order], hits), len(ids) - 1)]
        return np.where(ids[nearest] == hits, nearest, -1)

    def check_complete(self) -> None:
        """Refuse a file that lacks hits; all its rows are different ones."""
        expected = int(self._predictions._sizes.sum())
        if self._filled == expected:
            return
        for number, event_id in enumerate(self._event_ids.tolist()):
            missing = self._predictions._stored(number) == 0
            if missing.any():
                hit = self._hit_ids(number)[int(np.argmax(missing))]
                raise InvalidSubmission(
                    f"{self._name}: {self._event_column} {event_id}, {self._id_column} {hit} is missing: "
                    f"expected {expected} rows, found {self._filled}"
                )


def _groups(events: Integers) -> Iterator[Integers]:
    """Yield the rows of every event that occurs, in their order."""
    if not len(events):
        return
    rows = np.arange(len(events))
    if (events[1:] < events[:-1]).any():
        rows = np.argsort(events, kind="stable")
        events = events[rows]
    yield from np.split(rows, np.flatnonzero(events[1:] != events[:-1]) + 1)


def _csv_rows(
    regular: Regular, suffix: str, columns: Mapping[str, str], id_columns: Sequence[str], cap: int
) -> Iterator[tuple[int, pa.Table]]:
    """Yield parsed pieces of a CSV file, with the number of rows before each."""
    name, row = regular.name, 0
    names: list[str] | None = None
    types = {column: ARROW_TYPES[kind] for column, kind in columns.items()}
    with unpacked(regular, suffix, cap) as stream:
        for block in _whole_lines(name, stream):
            if names is None:
                names = csv_header(name, columns, block)
                end = re.search(rb"\r\n?|\n", block)
                block = block[end.end() :] if end else b""
            if not block.strip(b"\r\n"):
                # The parser takes text without rows for an error.
                continue
            try:
                table = parse_csv(block, types, names)
            except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
                explain_csv(name, block, columns, id_columns, names=names, first_row=row)
                raise InvalidSubmission(f"{name}: not a readable CSV file: {str(error)[:200]}") from None
            yield row, table.combine_chunks()
            row += table.num_rows
    if names is None:
        csv_header(name, columns, b"")


def _whole_lines(name: str, stream: Unpacked) -> Iterator[bytes]:
    """Cut a text into blocks that end with a line."""
    begun = b""
    while chunk := stream.read(_BLOCK):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield begun + chunk[:end]
            begun = b""
        begun += chunk[end:]
        if len(begun) > max(_LONGEST_LINE, BYTES_OF_HEADER):
            raise InvalidSubmission(f"{name}: expected lines of at most {_LONGEST_LINE} bytes")
    if begun:
        yield begun


def _parquet_rows(
    regular: Regular, columns: Mapping[str, str], n_rows: int, cap: int
) -> Iterator[tuple[int, pa.Table]]:
    """Yield pieces of a Parquet file, with the number of rows before each."""
    name, row = regular.name, 0
    with regular.stream() as stream:
        try:
            file = pa_parquet.ParquetFile(pa.PythonFile(stream, mode="r"), buffer_size=1 << 20)
            check_parquet(name, file, columns, n_rows, cap)
            batches = file.iter_batches(_ROWS, columns=list(columns), use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(name, error) from None
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                for column in columns:
                    check_nulls(name, column, batch.column(column), row)
                table = pa.table({c: batch.column(c).cast(pa.int64()) for c in columns})
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _unreadable(name, error) from None
            yield row, table
            row += table.num_rows


def _unreadable(name: str, error: Any) -> InvalidSubmission:
    return InvalidSubmission(f"{name}: not a readable Parquet file: {str(error)[:200]}")
