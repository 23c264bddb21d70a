"""Top tagging data: the published tables, labels alone, and toy jets, as prepared folders.

A prepared folder has for each of `train` and `test`

`<part>.arrow`
    One row a jet: NConstituents, IsSignal, Validation (whether from the published validation set), and the
    momentum of the top, TruthE to TruthPZ, which no submission gets.
`<part>-constituents.npy`
    The constituents of all jets one after the other, shape (m, 4), float32. It is no Arrow table, since those
    that are written in pieces stay in pieces; this file is mapped into memory as one array.

Where only labels of the test jets were published, jets have no constituents; prediction files can be scored
on them. The contract wants training rows, so two empty jets with the labels 0 and 1 stand for these.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.jets import Jets, JetTable
from hepchallenge.challenges.toptag.published import (
    files_of_role,
    read_jets,
    read_labels,
)
from hepchallenge.challenges.toptag.toy import DEFAULT_EVENTS, toy_table
from hepchallenge.data import PreparedWriter, Published, read_table, writing_prepared
from hepchallenge.exceptions import DataError, UsageError

__all__ = ["LABEL_FILES", "NAME", "SHARES", "make_toy_data", "prepare_data", "read_part"]

NAME = "toptag"

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
"""Shares of toy jets; those of the published jets are within a thousandth of it."""

LABEL_FILES = ("test_labels.npz", "test_labels.npy", "test_labels.parquet", "published_scores_test404k.npz")
"""Files that hold labels of the test jets and no jets, in the order in which they are looked for."""

_TRUTH = ("TruthE", "TruthPX", "TruthPY", "TruthPZ")
_SCHEMA = pa.schema(
    [
        ("NConstituents", pa.int16()),
        ("IsSignal", pa.int8()),
        ("Validation", pa.bool_()),
        *((name, pa.float32()) for name in _TRUTH),
    ]
)


class _Part:
    """Writes the jets of one part piece by piece."""

    def __init__(self, folder: Path, writer: PreparedWriter, name: str) -> None:
        self._table = writer.stream(name, _SCHEMA)
        self._file = (folder / f"{name}-constituents.npy").open("wb")
        self._rows = 0
        # numpy leaves room in it for the number of rows, which is known in the end.
        self._file.write(_npy_header(0))

    def __enter__(self) -> _Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.seek(0)
        self._file.write(_npy_header(self._rows))
        self._file.close()

    def write(self, jets: JetTable, validation: NDArray[np.bool_]) -> None:
        """Append jets."""
        self._file.write(np.ascontiguousarray(jets.constituents, dtype="<f4").tobytes())
        self._rows += len(jets.constituents)
        columns = [jets.counts.astype(np.int16), jets.is_signal, validation, *jets.truth.T]
        arrays = [pa.array(c, kind) for c, kind in zip(columns, _SCHEMA.types, strict=True)]
        self._table.write(pa.record_batch(arrays, schema=_SCHEMA))


def _npy_header(rows: int) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (rows, 4)})
    return stream.getvalue()


def read_part(prepared: Path, part: str) -> tuple[Jets, NDArray[np.int64]]:
    """Return the jets and labels of a part, `train` or `test`, mapped into memory.

    Raises
    ------
    DataError
        If the files of the part are missing, or do not fit together.
    """
    table = read_table(prepared, part, ["NConstituents", "IsSignal", "Validation"])
    counts, label, validation = (table.column(c).to_numpy() for c in table.column_names)
    file = prepared / f"{part}-constituents.npy"
    try:
        # A plain array over the mapped file, which is passed on to submissions without a copy.
        constituents = np.asarray(np.load(file, mmap_mode="r"))
    except (OSError, ValueError) as error:
        raise DataError(file, "content", "an array of numpy", str(error).splitlines()[0]) from None
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    if constituents.shape != (offsets[-1], 4):
        raise DataError(file, "shape", f"({offsets[-1]}, 4)", f"{constituents.shape}")
    return Jets(constituents, offsets, validation), label.astype(np.int64)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(source, "path", "a file or a folder", "no such file or folder")
    # The mirror keeps its files in a folder `data`.
    folders = (source, source / "data")
    return sorted(f for d in folders if d.is_dir() for f in d.iterdir() if f.is_file() and f.name[0] != ".")


def prepare_data(source: Path, target: Path) -> None:
    """Read the published files in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder with `train.h5`, `val.h5` and `test.h5`, or with Parquet files whose names begin with
        `train`, `val` (or `validation`) and `test`. Or, to score prediction files only, a folder with one
        of `LABEL_FILES`, or such a file under any name.

    Raises
    ------
    DataError
        If a file is missing, or does not hold what it should.
    UsageError
        If HDF5 is to be read and the package `tables` is not installed.
    """
    files = _files(source)
    roles = {role: files_of_role(files, role) for role in SHARES}
    there = [role for role, found in roles.items() if found]
    labels = [f for name in LABEL_FILES for f in files if f.name == name]
    if source.is_file():
        # A single file was pointed at: its name does not matter.
        labels, there = [source], []
    if not there and labels:
        _prepare_labels(labels[0], target)
        return
    missing = [role for role in SHARES if role not in there]
    if missing:
        expected = f"train, val and test as .h5 or .parquet, or {LABEL_FILES[0]} to score prediction files"
        found = f"{', '.join(there)} only" if there else "none of them"
        raise DataError(source, "files", expected, found)
    with writing_prepared(target) as writer:
        with _Part(target, writer, "train") as part:
            for role in ("train", "val"):
                for jets in _all_jets(roles[role]):
                    part.write(jets, np.full(len(jets.counts), role == "val"))
        with _Part(target, writer, "test") as part:
            for jets in _all_jets(roles["test"]):
                part.write(jets, np.zeros(len(jets.counts), dtype=bool))
        writer.info["division"] = "published train, val and test"


def _all_jets(files: list[Path]) -> Iterator[JetTable]:
    for file in files:
        _remember(file)
        yield from read_jets(file)


def _remember(file: Path) -> None:
    """Let the manifest name the file as a source: its reader opens it past the data room."""
    with Published(file).open():
        pass


def _prepare_labels(file: Path, target: Path) -> None:
    _remember(file)
    with writing_prepared(target) as writer:
        for name, label in (("train", np.array([0, 1], dtype=np.int8)), ("test", read_labels(file))):
            n = len(label)
            nothing = JetTable(
                np.zeros((0, 4), np.float32), np.zeros(n, int), label, np.zeros((n, 4), np.float32)
            )
            with _Part(target, writer, name) as part:
                part.write(nothing, np.arange(n) == (n - 1 if name == "train" else n))
        writer.info["division"] = "labels of the test jets only: takes prediction files, no code"


def make_toy_data(target: Path, seed: int = 0, n_events: int | None = None) -> None:
    """Write a prepared folder of toy jets; see `hepchallenge.challenges.toptag.toy`.

    Parameters
    ----------
    target : Path
    seed : int
        Equal seeds and numbers give equal jets.
    n_events : int, optional
        All jets together, half of them tops: 60 per cent for training, 20 for validation, 20 for test;
        `toy.DEFAULT_EVENTS` if None.

    Raises
    ------
    UsageError
        If the package fastjet is not installed, or there are so few jets that a part lacks a class.
    """
    n = DEFAULT_EVENTS if n_events is None else n_events
    table = toy_table(n, seed)
    first = np.rint(np.cumsum([0, *SHARES.values()]) * n).astype(int)
    rows = {role: slice(first[i], first[i + 1]) for i, role in enumerate(SHARES)}
    for role, chosen in rows.items():
        if len(np.unique(table.is_signal[chosen])) < 2:
            raise UsageError(f"{NAME}: {n} toy jets leave none of a class for {role}; take more")
    with writing_prepared(target) as writer:
        with _Part(target, writer, "train") as train, _Part(target, writer, "test") as test:
            for role, chosen in rows.items():
                jets = _slice(table, chosen)
                part = test if role == "test" else train
                part.write(jets, np.full(len(jets.counts), role == "val"))
        writer.info.update({"division": f"toy jets (seed {seed}, {n} jets)", "seed": seed, "events": n})


def _slice(table: JetTable, rows: slice) -> JetTable:
    ends = np.concatenate([[0], np.cumsum(table.counts)])
    constituents = table.constituents[ends[rows.start] : ends[rows.stop]]
    return JetTable(constituents, table.counts[rows], table.is_signal[rows], table.truth[rows])
