"""Intake of prediction files: a stranger's table becomes plain arrays in the order of the test rows.

Nothing in the file is trusted. It is opened once without following links, read through that one descriptor
up to a cap derived from the number of test rows, and parsed from memory, so that it cannot change between
check and use. Formats are `.csv`, `.csv.gz`, `.csv.zip` (one member) and `.parquet`, told apart by name.

Every refusal is an `InvalidSubmission` whose message names the row and, where there is one, its id. Rows are
counted from 1 and the header is not counted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.narrow_csv import read_narrow_csv
from hepchallenge.run.untrusted import (
    ARROW_TYPES,
    MAX_STRING,
    SUFFIXES,
    cap_for,
    check_length,
    check_nulls,
    check_parquet,
    csv_header,
    explain_csv,
    open_regular,
    parse_csv,
    suffix_of,
    unpacked,
)

__all__ = ["MAX_STRING", "SUFFIXES", "read_prediction_file"]


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
    suffix = suffix_of(file)
    cap = cap_for(columns, len(ids))
    with open_regular(file, cap) as regular, unpacked(regular, suffix, cap) as stream:
        content = stream.read_all()
    if suffix != ".parquet" and (arrays := _shortcut(content, columns, id_column, ids)) is not None:
        return arrays
    read = _parquet if suffix == ".parquet" else _csv
    table = read(file.name, content, columns, id_column, len(ids))
    arrays = _to_numpy(file.name, table, columns, id_column)
    return _aligned(file.name, arrays, id_column, ids)


def _checked_request(
    columns: Mapping[str, str], id_column: str, test_ids: NDArray[np.int64]
) -> NDArray[np.int64]:
    unknown = {kind for kind in columns.values() if kind not in ARROW_TYPES}
    if unknown:
        raise ValueError(f"column types must be of {sorted(ARROW_TYPES)}, got {sorted(unknown)}")
    if columns.get(id_column) != "int64":
        raise ValueError(f"the id column {id_column!r} must be one of the columns, with type int64")
    ids = np.asarray(test_ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or ids.size == 0:
        raise ValueError(
            f"test ids must be a one-dimensional integer array, got {ids.dtype} of shape {ids.shape}"
        )
    return ids.astype(np.int64, copy=False)


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


def _csv(name: str, content: bytes, columns: Mapping[str, str], id_column: str, n_rows: int) -> pa.Table:
    """Read comma-separated text."""
    csv_header(name, columns, content)
    try:
        table = parse_csv(content, {column: ARROW_TYPES[kind] for column, kind in columns.items()})
    except (pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowNotImplementedError) as error:
        explain_csv(
            name, content, columns, [id_column], check_rows=lambda found: check_length(name, n_rows, found)
        )
        raise InvalidSubmission(f"{name}: not a readable CSV file: {str(error)[:200]}") from None
    check_length(name, n_rows, table.num_rows)
    return table


def _parquet(name: str, content: bytes, columns: Mapping[str, str], id_column: str, n_rows: int) -> pa.Table:
    """Read Parquet with integer, floating-point or string columns; nothing nested, nothing null."""
    strings = [column for column, kind in columns.items() if kind == "string"]
    try:
        file = pa_parquet.ParquetFile(pa.BufferReader(content), read_dictionary=strings)
        check_parquet(name, file, columns, n_rows, cap_for(columns, n_rows))
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InvalidSubmission(f"{name}: not a readable Parquet file: {str(error)[:200]}") from None
    # The number of rows above is what the footer claims.
    check_length(name, n_rows, table.num_rows)
    for column in columns:
        check_nulls(name, column, table.column(column))
    try:
        return pa.table({c: _converted(table.column(c), kind) for c, kind in columns.items()})
    except pa.ArrowInvalid as error:
        raise InvalidSubmission(f"{name}: {str(error)[:200]}") from None


def _converted(cells: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    if kind == "string":
        return cells.cast(pa.string()).dictionary_encode()
    return cells.cast(ARROW_TYPES[kind])


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
