"""Read the published top tagging tables piece by piece: HDF5 as pandas wrote it, or the Parquet mirror.

A table has one row a jet: E_0, PX_0, PY_0, PZ_0 to E_199, ..., PZ_199, the top's truthE, truthPX, truthPY,
truthPZ, `ttv` and `is_signal_new`. It takes gigabytes unpacked, so that never more than some thousand rows
are in memory. HDF5 is read by pandas with the package `tables`, which knows the compression that the files
have. It trusts them, as reading pickled attributes is part of their format: read no HDF5 file of a stranger.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.jets import MAX_CONSTITUENTS, JetTable
from hepchallenge.exceptions import DataError, UsageError

__all__ = ["COLUMNS", "LABEL", "TRUTH", "files_of_role", "read_jets", "read_labels"]

CONSTITUENTS = tuple(f"{c}_{i}" for i in range(MAX_CONSTITUENTS) for c in ("E", "PX", "PY", "PZ"))
TRUTH = ("truthE", "truthPX", "truthPY", "truthPZ")
LABEL = "is_signal_new"
COLUMNS = (*CONSTITUENTS, *TRUTH, LABEL)
"""Columns that are read. `ttv` repeats what the file's name says."""

_HDF5, _PARQUET = (".h5", ".hdf5"), (".parquet",)
_KEY = "table"
_ROLE_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
_LABEL_NAMES = (LABEL, "label")
_ROWS = 5000


def files_of_role(files: Sequence[Path], role: str) -> list[Path]:
    """Return the files of a role: one HDF5 file, or the Parquet files in the order of their names.

    Parameters
    ----------
    role : {"train", "val", "test"}
        What a name begins with: `train.h5`, `train-00000-of-00003.parquet`, `validation.parquet`.

    Raises
    ------
    DataError
        If there are several HDF5 files, or files of both kinds.
    """
    words = "|".join(_ROLE_NAMES[role])
    named = [f for f in files if re.match(rf"({words})(?![a-z])", f.name.lower())]
    found = sorted(f for f in named if f.suffix.lower() in (*_HDF5, *_PARQUET))
    if len(found) > 1 and not all(f.suffix.lower() in _PARQUET for f in found):
        names = ", ".join(f.name for f in found)
        raise DataError(found[0].parent, f"{role} files", "one HDF5 file, or Parquet files", names)
    return found


def read_jets(file: Path, rows: int = _ROWS) -> Iterator[JetTable]:
    """Read a published table in pieces of some rows.

    Yields
    ------
    JetTable

    Raises
    ------
    DataError
        If the file is no such table, or a row is wrong: a value that is not finite, an energy below 0, a
        constituent after the first empty one, a label that is not 0 or 1.
    UsageError
        If the package `tables` is needed and not installed.
    """
    first = 0
    pieces = _hdf5(file, rows) if file.suffix.lower() in _HDF5 else _parquet(file, rows)
    for values, truth, label in pieces:
        yield _checked(file, first, values, truth, label)
        first += len(label)
    if first == 0:
        raise DataError(file, "rows", "at least one", "none")


def _checked(
    file: Path, first: int, values: NDArray[np.float32], truth: NDArray[np.float32], label: NDArray[Any]
) -> JetTable:
    """Take the constituents out of rows; `first` is the number of the first one in the file."""

    def refuse(wrong: Any, what: str, expected: str, found: NDArray[Any]) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(file, f"row {first + row + 1}: {what}", expected, f"{found[row]}")

    p = values.reshape(-1, MAX_CONSTITUENTS, 4)
    finite = np.isfinite(values).all(axis=1)
    refuse(~finite, "constituents", "finite numbers", np.where(finite, "", "one that is not"))
    lowest = p[:, :, 0].min(axis=1)
    refuse(lowest < 0, "energy", "a number from 0", lowest)
    filled = (p != 0).any(axis=2)
    counts = filled.sum(axis=1)
    behind = MAX_CONSTITUENTS - np.argmax(filled[:, ::-1], axis=1)
    gap = (counts > 0) & (behind != counts)
    refuse(gap, "constituents", "zeros after the last one only", np.where(gap, "an empty one before", ""))
    refuse(counts == 0, "constituents", "at least one", counts)
    _check_labels(file, first, label)
    refuse(~np.isfinite(truth).all(axis=1), "truth", "finite numbers", truth)
    return JetTable(p[filled], counts.astype(np.int64), label.astype(np.int8), truth)


def _check_labels(file: Path, first: int, label: NDArray[Any]) -> None:
    wrong = (label != 0) & (label != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(file, f"row {first + row + 1}: label", "0 or 1", f"{label[row]}")


_Piece = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]


def _hdf5(file: Path, rows: int) -> Iterator[_Piece]:
    try:
        tables: Any = importlib.import_module("tables")
    except ImportError as error:
        raise UsageError(
            f"{file.name}: HDF5 tables are read by the package tables, which is not installed ({error}): "
            "pip install hepchallenge[toptag]"
        ) from None
    import pandas as pd

    try:
        store: Any
        with pd.HDFStore(str(file), mode="r") as store:
            if f"/{_KEY}" not in store:
                found = ", ".join(store.keys()) or "none"
                raise DataError(file, "key", f"the pandas table {_KEY!r}", found)
            storer = store.get_storer(_KEY)
            n = storer.nrows if storer.is_table else storer.shape[0]
            for start in range(0, int(n), rows):
                # A piece of a stored table is again a DataFrame; nothing else of the file is read.
                yield _of_frame(file, store.select(_KEY, start=start, stop=min(start + rows, int(n))))
    except (tables.HDF5ExtError, tables.NoSuchNodeError, OSError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).strip().splitlines()
        raise DataError(
            file, "content", "a pandas table in HDF5", reason[-1] if reason else "something else"
        ) from None


def _of_frame(file: Path, frame: Any) -> _Piece:
    _check_columns(file, list(getattr(frame, "columns", [])))
    values, truth = (frame[list(c)].to_numpy(np.float32) for c in (CONSTITUENTS, TRUTH))
    return values, truth, frame[LABEL].to_numpy()


def _parquet(file: Path, rows: int) -> Iterator[_Piece]:
    try:
        with pa_parquet.ParquetFile(file, memory_map=True) as parquet:
            _check_columns(file, parquet.schema_arrow.names)
            for batch in parquet.iter_batches(batch_size=rows, columns=list(COLUMNS)):
                yield (
                    _stacked(file, batch, CONSTITUENTS),
                    _stacked(file, batch, TRUTH),
                    batch.column(LABEL).to_numpy(zero_copy_only=False),
                )
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(file, "content", "a Parquet table", str(error).splitlines()[0]) from None


def _stacked(file: Path, batch: pa.RecordBatch, names: Sequence[str]) -> NDArray[np.float32]:
    result = np.empty((batch.num_rows, len(names)), dtype=np.float32)
    for i, name in enumerate(names):
        column = batch.column(name)
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise DataError(file, f"column {name}", "numbers", str(column.type))
        # A missing value becomes NaN, which is refused with its row.
        result[:, i] = column.to_numpy(zero_copy_only=False)
    return result


def _check_columns(file: Path, names: Sequence[str]) -> None:
    there = set(names)
    missing = [name for name in COLUMNS if name not in there]
    if missing:
        found = f"no such column ({len(missing)} are missing)"
        raise DataError(file, f"column {missing[0]}", "it in the table", found)


def read_labels(file: Path) -> NDArray[np.int8]:
    """Read labels of test jets that were published without the jets.

    Parameters
    ----------
    file : Path
        `.npz`, `.npy` or `.parquet`; an array or column `is_signal_new` or `label`, 1 for tops.

    Raises
    ------
    DataError
        If there is no such array, or it has other values than 0 and 1 or only one of them.
    """
    label = _labels_npz(file) if file.suffix in (".npz", ".npy") else _labels_parquet(file)
    if label.ndim != 1 or label.dtype.kind not in "biuf":
        raise DataError(file, "labels", "one number a jet", f"{label.dtype} of shape {label.shape}")
    _check_labels(file, 0, label)
    if len(np.unique(label)) != 2:
        raise DataError(file, "labels", "both 0 and 1", f"{len(label)} labels, not both")
    return label.astype(np.int8)


def _labels_npz(file: Path) -> NDArray[Any]:
    try:
        loaded = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(file, "content", "arrays of numpy", str(error).splitlines()[0]) from None
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        for name in _LABEL_NAMES:
            if name in loaded.files:
                label: NDArray[Any] = loaded[name]
                return label
        raise DataError(file, "arrays", " or ".join(_LABEL_NAMES), ", ".join(loaded.files))


def _labels_parquet(file: Path) -> NDArray[Any]:
    try:
        with pa_parquet.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
            name = next((n for n in _LABEL_NAMES if n in names), None)
            if name is None:
                raise DataError(file, "columns", " or ".join(_LABEL_NAMES), ", ".join(names))
            label: NDArray[Any] = parquet.read(columns=[name]).column(name).to_numpy(zero_copy_only=False)
            return label
    except (pa.ArrowException, OSError) as error:
        raise DataError(file, "content", "a Parquet table", str(error).splitlines()[0]) from None
