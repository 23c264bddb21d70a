"""A stranger's file, as far as it is the same for every kind of prediction file: its bytes, names and cells.

A file is opened once without following links, and read from beginning to end through that one descriptor, up
to a cap that the caller derives from the number of rows. Archives are unpacked while they are read, so that
nothing larger than asked for is ever in memory.

Every refusal is an `InvalidSubmission`. Rows are counted from 1 and the header is not counted.
"""

from __future__ import annotations

import contextlib
import csv
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from hepchallenge.exceptions import InvalidSubmission

__all__ = [
    "ARROW_TYPES",
    "BYTES_OF_HEADER",
    "MAX_STRING",
    "SUFFIXES",
    "Regular",
    "Unpacked",
    "cap_for",
    "check_length",
    "check_names",
    "check_nulls",
    "check_parquet",
    "csv_header",
    "explain_csv",
    "open_regular",
    "parse_csv",
    "suffix_of",
    "unpacked",
]

SUFFIXES = (".csv", ".csv.gz", ".csv.zip", ".parquet")
"""Endings of the file names that are read."""

MAX_STRING = 64
"""Longest string, in characters, that a string column may hold."""

BYTES_OF_HEADER = 64 * 1024
_BYTES_PER_CELL = 64
_PACKED = 1 << 18

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    # Few different strings over many rows, as classes are, need no object per row this way.
    "string": pa.dictionary(pa.int32(), pa.string()),
}


def suffix_of(file: Path) -> str:
    """Return which of `SUFFIXES` a file name ends with."""
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if file.name.endswith(s)), None)
    if suffix is None:
        raise InvalidSubmission(f"{file.name!r}: expected a file name ending with {', '.join(SUFFIXES)}")
    return suffix


def cap_for(columns: Mapping[str, str], n_rows: int) -> int:
    """Return the most bytes that a file for so many rows may have, packed or unpacked."""
    return BYTES_OF_HEADER + _BYTES_PER_CELL * len(columns) * n_rows


# ---- bytes -------------------------------------------------------------------------------------------


class Readable(Protocol):
    """Anything with bytes to read: at most `size` at a time, none at the end."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""


class Regular:
    """A regular file that is read through one descriptor; a change meanwhile is noticed at its end."""

    def __init__(self, name: str, descriptor: int, size: int) -> None:
        self.name, self.size = name, size
        self.descriptor = descriptor
        self._left = size

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        # One byte more than it had, so that a file that grows meanwhile is noticed.
        wanted, chunks = min(size, self._left + 1), []
        try:
            while wanted and (chunk := os.read(self.descriptor, wanted)):
                chunks.append(chunk)
                wanted -= len(chunk)
                self._left -= len(chunk)
        except OSError as error:
            raise InvalidSubmission(f"{self.name}: cannot be read: {error.strerror}") from None
        if self._left < 0 or (wanted and self._left):
            raise InvalidSubmission(f"{self.name}: the file changed while it was read")
        return b"".join(chunks) if len(chunks) != 1 else chunks[0]

    def stream(self) -> IO[bytes]:
        """Return a stream on the same file for formats that need to jump in it; the caller closes it."""
        return os.fdopen(os.dup(self.descriptor), "rb")


@contextlib.contextmanager
def open_regular(file: Path, cap: int) -> Iterator[Regular]:
    """Open a regular file of at most `cap` bytes; a link, pipe or device is refused, never waited for."""
    name = file.name
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise InvalidSubmission(f"{name}: no such file") from None
    except OSError as error:
        # ELOOP is how O_NOFOLLOW reports a symbolic link.
        reason = "it is a symbolic link" if file.is_symlink() else error.strerror
        raise InvalidSubmission(f"{name}: cannot be read: {reason}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidSubmission(f"{name}: expected a regular file")
        if status.st_size > cap:
            raise InvalidSubmission(f"{name}: expected at most {cap} bytes, found {status.st_size}")
        yield Regular(name, descriptor, status.st_size)
    finally:
        os.close(descriptor)


class Unpacked:
    """The unpacked bytes of a file, never more than `cap` of them."""

    def __init__(self, name: str, source: Readable, cap: int) -> None:
        self._name, self._source, self._cap = name, source, cap
        self._left = cap

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        chunk = self._source.read(min(size, self._left + 1))
        self._left -= len(chunk)
        if self._left < 0:
            raise InvalidSubmission(f"{self._name}: unpacks to more than {self._cap} bytes")
        return chunk

    def read_all(self) -> bytes:
        """Return everything."""
        chunks = []
        while chunk := self.read(self._cap + 1):
            chunks.append(chunk)
        return b"".join(chunks) if len(chunks) != 1 else chunks[0]


class _Gunzipped:
    """The content of a gzip file, which may be several compressed streams in a row."""

    def __init__(self, source: Regular) -> None:
        self._source = source
        self._stream: Any = None
        self._streams = 0
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        try:
            while packed := self._rest or self._source.read(_PACKED):
                self._rest = b""
                if self._stream is None:
                    # Zeros may fill the space behind a stream.
                    packed = packed.lstrip(b"\0") if self._streams else packed
                    if not packed:
                        continue
                    self._stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
                    self._streams += 1
                if plain := self._unpack(packed, size):
                    return plain
        except zlib.error as error:
            raise InvalidSubmission(f"{self._source.name}: not valid gzip data: {error}") from None
        if self._stream:
            raise InvalidSubmission(f"{self._source.name}: the gzip data are truncated")
        return b""

    def _unpack(self, packed: bytes, size: int) -> bytes:
        plain: bytes = self._stream.decompress(packed, size)
        if self._stream.eof:
            self._rest, self._stream = self._stream.unused_data, None
        else:
            self._rest = self._stream.unconsumed_tail
        return plain


_BAD_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


class _Unzipped:
    """The content of the one file in a zip archive."""

    def __init__(self, source: Regular, stack: contextlib.ExitStack) -> None:
        self._name = source.name
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(source.stream())))
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise InvalidSubmission(
                    f"{self._name}: expected exactly one file inside, found {len(members)}"
                )
            if not members[0].filename.endswith(".csv"):
                raise InvalidSubmission(
                    f"{self._name}: expected a .csv file inside, found {members[0].filename[:80]!r}"
                )
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # The others unpack without regard to how much is asked for.
                raise InvalidSubmission(f"{self._name}: expected a zip file compressed with deflate")
            self._stream = stack.enter_context(archive.open(members[0]))
        except _BAD_ZIP as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> InvalidSubmission:
        return InvalidSubmission(f"{self._name}: not a readable zip file: {error}")

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        # The declared size is a claim; only what really comes out counts.
        try:
            return self._stream.read(size)
        except _BAD_ZIP as error:
            raise self._damaged(error) from None


@contextlib.contextmanager
def unpacked(source: Regular, suffix: str, cap: int) -> Iterator[Unpacked]:
    """Read the content of a plain, gzipped or zipped file, of which at most `cap` bytes may come out."""
    with contextlib.ExitStack() as stack:
        content: Readable = source
        if suffix == ".csv.gz":
            content = _Gunzipped(source)
        elif suffix == ".csv.zip":
            content = _Unzipped(source, stack)
        yield Unpacked(source.name, content, cap)


# ---- names and lengths ---------------------------------------------------------------------------------


def check_names(name: str, columns: Mapping[str, str], found: Sequence[str]) -> None:
    """Refuse missing, unexpected and repeated columns."""
    expected = ", ".join(columns)
    for column in columns:
        if column not in found:
            shown = ", ".join(repr(c[:80]) for c in found[:20])
            raise InvalidSubmission(
                f"{name}: the column {column!r} is missing: expected {expected}, found {shown}"
            )
    for column in found:
        if column not in columns:
            raise InvalidSubmission(f"{name}: unexpected column {column[:80]!r}: expected {expected} only")
    if len(found) != len(columns):
        twice = next(column for column in columns if found.count(column) > 1)
        raise InvalidSubmission(f"{name}: the column {twice!r} is there {found.count(twice)} times")


def check_length(name: str, expected: int, found: int) -> None:
    """Refuse a wrong number of rows."""
    if found != expected:
        raise InvalidSubmission(f"{name}: expected {expected} rows, found {found}")


# ---- CSV ---------------------------------------------------------------------------------------------


def csv_header(name: str, columns: Mapping[str, str], content: bytes) -> list[str]:
    """Return the names in the first line of a CSV file, which are those of the columns."""
    line = content[:BYTES_OF_HEADER].split(b"\n", 1)[0].split(b"\r", 1)[0]
    try:
        rows = list(csv.reader([line.decode("utf-8-sig")], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidSubmission(f"{name}: the first line is not a header: {error}") from None
    if not rows or not rows[0]:
        raise InvalidSubmission(
            f"{name}: expected a header with {', '.join(columns)}, "
            f"found {'an empty file' if not content else 'an empty line'}"
        )
    check_names(name, columns, rows[0])
    return rows[0]


def parse_csv(
    content: bytes, types: Mapping[str, pa.DataType], names: Sequence[str] | None = None, **parse: Any
) -> pa.Table:
    """Parse CSV with a header, or without one if `names` are given; raises what pyarrow raises.

    Comma-separated UTF-8 text, quoted with double quotes, one row a line.
    """
    return pa_csv.read_csv(
        pa.BufferReader(content),
        read_options=pa_csv.ReadOptions(use_threads=not parse, block_size=1 << 20, column_names=names),
        parse_options=pa_csv.ParseOptions(newlines_in_values=False, **parse),
        convert_options=pa_csv.ConvertOptions(
            column_types=types,
            # No text means "missing": an empty cell or NA in a number column is an error.
            null_values=[],
            strings_can_be_null=False,
            true_values=[],
            false_values=[],
        ),
    )


def explain_csv(
    name: str,
    content: bytes,
    columns: Mapping[str, str],
    id_columns: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    first_row: int = 0,
    check_rows: Callable[[int], None] = lambda found: None,
) -> None:
    """After `parse_csv` failed: find the first bad line or cell and raise the error that names it.

    Parameters
    ----------
    id_columns : sequence of str
        Which columns tell a row to its author.
    first_row : int
        How many rows of the file come before this content.
    check_rows : function
        Called with the number of rows, between the checks of lines and those of cells.
    """
    ragged: list[tuple[int | None, int, int]] = []

    def note(row: Any) -> str:
        ragged.append((row.number, row.expected_columns, row.actual_columns))
        return "skip"

    try:
        types = dict.fromkeys(columns, pa.binary())
        table = parse_csv(content, types, names, invalid_row_handler=note).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidSubmission(f"{name}: not a readable CSV file: {str(error)[:200]}") from None
    if ragged:
        number, expected, found = ragged[0]
        # The parser counts lines from 1, with the header if there is one.
        header = 1 if names is None else 0
        where = f"row {number - header + first_row}" if number is not None else "a row"
        raise InvalidSubmission(f"{name}: {where}: expected {expected} values, found {found}")
    check_rows(table.num_rows)
    for column, kind in columns.items():
        cells = table.column(column)
        row = _first_bad_cell(cells, kind)
        if row is not None:
            value = cells[row].as_py()[: MAX_STRING + 1].decode("utf-8", "backslashreplace")
            ids = ", ".join(f"{i} {_text(table.column(i)[row])}" for i in id_columns)
            raise InvalidSubmission(
                f"{name}: row {first_row + row + 1} ({ids}): "
                f"{column}: expected {_IN_WORDS[kind]}, found {value!r}"
            )


def _text(cell: pa.Scalar) -> str:
    content: bytes = cell.as_py()
    return content[:20].decode("utf-8", "backslashreplace")


_IN_WORDS = {"int64": "a 64-bit integer", "float64": "a number", "string": "UTF-8 text"}


def _first_bad_cell(cells: pa.ChunkedArray, kind: str) -> int | None:
    """Return the first row whose cell cannot be converted, by bisection over conversions."""

    def fails(start: int, stop: int) -> bool:
        try:
            text = cells.slice(start, stop - start).cast(pa.string())
            if kind != "string":
                # The CSV reader ignores blanks around numbers, so a blank is not what failed.
                pc.cast(pc.utf8_trim_whitespace(text), ARROW_TYPES[kind])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return True
        return False

    low, high = 0, len(cells)
    if not fails(low, high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if fails(low, middle):
            high = middle
        else:
            low = middle
    return low


# ---- Parquet -----------------------------------------------------------------------------------------


def check_parquet(
    name: str, file: pa_parquet.ParquetFile, columns: Mapping[str, str], n_rows: int, cap: int
) -> None:
    """Check what the footer of a Parquet file says: names, types, and numbers of rows and bytes."""
    schema = file.schema_arrow
    check_names(name, columns, list(schema.names))
    check_length(name, n_rows, file.metadata.num_rows)
    groups = range(file.metadata.num_row_groups)
    if sum(file.metadata.row_group(i).total_byte_size for i in groups) > cap:
        raise InvalidSubmission(f"{name}: unpacks to more than {cap} bytes")
    for column, kind in columns.items():
        found = schema.field(column).type
        value = found.value_type if pa.types.is_dictionary(found) else found
        fits = {
            "int64": pa.types.is_integer(found),
            "float64": pa.types.is_floating(found) or pa.types.is_integer(found),
            "string": pa.types.is_string(value) or pa.types.is_large_string(value),
        }
        if not fits[kind]:
            raise InvalidSubmission(f"{name}: {column}: expected {kind}, found the type {found}")


def check_nulls(name: str, column: str, cells: pa.ChunkedArray | pa.Array, first_row: int = 0) -> None:
    """Refuse a cell without a value."""
    if cells.null_count:
        row = first_row + int(pc.index(cells.is_null(), True).as_py())
        raise InvalidSubmission(f"{name}: row {row + 1}: {column}: expected a value, found none")
