"""Events of the TrackML challenges: lazy sequences over prepared Arrow files, one event in memory at a time.

The files hold one record batch per event. A file is mapped anew for every event and let go with the event, so
that the memory in use does not grow with the number of events that were looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hepchallenge.exceptions import DataError

__all__ = ["Event", "EventTruth", "Events", "TrainingEvent", "TrainingEvents", "Truths"]


class Event(NamedTuple):
    """What a submission sees of one event.

    Parameters
    ----------
    hits : DataFrame
        `hit_id` int32; `x`, `y`, `z` float32 [mm]; `volume_id`, `layer_id`, `module_id` int32.
    cells : DataFrame
        `hit_id`, `ch0`, `ch1` int32, `value` float32, one row per channel of a hit; may have no rows.
    """

    hits: pd.DataFrame
    cells: pd.DataFrame


@dataclass(frozen=True)
class EventTruth:
    """What happened in one event; its length is the number of hits.

    Parameters
    ----------
    truth : DataFrame
        One row per hit, in the order of the hits: `hit_id` int32, `particle_id` int64 (0: no particle), `tx`,
        `ty`, `tz` float32 [mm], `tpx`, `tpy`, `tpz` float32 [GeV], `weight` float32 as published.
    particles : DataFrame
        `particle_id` int64; `particle_type` int32, in some publications only; `vx`, `vy`, `vz` float32 [mm];
        `px`, `py`, `pz` float32 [GeV]; `q`, `nhits` int32.
    """

    truth: pd.DataFrame
    particles: pd.DataFrame

    def __len__(self) -> int:
        return len(self.truth)


class TrainingEvent(NamedTuple):
    """One event with its truth, as `Tracker.fit` gets it; frames as in `Event` and `EventTruth`."""

    event_id: int
    hits: pd.DataFrame
    cells: pd.DataFrame
    particles: pd.DataFrame
    truth: pd.DataFrame


class _Batches:
    """The record batches of an Arrow file; only its path is kept, so that it can be pickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @contextlib.contextmanager
    def _open(self) -> Iterator[pa.RecordBatchFileReader]:
        # Frames keep the mapped pages alive; without any, the map goes with the block.
        try:
            with pa.memory_map(str(self.file)) as source:
                yield pa.ipc.open_file(source)
        except FileNotFoundError:
            raise DataError(self.file, "file", "a prepared table of events", "no such file") from None
        except (pa.ArrowInvalid, OSError) as error:
            message = str(error).splitlines()[0]
            raise DataError(self.file, "content", "a Feather v2 table", message) from error

    def __len__(self) -> int:
        with self._open() as reader:
            return int(reader.num_record_batches)

    def frame(self, index: int, *, writable: bool) -> pd.DataFrame:
        """Return one batch: columns that may be written into, or views of the mapped file."""
        with self._open() as reader:
            batch = reader.get_batch(index)
        columns = {
            name: column.to_numpy() for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        if writable:
            columns = {name: values.copy() for name, values in columns.items()}
        return pd.DataFrame(columns, copy=False)


class _Items:
    """What `Events` and `Truths` share: two files, and which of their batches belong, in which order."""

    def __init__(self, first: Path, second: Path, event_ids: NDArray[np.int64]) -> None:
        self._first, self._second = _Batches(first), _Batches(second)
        self._ids = np.asarray(event_ids, dtype=np.int64)
        self._rows = np.arange(len(self._ids))
        for batches in (self._first, self._second):
            if len(batches) != len(self._ids):
                raise DataError(batches.file, "events", str(len(self._ids)), str(len(batches)))

    @property
    def event_ids(self) -> NDArray[np.int64]:
        """The ids of the events, in order."""
        return self._ids[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def _chosen(self, index: Any) -> Any:
        chosen = object.__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen._rows = self._rows[index if isinstance(index, slice) else np.asarray(index)]
        return chosen


def _is_one(index: object) -> bool:
    """Whether an index means one event; a list, a slice or an array means a new sequence."""
    return isinstance(index, int | np.integer)


class Events(_Items, Sequence[Event]):
    """The events that a submission sees.

    An index gives an `Event`; a slice, a list of indices or an array of them (or of booleans) gives `Events`
    again. The frames are fresh copies, which may be changed.

    Parameters
    ----------
    hits, cells : Path
        Arrow files with one record batch per event.
    event_ids : array of int64, shape (n_events,)
    detectors : Path
        Arrow file with the modules of the detector.

    Raises
    ------
    DataError
        If a file is missing, damaged, or does not hold as many events.
    """

    def __init__(self, hits: Path, cells: Path, event_ids: NDArray[np.int64], detectors: Path) -> None:
        super().__init__(hits, cells, event_ids)
        self._detectors = _Batches(detectors)

    @cached_property
    def shared(self) -> pd.DataFrame:
        """The modules of the detector, one row each, with the columns of `detectors.csv`."""
        return self._detectors.frame(0, writable=True)

    def hit_ids(self, index: int) -> NDArray[np.int64]:
        """Return the `hit_id` of one event in the order of its hits, without reading anything else."""
        hits = self._first.frame(int(self._rows[index]), writable=False)
        return hits["hit_id"].to_numpy().astype(np.int64)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> Event: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Events: ...

    def __getitem__(self, index: Any) -> Any:
        if not _is_one(index):
            return self._chosen(index)
        row = int(self._rows[index])
        return Event(self._first.frame(row, writable=True), self._second.frame(row, writable=True))


class Truths(_Items, Sequence[EventTruth]):
    """The truth of the events; indices work as for `Events`. The frames are views, which cannot be changed.

    Parameters
    ----------
    truth, particles : Path
        Arrow files with one record batch per event.
    event_ids : array of int64, shape (n_events,)

    Raises
    ------
    DataError
        If a file is missing, damaged, or does not hold as many events.
    """

    def __init__(self, truth: Path, particles: Path, event_ids: NDArray[np.int64]) -> None:
        super().__init__(truth, particles, event_ids)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> EventTruth: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> Truths: ...

    def __getitem__(self, index: Any) -> Any:
        if not _is_one(index):
            return self._chosen(index)
        row = int(self._rows[index])
        return EventTruth(self._first.frame(row, writable=False), self._second.frame(row, writable=False))


class TrainingEvents(Sequence[TrainingEvent]):
    """Events with their truth, read one at a time: what `Tracker.fit` gets.

    Parameters
    ----------
    events : sequence of Event
        With attributes `event_ids` and `shared`, as `Events` has them.
    truths : sequence of EventTruth
        Of the same events in the same order.
    rows : array of int64, optional
        Which of them belong, in this order; default: all.

    Attributes
    ----------
    detectors : DataFrame
        The modules of the detector, one row each.
    """

    def __init__(self, events: Any, truths: Sequence[EventTruth], rows: NDArray[Any] | None = None) -> None:
        if len(events) != len(truths):
            raise ValueError(f"expected truths of {len(events)} events, found {len(truths)}")
        self._events, self._truths = events, truths
        self._rows = np.arange(len(events)) if rows is None else np.asarray(rows)
        self.detectors: pd.DataFrame = events.shared

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> TrainingEvent: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> TrainingEvents: ...

    def __getitem__(self, index: Any) -> Any:
        if not _is_one(index):
            rows = self._rows[index if isinstance(index, slice) else np.asarray(index)]
            return TrainingEvents(self._events, self._truths, rows)
        row = int(self._rows[index])
        hits, cells = self._events[row]
        known = self._truths[row]
        # Copies, as the frames of the hits are: a tracker may write into all of them.
        return TrainingEvent(
            int(self._events.event_ids[row]), hits, cells, known.particles.copy(), known.truth.copy()
        )
