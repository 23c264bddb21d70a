"""Published tables in, checked Arrow tables out; and the memory-mapped tables of a prepared folder.

A published table is CSV as its authors gave it away: plain, gzipped, or one of several members of a zip or
tar archive (also of one inside another). What it must hold is declared once, as a `TableSchema`; every
deviation is a `DataError` that names file, column and row. Rows are counted from 1 without the header.
"""

from __future__ import annotations

import contextlib
import csv
import fnmatch
import gzip
import hashlib
import json
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from hepchallenge.exceptions import DataError

__all__ = [
    "BatchWriter",
    "Published",
    "TableSchema",
    "archives_kept_open",
    "check_table",
    "find_published",
    "published_files",
    "read_csv",
    "read_table",
    "table_digest",
    "write_table",
]

_LONGEST_HEADER = 1 << 20
_opened: ContextVar[set[Path] | None] = ContextVar("opened", default=None)
_DAMAGED = (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError, zlib.error)
_ARCHIVES = (".zip", ".tar")


# --- Published files


@dataclass(frozen=True)
class Published:
    """A file on disk, or a member of a zip archive on disk; `members` leads through nested archives."""

    path: Path
    members: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "!".join((str(self.path), *self.members))

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return (self.members[-1] if self.members else self.path.name).rsplit("/", 1)[-1]

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open for reading, unpacked.

        Raises
        ------
        DataError
            If the file cannot be opened, or while reading turns out to be damaged or cut off.
        """
        opened = _opened.get()
        if opened is not None:
            opened.add(self.path)
        with self._unpacked() as stream:
            yield stream

    @contextlib.contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        with self._damage_named(), contextlib.ExitStack() as stack:
            stream: Any
            if self.members:
                archives = _kept.get() or _Archives(stack)
                archive = archives.open(self.path, self.members[:-1])
                stream = stack.enter_context(archive.open(self.members[-1]))
            else:
                stream = stack.enter_context(self.path.open("rb"))
            if self.name.endswith(".gz"):
                stream = stack.enter_context(gzip.GzipFile(fileobj=stream, mode="rb"))
            yield stream

    def _names(self) -> list[str]:
        """Return the names of the files inside this archive."""
        with self._damage_named(), contextlib.ExitStack() as stack:
            return _Archives(stack).open(self.path, self.members).names()

    @contextlib.contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGED as error:
            raise DataError(self, "content", "a whole file", f"{error} (cut off or damaged)") from error
        except RuntimeError as error:  # zipfile's word for an encrypted member
            raise DataError(self, "content", "a readable archive", str(error)) from error
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            if error.filename != str(self.path):
                raise
            raise DataError(self, "file", "a readable file", error.strerror or str(error)) from None


class _Tar(contextlib.AbstractContextManager["_Tar"]):
    """A tar archive with the two methods of a zip archive that are needed here."""

    def __init__(self, stream: Any) -> None:
        self._archive = tarfile.TarFile(fileobj=stream)
        self._files = {member.name: member for member in self._archive if member.isfile()}
        # tarfile takes an archive that is cut off within a header for one that ends there.
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - tarfile.BLOCKSIZE))
        if size % tarfile.BLOCKSIZE or any(stream.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError("unexpected end of data")

    def names(self) -> list[str]:
        return list(self._files)

    def open(self, name: str) -> IO[bytes]:
        return cast("IO[bytes]", self._archive.extractfile(self._files[name]))

    def __exit__(self, *error: object) -> None:
        self._archive.close()


class _Zip(zipfile.ZipFile):
    """A zip archive."""

    def names(self) -> list[str]:
        return [info.filename for info in self.infolist() if not info.is_dir()]


class _Archives:
    """Opened archives, also those inside others, until a stack is unwound."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._open: dict[tuple[Path, tuple[str, ...]], _Zip | _Tar] = {}

    def open(self, path: Path, members: tuple[str, ...]) -> _Zip | _Tar:
        key = (path, members)
        if key not in self._open:
            stream: Any = self.open(path, members[:-1]).open(members[-1]) if members else path.open("rb")
            kind: Any = _Tar if str(members[-1] if members else path).lower().endswith(".tar") else _Zip
            self._open[key] = self._stack.enter_context(kind(self._stack.enter_context(stream)))
        return self._open[key]


_kept: ContextVar[_Archives | None] = ContextVar("kept", default=None)


@contextlib.contextmanager
def archives_kept_open() -> Iterator[None]:
    """Open every archive once within the block, however many of its members are read.

    To open an archive is to read its list of members, which may be thousands.
    """
    with contextlib.ExitStack() as stack:
        token = _kept.set(_Archives(stack))
        try:
            yield
        finally:
            _kept.reset(token)


@contextlib.contextmanager
def recorded_sources() -> Iterator[set[Path]]:
    """Collect the paths of all published files that are opened within the block."""
    paths: set[Path] = set()
    token = _opened.set(paths)
    try:
        yield paths
    finally:
        _opened.reset(token)


def _members(found: Published, depth: int) -> Iterator[Published]:
    """Yield the files inside an archive, and inside archives in it."""
    for name in sorted(found._names()):
        # Finder's shadow copies carry the names of the real files.
        if name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].startswith("."):
            continue
        inner = Published(found.path, (*found.members, name))
        if name.lower().endswith(_ARCHIVES) and depth > 1:
            yield from _members(inner, depth - 1)
        else:
            yield inner


def visible_files(source: Path) -> list[Path]:
    """Return the files of a folder and its subfolders, or the one file; hidden ones are left out."""
    if source.is_file():
        return [source]
    found = []
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def _list(source: Path, *, subfolders: bool = False) -> tuple[list[Published], list[DataError]]:
    """List published files, and the errors of archives that could not be opened."""
    if source.is_dir() and subfolders:
        entries = visible_files(source)
    elif source.is_dir():
        entries = sorted(e for e in source.iterdir() if e.is_file() and not e.name.startswith("."))
    elif source.is_file():
        entries = [source]
    else:
        raise DataError(source, "path", "a file or a folder", "no such file or folder")
    found: list[Published] = []
    damaged: list[DataError] = []
    for entry in entries:
        if entry.suffix.lower() in _ARCHIVES:
            try:
                found.extend(_members(Published(entry), depth=2))
            except DataError as error:
                damaged.append(error)
        else:
            found.append(Published(entry))
    return found, damaged


def published_files(source: Path, *, subfolders: bool = False) -> list[Published]:
    """List the files of a folder (of its subfolders only if asked for) or of a single file, archives opened.

    Hidden files, such as unfinished downloads, are left out.

    Raises
    ------
    DataError
        If the path does not exist, or an archive is damaged.
    """
    found, damaged = _list(source, subfolders=subfolders)
    if damaged:
        raise damaged[0]
    return found


def find_published(source: Path, *patterns: str) -> Published | None:
    """Find the one published file that has one of the names, as it is, gzipped or in an archive.

    Parameters
    ----------
    source : Path
        A folder or a single file.
    *patterns : str
        Names such as `train.csv`, or patterns such as `atlas-*.csv`; the first that is found wins. A plain
        file is preferred to a gzipped one, that to a member of an archive.

    Returns
    -------
    Published or None
        None if nothing has such a name.

    Raises
    ------
    DataError
        If several files fit equally well, the path does not exist, or nothing fits and an archive that may
        have held it is damaged.
    """
    files, damaged = _list(source)
    for pattern in patterns:
        ranked: dict[tuple[bool, bool], list[Published]] = {}
        for file in files:
            zipped = file.name.endswith(".gz")
            if fnmatch.fnmatchcase(file.name.removesuffix(".gz"), pattern):
                ranked.setdefault((bool(file.members), zipped), []).append(file)
        if ranked:
            best = ranked[min(ranked)]
            if len(best) > 1:
                names = ", ".join(sorted(str(file) for file in best))
                raise DataError(source, pattern, "one such file", f"{len(best)}: {names}")
            return best[0]
    if damaged:
        raise damaged[0]
    return None


# --- Published CSV


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """What a published table must hold.

    Parameters
    ----------
    columns : mapping of str to pyarrow.DataType
        Every column and its type; integers, floats and strings. The file may have them in any order.
    unique : sequence of str
        Integer columns in which no value may come twice.
    weights : sequence of str
        Columns that may not be negative.
    allowed : mapping of str to sequence of str
        String columns and the words that they may hold.
    optional : sequence of str
        Columns that may be missing from the file.
    may_be_empty : bool
        Whether a table without rows is fine.

    Notes
    -----
    Empty cells, NaN and infinities are refused in every column of numbers.
    """

    columns: Mapping[str, pa.DataType]
    unique: Sequence[str] = ()
    weights: Sequence[str] = ()
    allowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: Sequence[str] = ()
    may_be_empty: bool = False

    def __post_init__(self) -> None:
        for name in (*self.unique, *self.weights, *self.allowed, *self.optional):
            if name not in self.columns:
                raise ValueError(f"{name!r} is not among the columns of the schema")


def _header(file: Published, stream: IO[bytes]) -> list[str]:
    line = stream.readline(_LONGEST_HEADER)
    if not line.strip():
        raise DataError(
            file, "header", "a line of column names", "an empty file" if not line else "an empty line"
        )
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(file, "header", "text in UTF-8", repr(line[:40])) from None
    return [name.strip() for name in next(csv.reader([text]))]


def _check_header(file: Published, names: list[str], schema: TableSchema) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(file, f"column {name}", "every column once", f"{names.count(name)} times")
    extra = [name for name in names if name not in schema.columns]
    missing = [name for name in schema.columns if name not in names and name not in schema.optional]
    if missing:
        near = get_close_matches(missing[0], extra, n=1, cutoff=0.5)
        found = f"no such column; is it the one called {near[0]!r}?" if near else "no such column"
        more = f" ({len(missing)} are missing)" if len(missing) > 1 else ""
        raise DataError(file, f"column {missing[0]}", "it in the header", f"{found}{more}")
    if extra:
        expected = f"only the columns {', '.join(schema.columns)}"
        raise DataError(file, f"column {extra[0]}", expected, f"this column too ({len(extra)} too many)")


def _parse(file: Published, names: list[str], types: Mapping[str, pa.DataType], *, threads: bool) -> pa.Table:
    """Parse the rows below the header; only without threads does an error tell the row."""
    with file.open() as stream:
        stream.readline(_LONGEST_HEADER)
        return pa_csv.read_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pa_csv.ReadOptions(column_names=names, use_threads=threads, block_size=4 << 20),
            # No word means "missing": an empty cell is then an error of its column's type.
            convert_options=pa_csv.ConvertOptions(column_types=types, null_values=[]),
        )


def _first_bad_cell(column: pa.ChunkedArray, kind: pa.DataType) -> int | None:
    """Return the index of the first text that is not of the type, found by halving."""

    def fits(part: pa.Array) -> bool:
        try:
            part.cast(kind)
        except pa.ArrowInvalid:
            return False
        return True

    start = 0
    for chunk in column.chunks:
        chunk = pc.utf8_trim_whitespace(chunk)
        if not fits(chunk):
            low, high = 0, len(chunk)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if fits(chunk.slice(low, middle - low)) else (low, middle)
            return start + low
        start += len(chunk)
    return None


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _words(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "a whole number"
    return "a number" if pa.types.is_floating(kind) else f"a value of type {kind}"


def _diagnose(file: Published, names: list[str], schema: TableSchema, first: Exception) -> DataError:
    """Read a refused file again, slowly, to name the first cell or row that is wrong."""
    with file.open() as stream:
        stream.readline(_LONGEST_HEADER)
        if not stream.read(_LONGEST_HEADER).strip():
            return DataError(file, "rows", "at least one", "none")
    try:
        table = _parse(file, names, dict.fromkeys(names, pa.binary()), threads=False)
    except pa.ArrowInvalid as error:
        message = str(error).splitlines()[0]
        row = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", message)
        if row is None:
            return DataError(file, "content", "CSV", message)
        return DataError(file, f"row {row[1]}", f"{row[2]} cells", f"{row[3]}: {_shorten(repr(row[4]))}")
    worst: tuple[int, str] | None = None
    for name in names:
        # Text that is not UTF-8 is wrong in any column.
        texts = table[name]
        index = _first_bad_cell_utf8(texts)
        kind = schema.columns[name]
        if index is None and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            index = _first_bad_cell(texts.cast(pa.string()), kind)
        if index is not None and (worst is None or index < worst[0]):
            worst = (index, name)
    if worst is None:
        return DataError(file, "content", "CSV", str(first).splitlines()[0])
    index, name = worst
    cell = table[name][index].as_py()
    text = repr(cell.decode("utf-8", "backslashreplace")) if cell else "an empty cell"
    return DataError(file, f"column {name}, row {index + 1}", _words(schema.columns[name]), _shorten(text))


def _first_bad_cell_utf8(column: pa.ChunkedArray) -> int | None:
    try:
        column.cast(pa.string())
    except pa.ArrowInvalid:
        for index, cell in enumerate(column.to_pylist()):
            try:
                cell.decode("utf-8")
            except UnicodeDecodeError:
                return index
    return None


def read_csv(file: Published | Path, schema: TableSchema) -> pa.Table:
    """Read a published CSV file and check everything that its schema declares.

    Returns
    -------
    pyarrow.Table
        The columns that the file has, in the order of the schema, without nulls.

    Raises
    ------
    DataError
        If the file is absent, cut off or damaged, has no rows, lacks a column or has one too many, or a cell
        breaks the schema; the first such cell is named.
    """
    if isinstance(file, Path):
        file = Published(file)
    with file.open() as stream:
        names = _header(file, stream)
        # The parser takes a table without rows for an error.
        rows = not schema.may_be_empty or bool(stream.read(1))
    _check_header(file, names, schema)
    types = {name: schema.columns[name] for name in names}
    if not rows:
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    try:
        table = _parse(file, names, types, threads=True)
    except pa.ArrowInvalid as error:
        raise _diagnose(file, names, schema, error) from None
    table = table.select([name for name in schema.columns if name in names])
    check_table(table, schema, file)
    return table


def check_table(table: pa.Table, schema: TableSchema, file: object) -> None:
    """Check the values of a table against a schema (types and columns are taken as right).

    Parameters
    ----------
    file : object
        What the error names as the file.

    Raises
    ------
    DataError
        If there are no rows although there must be, a number is NaN or infinite, an id comes twice, a weight
        is negative, or a word is not allowed.
    """
    if table.num_rows == 0 and not schema.may_be_empty:
        raise DataError(file, "rows", "at least one", "none")
    for name in table.column_names:
        column = table[name]
        if column.null_count:
            row = int(pc.index(pc.is_null(column), True).as_py()) + 1
            raise DataError(file, f"column {name}, row {row}", "a value", "none")
        if pa.types.is_floating(column.type):
            _refuse_first(file, name, column, pc.invert(pc.is_finite(column)), "a finite number")
        if name in schema.weights:
            _refuse_first(file, name, column, pc.less(column, 0), "a weight from 0")
        if name in schema.allowed:
            words = schema.allowed[name]
            inside = pc.is_in(column, value_set=pa.array(list(words), column.type))
            _refuse_first(file, name, column, pc.invert(inside), f"one of {', '.join(words)}")
        if name in schema.unique:
            _check_unique(file, name, column.to_numpy())


def _refuse_first(
    file: object, name: str, column: pa.ChunkedArray, wrong: pa.ChunkedArray, expected: str
) -> None:
    row = int(pc.index(wrong, True).as_py())
    if row >= 0:
        count = int(pc.sum(wrong).as_py())
        more = f" ({count} such rows)" if count > 1 else ""
        raise DataError(file, f"column {name}, row {row + 1}", expected, f"{column[row].as_py()!r}{more}")


def _check_unique(file: object, name: str, values: NDArray[Any]) -> None:
    if values.size < 2 or bool(np.all(values[1:] > values[:-1])):
        return
    order = np.argsort(values, kind="stable")
    same = np.flatnonzero(np.diff(values[order]) == 0)
    if same.size:
        # Equal values keep the file's order, so the later row of the earliest pair is named.
        row = int(order[same + 1].min())
        raise DataError(file, f"column {name}, row {row + 1}", "every value once", f"{values[row]} again")


# --- Prepared tables


def write_table(file: Path, table: pa.Table) -> None:
    """Write a table as uncompressed Feather v2 in one piece, so that it can be mapped without copying."""
    table = table.combine_chunks().replace_schema_metadata(None)
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


class BatchWriter:
    """A prepared table that is written batch by batch, for data of which only a piece fits into memory.

    The file is Feather v2, uncompressed, and keeps the batches apart as they were given.

    Parameters
    ----------
    file : Path
        The file to write, which must not be there yet.
    schema : pyarrow.Schema
        Columns of every batch; numbers, booleans and strings without nulls.

    Attributes
    ----------
    rows, batches : int
        How much was written so far.
    """

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.schema = schema.remove_metadata()
        self.rows = self.batches = 0
        names = [[field.name, str(field.type)] for field in self.schema]
        # No table's digest begins like this one: a stream of one batch is not the same as a table.
        self._digest = hashlib.sha256(f"batches:{json.dumps(names)}".encode())
        self._sink = pa.OSFile(str(file), "wb")
        self._writer = pa.ipc.new_file(self._sink, self.schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch.

        Raises
        ------
        TypeError
            If its columns are not those of the schema, or have nulls.
        """
        if not batch.schema.equals(self.schema):
            raise TypeError(f"expected the columns {self.schema}, found {batch.schema}")
        self._digest.update(bytes.fromhex(table_digest(pa.Table.from_batches([batch]))))
        self._writer.write_batch(batch)
        self.rows += batch.num_rows
        self.batches += 1

    @property
    def digest(self) -> str:
        """SHA-256 over names, types, values and where a batch ends, hexadecimal."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()
        self._sink.close()


def read_table(prepared: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Map a table of a prepared folder into memory; nothing is copied and only pages that are used are read.

    Parameters
    ----------
    prepared : Path
        The folder, as `open_prepared` returns it.
    name : str
        Name of the table, such as `train`.
    columns : sequence of str, optional
        The columns to take, in this order; all by default.

    Raises
    ------
    DataError
        If there is no such table or column, or the file is damaged.
    """
    file = prepared / f"{name}.arrow"
    try:
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all()
    except FileNotFoundError:
        there = ", ".join(sorted(f.stem for f in prepared.glob("*.arrow"))) or "none"
        raise DataError(
            file, "file", f"the prepared table {name!r}", f"no such file (tables: {there})"
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(file, "content", "a Feather v2 table", str(error).splitlines()[0]) from error
    if columns is None:
        return table
    for column in columns:
        if column not in table.column_names:
            found = f"only {', '.join(table.column_names)}"
            raise DataError(file, f"column {column}", "it in the table", found)
    return table.select(list(columns))


def table_digest(table: pa.Table) -> str:
    """Return the SHA-256 of a table's names, types and values, hexadecimal.

    The same values give the same digest whatever library version wrote the file and however it was chunked.

    Raises
    ------
    TypeError
        If a column is neither of numbers, booleans nor strings, or has nulls.
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        if column.null_count:
            raise TypeError(f"column {name!r} has nulls")
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        head = json.dumps([name, str(kind), len(column)])
        digest.update(f"{len(head)}:{head}".encode())
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            # Few different words over many rows: hash the words by first appearance, then their numbers.
            encoded = column.combine_chunks().dictionary_encode() if len(column) else None
            if encoded is None:
                continue
            encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
            digest.update(json.dumps(encoded.dictionary.to_pylist()).encode())
            _update(digest, encoded.indices.to_numpy().astype("<i8"))
        elif pa.types.is_primitive(kind):
            for chunk in column.chunks:
                values = chunk.to_numpy(zero_copy_only=False)
                _update(digest, values.astype(values.dtype.newbyteorder("<"), copy=False))
        else:
            raise TypeError(f"column {name!r} has the type {kind}")
    return digest.hexdigest()


def _update(digest: Any, values: NDArray[Any]) -> None:
    digest.update(memoryview(cast("Any", np.ascontiguousarray(values))).cast("B"))
