"""Intake of prediction files: a stranger's table becomes plain arrays in the order of the test rows.

Nothing in the file is trusted. It is opened once without following links, read through that one descriptor
up to a cap derived from the number of test rows, and parsed from memory, so that it cannot change between
check and use. Formats are `.csv`, `.csv.gz`, `.csv.zip` (one member) and `.parquet`, told apart by name.

Every refusal is an `InvalidSubmission` whose message names the row and, where there is one, its id. Rows are
counted from 1 and the header is not counted.
"""

from __future__ import annotations

import csv
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.narrow_csv import read_narrow_csv

__all__ = ["MAX_STRING", "SUFFIXES", "read_prediction_file"]

SUFFIXES = (".csv", ".csv.gz", ".csv.zip", ".parquet")
"""Endings of the file names that are read."""

MAX_STRING = 64
"""Longest string, in characters, that a string column may hold."""

_BYTES_PER_CELL = 64
_BYTES_OF_HEADER = 64 * 1024
_BLOCK = 1 << 20

_ARROW_TYPES: Mapping[str, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    # Few different strings over many rows, as classes are, need no object per row this way.
    "string": pa.dictionary(pa.int32(), pa.string()),
}


def read_prediction_file(
    path: str | os.PathLike[str],
    columns: Mapping[str, str],
    id_column: str,
    test_ids: NDArray[np.int64],
) -> dict[str, NDArray[Any]]:
    """Read, check and align one prediction file.

    Parameters
    ----------
    path : path
        The file; its last component must be a regular file, not a link.
    columns : mapping of str to {'int64', 'float64', 'string'}
        Exactly the columns that the file must have, in any order. Names are compared exactly.
    id_column : str
        Which of them, of type int64, identifies the rows.
    test_ids : array of int64, shape (n,)
        The ids of the test rows, each once. Every one must occur exactly once in the file, in any order.

    Returns
    -------
    dict of str to array, shape (n,)
        One array per column, the id column among them, in the order of `test_ids` (whose own array it may
        be). Dtypes are int64, float64 (all finite) and fixed-width unicode.

    Raises
    ------
    InvalidSubmission
        If the file is not readable, not regular, too large, damaged or of an unknown format; if a column is
        missing, unexpected or twice there; if a value has the wrong type, is empty, NaN or infinite; if the
        number of rows is wrong or an id is missing, unknown or twice there.
    ValueError
        If `columns`, `id_column` or `test_ids` are themselves not as described.

    Notes
    -----
    File and unpacked content may hold at most 64 bytes a cell and 64 KiB besides, which no honest
    file needs and no decompression bomb keeps to.
    """
    ids = _checked_request(columns, id_column, test_ids)
    file = Path(path)
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if file.name.endswith(s)), None)
    if suffix is None:
        raise InvalidSubmission(f"{file.name!r}: expected a file name ending with {', '.join(SUFFIXES)}")
    cap = _cap(columns, len(ids))
    content = _read_regular(file, cap)
    if suffix == ".csv.gz":
        content = _gunzip(file.name, content, cap)
    elif suffix == ".csv.zip":
        content = _unzip(file.name, content, cap)
    if suffix != ".parquet" and (arrays := _shortcut(content, columns, id_column, ids)) is not None:
        return arrays
    reader = _Parquet if suffix == ".parquet" else _Csv
    table = reader(file.name, content, columns, id_column, len(ids)).read()
    arrays = _to_numpy(file.name, table, columns, id_column)
    return _aligned(file.name, arrays, id_column, ids)


def _checked_request(
    columns: Mapping[str, str], id_column: str, test_ids: NDArray[np.int64]
) -> NDArray[np.int64]:
    unknown = {kind for kind in columns.values() if kind not in _ARROW_TYPES}
    if unknown:
        raise ValueError(f"column types must be of {sorted(_ARROW_TYPES)}, got {sorted(unknown)}")
    if columns.get(id_column) != "int64":
        raise ValueError(f"the id column {id_column!r} must be one of the columns, with type int64")
    ids = np.asarray(test_ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.size == 0:
        raise ValueError(
            f"test ids must be a one-dimensional integer array, got {ids.dtype} of shape {ids.shape}"
        )
    return ids.astype(np.int64, copy=False)


def _cap(columns: Mapping[str, str], n_rows: int) -> int:
    """Return the most bytes that a file for so many rows may have, packed or unpacked."""
    return _BYTES_OF_HEADER + _BYTES_PER_CELL * len(columns) * n_rows


# ---- bytes -------------------------------------------------------------------------------------------


def _read_regular(file: Path, cap: int) -> bytes:
    """Read a regular file through one descriptor; a link, pipe or device is refused, never waited for."""
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
        # One byte more than it had, so that a file that grows meanwhile is noticed.
        chunks, missing = [], status.st_size + 1
        while missing and (chunk := os.read(descriptor, missing)):
            chunks.append(chunk)
            missing -= len(chunk)
    except OSError as error:
        raise InvalidSubmission(f"{name}: cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if missing != 1:
        raise InvalidSubmission(f"{name}: the file changed while it was read")
    return b"".join(chunks)


def _gunzip(name: str, content: bytes, cap: int) -> bytes:
    plain = bytearray()
    rest = content
    try:
        # A gzip file may be several compressed streams in a row.
        while rest:
            stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            plain += stream.decompress(rest, cap + 1 - len(plain))
            if len(plain) > cap:
                raise InvalidSubmission(f"{name}: unpacks to more than {cap} bytes")
            if not stream.eof:
                raise InvalidSubmission(f"{name}: the gzip data are truncated")
            rest = stream.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise InvalidSubmission(f"{name}: not valid gzip data: {error}") from None
    return bytes(plain)


def _unzip(name: str, content: bytes, cap: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) != 1:
                raise InvalidSubmission(f"{name}: expected exactly one file inside, found {len(members)}")
            if not members[0].filename.endswith(".csv"):
                raise InvalidSubmission(
                    f"{name}: expected a .csv file inside, found {members[0].filename[:80]!r}"
                )
            # The declared size is a claim; only what really comes out counts.
            with archive.open(members[0]) as stream:
                plain = stream.read(cap + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InvalidSubmission(f"{name}: not a readable zip file: {error}") from None
    if len(plain) > cap:
        raise InvalidSubmission(f"{name}: unpacks to more than {cap} bytes")
    return plain


# ---- the shortcut --------------------------------------------------------------------------------------


def _shortcut(
    content: bytes, columns: Mapping[str, str], id_column: str, ids: NDArray[np.int64]
) -> dict[str, NDArray[Any]] | None:
    """Read a file of the one shape that `read_narrow_csv` knows; None if it has another."""
    names = list(columns)
    if names[0] != id_column or list(columns.values()) != ["int64", "int64", "string"]:
        return None
    found = read_narrow_csv(content, ",".join(names).encode(), ids)
    return None if found is None else {names[0]: ids, names[1]: found[0], names[2]: found[1]}


# ---- tables ------------------------------------------------------------------------------------------


class _Table:
    """What the two formats share: the request, and the checks of names and length."""

    def __init__(
        self, name: str, content: bytes, columns: Mapping[str, str], id_column: str, n_rows: int
    ) -> None:
        self.name = name
        self.content = content
        self.columns = columns
        self.id_column = id_column
        self.n_rows = n_rows
        self.cap = _cap(columns, n_rows)

    def check_names(self, found: list[str]) -> None:
        """Refuse missing, unexpected and repeated columns."""
        expected = ", ".join(self.columns)
        for column in self.columns:
            if column not in found:
                shown = ", ".join(repr(c[:80]) for c in found[:20])
                raise InvalidSubmission(
                    f"{self.name}: the column {column!r} is missing: expected {expected}, found {shown}"
                )
        for column in found:
            if column not in self.columns:
                raise InvalidSubmission(
                    f"{self.name}: unexpected column {column[:80]!r}: expected {expected} only"
                )
        if len(found) != len(self.columns):
            twice = next(column for column in self.columns if found.count(column) > 1)
            raise InvalidSubmission(f"{self.name}: the column {twice!r} is there {found.count(twice)} times")

    def check_length(self, found: int) -> None:
        """Refuse a wrong number of rows."""
        if found != self.n_rows:
            raise InvalidSubmission(f"{self.name}: expected {self.n_rows} rows, found {found}")


class _Csv(_Table):
    """Comma-separated UTF-8 text with a header, quoted with double quotes, one row a line."""

    def read(self) -> pa.Table:
        self.check_names(self._header())
        try:
            table = self._parse(_ARROW_TYPES)
        except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
            self._explain()
            raise InvalidSubmission(f"{self.name}: not a readable CSV file: {str(error)[:200]}") from None
        self.check_length(table.num_rows)
        return table

    def _header(self) -> list[str]:
        line = self.content[:_BYTES_OF_HEADER].split(b"\n", 1)[0].split(b"\r", 1)[0]
        try:
            rows = list(csv.reader([line.decode("utf-8-sig")], strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise InvalidSubmission(f"{self.name}: the first line is not a header: {error}") from None
        if not rows or not rows[0]:
            raise InvalidSubmission(
                f"{self.name}: expected a header with {', '.join(self.columns)}, "
                f"found {'an empty file' if not self.content else 'an empty line'}"
            )
        return rows[0]

    def _parse(self, types: Mapping[str, pa.DataType], **parse: Any) -> pa.Table:
        return pa_csv.read_csv(
            pa.BufferReader(self.content),
            read_options=pa_csv.ReadOptions(use_threads=not parse, block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(newlines_in_values=False, **parse),
            convert_options=pa_csv.ConvertOptions(
                column_types={column: types[kind] for column, kind in self.columns.items()},
                # No text means "missing": an empty cell or NA in a number column is an error.
                null_values=[],
                strings_can_be_null=False,
                true_values=[],
                false_values=[],
            ),
        )

    def _explain(self) -> None:
        """After a failure: find the first bad line or cell and raise the error that names it."""
        ragged: list[tuple[int | None, int, int]] = []

        def note(row: Any) -> str:
            ragged.append((row.number, row.expected_columns, row.actual_columns))
            return "skip"

        try:
            table = self._parse(
                dict.fromkeys(_ARROW_TYPES, pa.binary()), invalid_row_handler=note
            ).combine_chunks()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidSubmission(f"{self.name}: not a readable CSV file: {str(error)[:200]}") from None
        if ragged:
            number, expected, found = ragged[0]
            # The parser counts lines from 1 with the header among them.
            where = f"row {number - 1}" if number is not None else "a row"
            raise InvalidSubmission(f"{self.name}: {where}: expected {expected} values, found {found}")
        self.check_length(table.num_rows)
        for column, kind in self.columns.items():
            cells = table.column(column)
            row = _first_bad_cell(cells, kind)
            if row is not None:
                value = cells[row].as_py()[: MAX_STRING + 1].decode("utf-8", "backslashreplace")
                raise InvalidSubmission(
                    f"{self.name}: row {row + 1} ({self.id_column} {self._id_text(table, row)}): "
                    f"{column}: expected {_IN_WORDS[kind]}, found {value!r}"
                )

    def _id_text(self, table: pa.Table, row: int) -> str:
        text: bytes = table.column(self.id_column)[row].as_py()
        return text[:20].decode("utf-8", "backslashreplace")


_IN_WORDS = {"int64": "a 64-bit integer", "float64": "a number", "string": "UTF-8 text"}


def _first_bad_cell(cells: pa.ChunkedArray, kind: str) -> int | None:
    """Return the first row whose cell cannot be converted, by bisection over conversions."""

    def fails(start: int, stop: int) -> bool:
        try:
            text = cells.slice(start, stop - start).cast(pa.string())
            if kind != "string":
                # The CSV reader ignores blanks around numbers, so a blank is not what failed.
                pc.cast(pc.utf8_trim_whitespace(text), _ARROW_TYPES[kind])
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


class _Parquet(_Table):
    """Parquet with integer, floating-point or string columns; nothing nested, nothing null."""

    def read(self) -> pa.Table:
        strings = [column for column, kind in self.columns.items() if kind == "string"]
        try:
            file = pa_parquet.ParquetFile(pa.BufferReader(self.content), read_dictionary=strings)
            schema = file.schema_arrow
            self.check_names(list(schema.names))
            self.check_length(file.metadata.num_rows)
            unpacked = sum(
                file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)
            )
            if unpacked > self.cap:
                raise InvalidSubmission(f"{self.name}: unpacks to more than {self.cap} bytes")
            for column, kind in self.columns.items():
                self._check_type(column, kind, schema.field(column).type)
            table = file.read()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InvalidSubmission(f"{self.name}: not a readable Parquet file: {str(error)[:200]}") from None
        # The number of rows above is what the footer claims.
        self.check_length(table.num_rows)
        for column in self.columns:
            if table.column(column).null_count:
                row = int(np.flatnonzero(table.column(column).is_null().to_numpy())[0])
                raise InvalidSubmission(f"{self.name}: row {row + 1}: {column}: expected a value, found none")
        try:
            return pa.table({c: self._converted(table.column(c), kind) for c, kind in self.columns.items()})
        except pa.ArrowInvalid as error:
            raise InvalidSubmission(f"{self.name}: {str(error)[:200]}") from None

    def _check_type(self, column: str, kind: str, found: pa.DataType) -> None:
        value = found.value_type if pa.types.is_dictionary(found) else found
        fits = {
            "int64": pa.types.is_integer(found),
            "float64": pa.types.is_floating(found) or pa.types.is_integer(found),
            "string": pa.types.is_string(value) or pa.types.is_large_string(value),
        }
        if not fits[kind]:
            raise InvalidSubmission(f"{self.name}: {column}: expected {kind}, found the type {found}")

    def _converted(self, cells: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
        if kind == "string":
            return cells.cast(pa.string()).dictionary_encode()
        return cells.cast(_ARROW_TYPES[kind])


# ---- arrays ------------------------------------------------------------------------------------------


def _to_numpy(
    name: str, table: pa.Table, columns: Mapping[str, str], id_column: str
) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for column, kind in columns.items():
        cells = table.column(column)
        if kind == "string":
            arrays[column] = _strings(name, column, cells)
        else:
            arrays[column] = cells.to_numpy()
    for column, kind in columns.items():
        if kind == "float64" and not np.isfinite(arrays[column]).all():
            row = int(np.flatnonzero(~np.isfinite(arrays[column]))[0])
            raise InvalidSubmission(
                f"{name}: row {row + 1} ({id_column} {arrays[id_column][row]}): "
                f"{column}: expected a finite number, found {arrays[column][row]}"
            )
    return arrays


def _strings(name: str, column: str, cells: pa.ChunkedArray) -> NDArray[np.str_]:
    """Turn dictionary-encoded strings into fixed-width unicode without an object per row."""
    encoded = cells.unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0)
    values = encoded.dictionary
    longest = pc.max(pc.utf8_length(values)).as_py() or 0
    if longest > MAX_STRING:
        raise InvalidSubmission(
            f"{name}: {column}: expected at most {MAX_STRING} characters a value, found {longest}"
        )
    vocabulary = np.array(values.to_pylist(), dtype=f"U{max(longest, 1)}")
    strings: NDArray[np.str_] = vocabulary[encoded.indices.to_numpy()]
    return strings


def _aligned(
    name: str, arrays: dict[str, NDArray[Any]], id_column: str, test_ids: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Bring the rows into the order of the test ids, each of which must occur exactly once."""
    found = arrays[id_column]
    if np.array_equal(found, test_ids):
        return arrays
    position = _positions(found, test_ids)
    unknown = np.flatnonzero(position < 0)
    if unknown.size:
        row = int(unknown[0])
        raise InvalidSubmission(
            f"{name}: row {row + 1}: {id_column} {found[row]} is not among the test rows "
            f"({unknown.size} such rows)"
        )
    counts = np.bincount(position, minlength=len(test_ids))
    if counts.max() > 1:
        repeated = counts[position] > 1
        first = np.unique(position[repeated], return_index=True)[1]
        later = np.delete(np.flatnonzero(repeated), first)
        row = int(later[0])
        missing = test_ids[int(np.flatnonzero(counts == 0)[0])]
        raise InvalidSubmission(
            f"{name}: row {row + 1}: {id_column} {found[row]} was there before "
            f"({later.size} repeated rows; {id_column} {missing} is missing)"
        )
    # As many rows as ids, all known and all different: nothing can be missing.
    order = np.empty(len(test_ids), dtype=np.int64)
    order[position] = np.arange(len(test_ids))
    return {column: values[order] for column, values in arrays.items()}


def _positions(found: NDArray[np.int64], test_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the test row of each found id, -1 where there is none."""
    low, high = int(test_ids.min()), int(test_ids.max())
    inside = (found >= low) & (found <= high)
    position = np.full(len(found), -1, dtype=np.int64)
    if high - low < 4 * len(test_ids) + 1024:
        # Ids close together: a table of all of them costs less than sorting.
        table = np.full(high - low + 1, -1, dtype=np.int64)
        table[test_ids - low] = np.arange(len(test_ids))
        position[inside] = table[found[inside] - low]
        return position
    order = np.argsort(test_ids)
    nearest = order[np.minimum(np.searchsorted(test_ids[order], found), len(test_ids) - 1)]
    known = test_ids[nearest] == found
    position[known] = nearest[known]
    return position
