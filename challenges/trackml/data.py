"""TrackML data: published events and simulated ones become the same prepared folder, event by event.

A prepared folder holds `<part>-hits.arrow`, `<part>-cells.arrow`, `<part>-particles.arrow` and
`<part>-truth.arrow` for the parts `train` and `test`, each with one record batch per event, in the order of
`events.arrow` (`event_id`; `part`: train, public or private), and `detectors.arrow`. Writing and reading need
the memory of one event, however many there are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hepchallenge.challenges.trackml.events import Events, Truths
from hepchallenge.challenges.trackml.published import (
    DETECTORS_SCHEMA,
    SCHEMAS,
    check_detectors,
    check_event,
    find_detectors,
    find_events,
    read_detectors,
    read_event,
    table_of,
)
from hepchallenge.data import (
    BatchWriter,
    PreparedWriter,
    archives_kept_open,
    check_table,
    read_table,
    writing_prepared,
)
from hepchallenge.exceptions import DataError

__all__ = [
    "NAME",
    "PUBLIC_SHARE",
    "SPLIT_SEED",
    "TEST_SHARE",
    "PreparedEvent",
    "open_events",
    "prepare_data",
    "split_events",
    "test_parts",
    "write_prepared_events",
]

NAME = "trackml"

SPLIT_SEED = 2018
TEST_SHARE = 0.25
"""Share of the events that are for testing, rounded up to whole events."""
PUBLIC_SHARE = 0.29
"""Share of the test events whose scores are public. Reported for the original competition, not confirmed."""

Part = Literal["train", "public", "private"]


class PreparedEvent(NamedTuple):
    """One event on its way into a prepared folder; the frames have the columns of the published files."""

    event_id: int
    part: Part
    hits: pd.DataFrame
    cells: pd.DataFrame
    particles: pd.DataFrame
    truth: pd.DataFrame


def split_events(event_ids: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return the part of every event: `train`, `public` or `private`.

    The events are put into the order of a hash of their ids. The first quarter (rounded up) is for testing;
    of that the first 29 % (rounded) are public. The parts follow from which events
    there are alone, not from their order. A single event is a private test event.

    Parameters
    ----------
    event_ids : array of int64, shape (n,)
        Different ids.
    """
    keys = [hashlib.sha256(f"{SPLIT_SEED}:{event_id}".encode()).digest() for event_id in event_ids]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    n_test = math.ceil(TEST_SHARE * len(keys))
    n_public = round(PUBLIC_SHARE * n_test)
    parts = np.full(len(keys), "train", dtype="U7")
    parts[order[:n_test]] = "private"
    parts[order[:n_public]] = "public"
    return parts


# --- Writing


class _EventWriter:
    """The tables of events in a prepared folder in the making."""

    def __init__(self, writer: PreparedWriter) -> None:
        self._writer = writer
        self._streams: dict[str, dict[str, BatchWriter]] = {}
        self._parts: dict[int, str] = {}

    def write(self, event_id: int, part: str, tables: Mapping[str, pa.Table], file: object) -> None:
        """Append one event whose tables were checked."""
        if event_id in self._parts:
            raise DataError(file, "event", "every event once", f"event {event_id} again")
        if part not in ("train", "public", "private"):
            raise ValueError(f"event {event_id}: the part must be train, public or private, got {part!r}")
        if not self._streams:
            # The first event tells whether the particles have a type; the others must be alike.
            for split in ("train", "test"):
                self._streams[split] = {
                    name: self._writer.stream(f"{split}-{name}", table.schema.remove_metadata())
                    for name, table in tables.items()
                }
        self._parts[event_id] = part
        for name, stream in self._streams["train" if part == "train" else "test"].items():
            table = tables[name]
            if table.column_names != stream.schema.names:
                expected = f"the columns {', '.join(stream.schema.names)}, as in the first event"
                raise DataError(file, f"{name} of event {event_id}", expected, ", ".join(table.column_names))
            arrays = [column.combine_chunks() for column in table.columns]
            stream.write(pa.record_batch(arrays, schema=stream.schema))

    def finish(self, detectors: pa.Table) -> None:
        """Write the list of events, and the detector."""
        events = {"event_id": pa.array(self._parts, pa.int64()), "part": list(self._parts.values())}
        self._writer.add("events", pa.table(events))
        self._writer.add("detectors", detectors)
        counts = {part: list(self._parts.values()).count(part) for part in ("train", "public", "private")}
        self._writer.info["events"] = counts


def write_prepared_events(
    target: Path,
    events: Iterable[PreparedEvent],
    detectors: pd.DataFrame,
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write a prepared folder from events in memory, one after the other, as a simulation makes them.

    Parameters
    ----------
    target : Path
        The folder that the framework gave.
    events : iterable of PreparedEvent
        The frames may have their columns in any order and wider types than the published ones, to which
        they are converted. Rows of `truth` are put into the order of `hits`.
    detectors : DataFrame
        The columns of `detectors.csv`.
    info : mapping, optional
        What to tell about the data; the numbers of events are added as `events`.

    Raises
    ------
    DataError
        If there are no events, an event comes twice, or a frame is not as published: a column is missing, a
        value is not finite or does not fit its type, hits, truth and cells do not belong together.
    """
    modules = table_of(detectors, DETECTORS_SCHEMA, "detectors")
    check_detectors(modules, "detectors")
    with writing_prepared(target) as writer:
        writer.info.update(info or {})
        written = _EventWriter(writer)
        count = 0
        for event in events:
            file = f"event {event.event_id}"
            tables = {}
            for name, schema in SCHEMAS.items():
                where = f"{file}, {name}"
                tables[name] = table_of(getattr(event, name), schema, where)
                check_table(tables[name], schema, where)
            written.write(event.event_id, event.part, check_event(tables, file), file)
            count += 1
        if not count:
            raise DataError(target, "events", "at least one", "none")
        written.finish(modules)


def prepare_data(source: Path, target: Path) -> None:
    """Read published events in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder, searched with its subfolders, or an archive: `event000001000-hits.csv` and its like, plain,
        gzipped or in archives (`.zip`, `.tar`) such as `train_1.zip`; and `detectors.csv`, also gzipped or
        in an archive. Archives in compressed archives are read slowly: unpack the outer one.

    Raises
    ------
    DataError
        If no event has a truth, a part of an event or `detectors.csv` is missing, or a file does not hold
        what it should.

    Notes
    -----
    Events without truth, such as the published test events, cannot be scored: they are left out, and counted
    in the manifest. An event that lies in several places is read in one of them. Cells may be absent.
    Lists of bad hits (`blacklist_training.zip`) are ignored.
    """
    found = find_events(source)
    scored = [event for event in found if "truth" in event.files]
    if not scored:
        expected = "events with hits, particles and truth (event000001000-hits.csv, ..., also .gz or in zips)"
        there = f"{len(found)} events, none of them with truth" if found else "no events"
        raise DataError(source, "files", expected, there)
    detectors = find_detectors(source)
    if detectors is None:
        raise DataError(source, "files", "detectors.csv (also .gz or .zip) with the events", "no such file")
    ids = np.array([event.event_id for event in scored], dtype=np.int64)
    parts = split_events(ids)
    with writing_prepared(target) as writer, archives_kept_open():
        writer.info.update(
            split=f"a quarter for testing, of that {PUBLIC_SHARE:.0%} public, by hash with seed {SPLIT_SEED}",
            left_out_without_truth=len(found) - len(scored),
        )
        written = _EventWriter(writer)
        for event, part in zip(scored, parts.tolist(), strict=True):
            written.write(event.event_id, part, read_event(event), event.files["hits"])
        written.finish(read_detectors(detectors))


# --- Reading


def _listed(prepared: Path, part: str) -> tuple[NDArray[np.int64], list[str]]:
    """Return the ids and parts of the train or test events."""
    if part not in ("train", "test"):
        raise ValueError(f"part must be train or test, got {part!r}")
    events = read_table(prepared, "events", ["event_id", "part"])
    parts = events["part"].to_pylist()
    chosen = np.array([(name == "train") == (part == "train") for name in parts], dtype=bool)
    ids: NDArray[np.int64] = events["event_id"].to_numpy()[chosen]
    return ids, [name for name, take in zip(parts, chosen.tolist(), strict=True) if take]


def open_events(prepared: Path, part: str) -> tuple[Events, Truths]:
    """Return the events of a prepared folder and their truth; nothing is read before it is asked for.

    Parameters
    ----------
    prepared : Path
        The folder, as `hepchallenge.data.open_prepared` returns it.
    part : {'train', 'test'}

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    ids, _ = _listed(prepared, part)
    files = {name: prepared / f"{part}-{name}.arrow" for name in SCHEMAS}
    events = Events(files["hits"], files["cells"], ids, prepared / "detectors.arrow")
    return events, Truths(files["truth"], files["particles"], ids)


def test_parts(prepared: Path) -> NDArray[np.str_]:
    """Return `public` or `private` for every test event, in order."""
    return np.array(_listed(prepared, "test")[1], dtype="U7")
