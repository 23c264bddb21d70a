"""TrackML events as they are published, and the functions of trackml-library that read them.

An event is a handful of CSV files with a common prefix: `event000001000-hits.csv`, `-cells`, `-particles` and
`-truth`, plain or gzipped, in folders, zip or tar archives. Test events have no truth. The particles of later
releases have a column `particle_type`. The detector is one `detectors.csv`.

`load_event` and `load_dataset` give the frames that the functions of the same names in trackml-library
(GitHub, LAL/trackml-library) give: the same columns in the same order with the same types. Unlike those they
check what they read, and name the file, the column and the row of what is wrong.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from hepchallenge.data import (
    Published,
    TableSchema,
    archives_kept_open,
    check_table,
    published_files,
    read_csv,
)
from hepchallenge.data.files import told_when_full
from hepchallenge.exceptions import DataError

__all__ = [
    "DETECTORS_SCHEMA",
    "PARTS",
    "SCHEMAS",
    "EventFiles",
    "check_detectors",
    "check_event",
    "find_detectors",
    "find_events",
    "load_dataset",
    "load_detectors",
    "load_event",
    "read_detectors",
    "read_event",
    "table_of",
    "write_detectors",
    "write_event",
]

PARTS = ("hits", "cells", "particles", "truth")
"""The files of an event."""

SCHEMAS = {
    "hits": TableSchema(
        columns={
            "hit_id": pa.int32(),
            **dict.fromkeys(("x", "y", "z"), pa.float32()),
            **dict.fromkeys(("volume_id", "layer_id", "module_id"), pa.int32()),
        },
        unique=["hit_id"],
    ),
    "cells": TableSchema(
        columns={**dict.fromkeys(("hit_id", "ch0", "ch1"), pa.int32()), "value": pa.float32()},
        may_be_empty=True,
    ),
    "particles": TableSchema(
        columns={
            "particle_id": pa.int64(),
            "particle_type": pa.int32(),
            **dict.fromkeys(("vx", "vy", "vz", "px", "py", "pz"), pa.float32()),
            **dict.fromkeys(("q", "nhits"), pa.int32()),
        },
        unique=["particle_id"],
        optional=["particle_type"],
        may_be_empty=True,
    ),
    "truth": TableSchema(
        columns={
            "hit_id": pa.int32(),
            "particle_id": pa.int64(),
            **dict.fromkeys(("tx", "ty", "tz", "tpx", "tpy", "tpz", "weight"), pa.float32()),
        },
        unique=["hit_id"],
        weights=["weight"],
    ),
}
"""Columns of the files of an event: lengths in mm, momenta in GeV."""

_MODULE = ("volume_id", "layer_id", "module_id")

DETECTORS_SCHEMA = TableSchema(
    columns={
        **dict.fromkeys(_MODULE, pa.int32()),
        **dict.fromkeys(("cx", "cy", "cz"), pa.float64()),
        **{f"rot_{a}{b}": pa.float64() for a in "xyz" for b in "uvw"},
        **dict.fromkeys(("module_t", "module_minhu", "module_maxhu", "module_hv"), pa.float64()),
        **dict.fromkeys(("pitch_u", "pitch_v"), pa.float64()),
    }
)
"""Columns of `detectors.csv`, lengths in mm; a point of a module is xyz = rot uvw + c."""

# Some copies of detectors.csv begin with a nameless column of row numbers.
_DETECTORS_IN_FILE = TableSchema(columns={**DETECTORS_SCHEMA.columns, "": pa.int64()}, optional=[""])

_EVENT_FILE = re.compile(r"event(\d{9})-(hits|cells|particles|truth)\.csv(?:\.gz)?")


# --- Checks


def table_of(frame: pd.DataFrame, schema: TableSchema, where: str) -> pa.Table:
    """Turn a frame into a table with the columns of a schema, in its order and of its types.

    Parameters
    ----------
    frame : DataFrame
        Other columns than those of the schema are left out. Numbers may have wider types.
    where : str
        What an error names as the file.

    Raises
    ------
    DataError
        If a column is missing, or its values are not numbers or not of the type's range.
    """
    columns = {}
    for name, kind in schema.columns.items():
        if name not in frame.columns:
            if name in schema.optional:
                continue
            found = f"only {', '.join(map(str, frame.columns))}"
            raise DataError(where, f"column {name}", "it in the table", found)
        values = frame[name].to_numpy()
        if values.dtype.kind not in ("iu" if pa.types.is_integer(kind) else "iuf"):
            expected = "whole numbers" if pa.types.is_integer(kind) else "numbers"
            raise DataError(where, f"column {name}", expected, f"the type {values.dtype}")
        try:
            columns[name] = pa.array(values).cast(kind, safe=pa.types.is_integer(kind))
        except pa.ArrowInvalid as error:
            raise DataError(where, f"column {name}", f"the type {kind}", str(error)) from None
    return pa.table(columns)


def _first(wrong: NDArray[np.bool_]) -> int:
    return int(np.argmax(wrong))


def check_event(tables: Mapping[str, pa.Table], file: object | Mapping[str, object]) -> dict[str, pa.Table]:
    """Check that the parts of an event belong together; return them with the truth in the order of the hits.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Each checked against its schema; `hits`, and any of the others.
    file : object, or a mapping of part to object
        What an error names as the file.

    Raises
    ------
    DataError
        If the truth lacks a hit or has one that does not exist, or cells are of a hit that does not exist.
    """
    names = file if isinstance(file, Mapping) else dict.fromkeys(PARTS, file)
    checked = dict(tables)
    hits = tables["hits"]["hit_id"].to_numpy()
    if "truth" in tables:
        checked["truth"] = _in_order(tables["truth"], hits, names["truth"])
    if "cells" in tables:
        cells = tables["cells"]["hit_id"].to_numpy()
        unknown = ~np.isin(cells, hits)
        if unknown.any():
            row = _first(unknown)
            expected = "the hit_id of one of the hits"
            raise DataError(names["cells"], f"column hit_id, row {row + 1}", expected, str(cells[row]))
    return checked


def _in_order(truth: pa.Table, hits: NDArray[np.int32], file: object) -> pa.Table:
    found = truth["hit_id"].to_numpy()
    if np.array_equal(found, hits):
        return truth
    unknown = ~np.isin(found, hits)
    if unknown.any():
        row = _first(unknown)
        expected = "the hit_id of one of the hits"
        raise DataError(file, f"column hit_id, row {row + 1}", expected, str(found[row]))
    missing = ~np.isin(hits, found)
    if missing.any():
        expected = f"a row for hit {hits[_first(missing)]}"
        raise DataError(file, "column hit_id", expected, f"none ({int(missing.sum())} hits have none)")
    # The same different ids in another order.
    order = np.empty(len(hits), dtype=np.int64)
    order[np.argsort(hits)] = np.argsort(found)
    return truth.take(pa.array(order))


def check_detectors(table: pa.Table, file: object) -> None:
    """Check the values of `detectors.csv`: finite numbers, every module once.

    Raises
    ------
    DataError
        If they are not so.
    """
    check_table(table, DETECTORS_SCHEMA, file)
    modules = np.stack([table[name].to_numpy() for name in _MODULE], axis=1)
    _, first, counts = np.unique(modules, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        again = np.ones(len(modules), dtype=bool)
        again[first] = False
        row = _first(again)
        where = f"columns {', '.join(_MODULE)}, row {row + 1}"
        raise DataError(file, where, "every module once", f"{tuple(modules[row].tolist())} again")


# --- Finding and reading


@dataclass(frozen=True)
class EventFiles:
    """Where the parts of one event lie."""

    event_id: int
    files: Mapping[str, Published]


@dataclass(frozen=True)
class _Loaded(Published):
    """A published file that was unpacked into memory: it is opened several times, by checks and parsers."""

    content: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return str(Published(self.path, self.members))

    @contextlib.contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self.content)


def find_events(source: Path) -> list[EventFiles]:
    """Find all events in a folder with its subfolders, or in one archive, sorted by event id.

    An event that lies in several places (folders, archives, folders in archives) is taken from one that has
    its truth, preferably unpacked, else from the first by name.

    Raises
    ------
    DataError
        If the path does not exist, an archive is damaged, or a place holds a file twice (plain and gzipped).
    """
    places: dict[tuple[int, str], dict[str, Published]] = {}
    for file in published_files(source, subfolders=True):
        match = _EVENT_FILE.fullmatch(file.name)
        if match is None:
            continue
        files = places.setdefault((int(match[1]), str(file)[: -len(file.name)]), {})
        if match[2] in files:
            both = f"{files[match[2]].name} and {file.name}"
            raise DataError(file, "file", f"the {match[2]} of event {int(match[1])} once", both)
        files[match[2]] = file
    best: dict[int, tuple[tuple[bool, bool, str], EventFiles]] = {}
    for (event_id, place), files in places.items():
        rank = ("truth" not in files, any(file.members for file in files.values()), place)
        if event_id not in best or rank < best[event_id][0]:
            best[event_id] = rank, EventFiles(event_id, files)
    return [best[event_id][1] for event_id in sorted(best)]


def read_part(event: EventFiles, name: str) -> pa.Table:
    """Read and check one part of an event.

    Raises
    ------
    DataError
        If there is no such file, or it does not hold what it should.
    """
    if name not in event.files:
        there = ", ".join(str(file) for file in event.files.values()) or "none"
        raise DataError(
            f"event{event.event_id:09d}-{name}.csv", "file", "it with the others", f"only {there}"
        )
    file = event.files[name]
    with file.open() as stream:
        content = stream.read()
    return read_csv(_Loaded(file.path, file.members, content), SCHEMAS[name])


def read_event(event: EventFiles) -> dict[str, pa.Table]:
    """Read all parts of an event; cells may be absent, the truth comes in the order of the hits.

    Raises
    ------
    DataError
        If another part is missing, or something is wrong in it.
    """
    # In an archive the parts lie in the order of their names; reading on is cheaper than going back.
    tables = {
        name: read_part(event, name) for name in sorted(PARTS) if name in event.files or name != "cells"
    }
    if "cells" not in tables:
        tables["cells"] = pa.table(
            {name: pa.array([], kind) for name, kind in SCHEMAS["cells"].columns.items()}
        )
    checked = check_event(tables, event.files)
    return {name: checked[name] for name in PARTS}


def find_detectors(source: Path) -> Published | None:
    """Find `detectors.csv` (also `.gz` or in an archive): the one that lies least deep, unpacked if possible.

    Raises
    ------
    DataError
        If there are several that fit equally well, the path does not exist, or an archive is damaged.
    """
    ranked: dict[tuple[int, bool, bool], list[Published]] = {}
    for file in published_files(source, subfolders=True):
        if file.name in ("detectors.csv", "detectors.csv.gz"):
            depth = len(file.path.parts) + sum(member.count("/") for member in file.members)
            ranked.setdefault((depth, bool(file.members), file.name.endswith(".gz")), []).append(file)
    if not ranked:
        return None
    best = ranked[min(ranked)]
    if len(best) > 1:
        raise DataError(source, "detectors.csv", "one such file", ", ".join(map(str, best)))
    return best[0]


def read_detectors(file: Published) -> pa.Table:
    """Read and check `detectors.csv`; a nameless first column with row numbers is left out.

    Raises
    ------
    DataError
        If it does not hold what it should.
    """
    table = read_csv(file, _DETECTORS_IN_FILE).select(list(DETECTORS_SCHEMA.columns))
    check_detectors(table, file)
    return table


# --- The functions of trackml-library


def _checked_parts(parts: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in parts if name not in PARTS]
    if unknown:
        raise ValueError(f"parts must be of {', '.join(PARTS)}, got {unknown[0]!r}")
    return parts


def _frames(event: EventFiles, parts: Sequence[str]) -> tuple[pd.DataFrame, ...]:
    return tuple(read_part(event, name).to_pandas() for name in parts)


def load_event(prefix: str | os.PathLike[str], parts: Sequence[str] = PARTS) -> tuple[pd.DataFrame, ...]:
    """Load parts of one event, as `trackml.dataset.load_event` does.

    Parameters
    ----------
    prefix : path
        What the names of its files begin with, such as `train_sample/event000001000`.
    parts : sequence of {'hits', 'cells', 'particles', 'truth'}
        Which to load, and in which order.

    Returns
    -------
    tuple of DataFrame
        With the rows as they are in the files.

    Raises
    ------
    DataError
        If a file is missing, there twice (plain and gzipped), or does not hold what it should.
    """
    place = Path(prefix)
    files = {}
    for name in _checked_parts(parts):
        there = [place.with_name(f"{place.name}-{name}.csv{end}") for end in ("", ".gz")]
        there = [file for file in there if file.exists()]
        if len(there) != 1:
            found = "both" if there else "no such file"
            raise DataError(f"{place}-{name}.csv", "file", "it, plain or gzipped (.gz)", found)
        files[name] = Published(there[0])
    return _frames(EventFiles(-1, files), parts)


def load_dataset(
    path: str | os.PathLike[str],
    skip: int | None = None,
    nevents: int | None = None,
    parts: Sequence[str] = PARTS,
) -> Iterator[tuple[Any, ...]]:
    """Load the events of a folder or an archive one by one, as `trackml.dataset.load_dataset` does.

    Parameters
    ----------
    path : path
        A folder, also with subfolders and archives in it, or a zip archive.
    skip : int, optional
        How many events to leave out at the beginning.
    nevents : int, optional
        How many events to load at most.
    parts : sequence of {'hits', 'cells', 'particles', 'truth'}

    Yields
    ------
    event_id : int
    *frames : DataFrame
        One for each of `parts`. Events come sorted by id.

    Raises
    ------
    DataError
        See `load_event` and `find_events`.
    """
    _checked_parts(parts)
    first = skip or 0
    events = find_events(Path(path))[first : None if nevents is None else first + nevents]
    with archives_kept_open():
        for event in events:
            yield (event.event_id, *_frames(event, parts))


def load_detectors(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Load `detectors.csv`: ids as int32, all other columns as float64.

    Parameters
    ----------
    path : path
        The file, plain, gzipped or in a zip archive, or a folder in or below which it lies.

    Raises
    ------
    DataError
        If there is none, or it does not hold what it should.
    """
    place = Path(path)
    files = published_files(place) if place.is_file() else []
    # A single file may have any name.
    file = files[0] if len(files) == 1 else find_detectors(place)
    if file is None:
        raise DataError(place, "files", "detectors.csv (also .gz or .zip)", "no such file")
    frame: pd.DataFrame = read_detectors(file).to_pandas()
    return frame


# --- Writing


def _write_csv(file: Path, table: pa.Table) -> None:
    """Write a table so that reading it gives the same values, and that a reader sees all of it or nothing."""
    header = ",".join(table.column_names) + "\n"
    with told_when_full(file):
        descriptor, temporary = tempfile.mkstemp(prefix=".tmp-", dir=file.parent)
        try:
            with contextlib.ExitStack() as stack:
                stream: Any = stack.enter_context(os.fdopen(descriptor, "wb"))
                if file.name.endswith(".gz"):
                    # No time and no name, so that the same table gives the same file.
                    stream = stack.enter_context(
                        gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0)
                    )
                stream.write(header.encode())
                options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
                pa_csv.write_csv(table, pa.PythonFile(_Unclosed(stream), mode="w"), options)
            os.chmod(temporary, 0o644)
            os.replace(temporary, file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


class _Unclosed:
    """A stream that pyarrow may write to but not close."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self.write, self.flush = stream.write, stream.flush

    def close(self) -> None:
        """Leave it to who opened it."""


def write_event(
    folder: Path,
    event_id: int,
    hits: pd.DataFrame,
    cells: pd.DataFrame | None = None,
    particles: pd.DataFrame | None = None,
    truth: pd.DataFrame | None = None,
    *,
    compress: bool = False,
) -> list[Path]:
    """Write one event in the published format; values are read back exactly as they are after conversion.

    Parameters
    ----------
    folder : Path
        Where to write; made if it is not there.
    event_id : int
        From 0, of at most nine digits.
    hits, cells, particles, truth : DataFrame
        Converted to the published columns and types, and checked; what is None is not written.
    compress : bool
        Write `.csv.gz` instead of `.csv`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    DataError
        If a frame is not as published, or the frames do not belong together.
    """
    if not 0 <= event_id < 10**9:
        raise ValueError(f"event_id must be from 0 to 999999999, got {event_id}")
    frames = {"hits": hits, "cells": cells, "particles": particles, "truth": truth}
    tables = {}
    for name, frame in frames.items():
        if frame is not None:
            where = f"event {event_id}, {name}"
            tables[name] = table_of(frame, SCHEMAS[name], where)
            check_table(tables[name], SCHEMAS[name], where)
    check_event(tables, f"event {event_id}")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, table in tables.items():
        files.append(folder / f"event{event_id:09d}-{name}.csv{'.gz' if compress else ''}")
        _write_csv(files[-1], table)
    return files


def write_detectors(file: Path, detectors: pd.DataFrame) -> None:
    """Write `detectors.csv`; gzipped if the name ends with `.gz`.

    Raises
    ------
    DataError
        If the frame is not as published.
    """
    table = table_of(detectors, DETECTORS_SCHEMA, "detectors")
    check_detectors(table, "detectors")
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_csv(file, table)
