"""HiggsML data: the published files, toy events, and the parts that both are divided into.

Two publications hold the same events. The open-data file (CERN Open Data record 328) has 35 columns, among
them `KaggleSet`; Kaggle's `training.csv` has the first 33 and is set t alone. Where sets t, b and v are all
there, they are the training, public and private part, and u is left out. Where all events are of
set t, or there is no set, a local split is drawn: see `local_split`.

Weights are scaled class by class to the expected events of the full data set, once over the training
rows (where that gives `KaggleWeight`) and once over all test rows. Within the public or private part they
are proportional to `KaggleWeight`, and the score types scale them to equality.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hepchallenge.challenges.higgsml import toy
from hepchallenge.data import TableSchema, find_published, read_csv, write_prepared
from hepchallenge.exceptions import DataError
from hepchallenge.scoring.ams import renormalise
from hepchallenge.scoring.higgsml import HIGGSML_TOTALS

__all__ = [
    "FEATURES",
    "KAGGLE_TEST_SCHEMA",
    "LOCAL_SHARES",
    "LOCAL_SPLIT_SEED",
    "NAME",
    "SCHEMA",
    "local_split",
    "make_toy_data",
    "prepare_data",
    "prepared_tables",
]

NAME = "higgsml"

FEATURES = toy.COLUMNS[1:31]
"""The 30 input columns, derived ones first, in the published order. -999 means that there is no value."""

_FEATURE_TYPES = dict.fromkeys(FEATURES, pa.float64())

SCHEMA = TableSchema(
    columns={
        "EventId": pa.int64(),
        **_FEATURE_TYPES,
        "Weight": pa.float64(),
        "Label": pa.string(),
        "KaggleSet": pa.string(),
        "KaggleWeight": pa.float64(),
    },
    unique=["EventId"],
    weights=["Weight", "KaggleWeight"],
    allowed={"Label": ["s", "b"], "KaggleSet": ["t", "b", "v", "u"]},
    optional=["KaggleSet", "KaggleWeight"],
)
"""Columns of the open-data file; Kaggle's training.csv lacks the last two."""

KAGGLE_TEST_SCHEMA = TableSchema(columns={"EventId": pa.int64(), **_FEATURE_TYPES}, unique=["EventId"])
"""Columns of Kaggle's test.csv, which has neither labels nor weights."""

OPEN_DATA_NAMES = ("atlas-higgs-challenge-2014-v2.csv", "atlas-higgs-challenge-2014*.csv")
KAGGLE_TRAIN_NAME = "training.csv"
KAGGLE_TEST_NAME = "test.csv"

LOCAL_SPLIT_SEED = 2014
LOCAL_SHARES = {"train": 0.5, "public": 0.2, "private": 0.3}
"""Shares of the events of each class in a local split."""

_PUBLISHED_PARTS = {"t": "train", "b": "public", "v": "private", "u": "unused"}


def local_split(event_id: NDArray[np.int64], is_signal: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return the part of every event: `train`, `public` or `private`.

    Each class is shuffled with a fixed seed after its events are sorted by id, then cut into shares of 50,
    20 and 30 per cent. The split therefore depends on which events there are, not on their order.

    Parameters
    ----------
    event_id : array of int64, shape (n,)
        Different ids.
    is_signal : array of bool, shape (n,)
    """
    part = np.empty(len(event_id), dtype="U7")
    by_id = np.argsort(event_id)
    cuts = np.cumsum(list(LOCAL_SHARES.values()))[:-1]
    for label in (False, True):
        members = by_id[is_signal[by_id] == label]
        np.random.default_rng([LOCAL_SPLIT_SEED, int(label)]).shuffle(members)
        pieces = np.split(members, np.rint(cuts * len(members)).astype(int))
        for name, rows in zip(LOCAL_SHARES, pieces, strict=True):
            part[rows] = name
    return part


def _parts(table: pa.Table, is_signal: NDArray[np.bool_], file: object) -> tuple[NDArray[np.str_], str]:
    """Return the part of every event and a sentence on where the division comes from."""
    sets = set(table.column("KaggleSet").unique().to_pylist()) if "KaggleSet" in table.column_names else {"t"}
    if sets == {"t"}:
        event_id = table.column("EventId").to_numpy()
        return local_split(event_id, is_signal), f"local split with seed {LOCAL_SPLIT_SEED}"
    if not {"t", "b", "v"} <= sets:
        raise DataError(file, "KaggleSet", "the sets t, b and v, or t alone", ", ".join(sorted(sets)))
    codes = table.column("KaggleSet").to_numpy(zero_copy_only=False).astype("U1")
    part = np.empty(len(codes), dtype="U7")
    for code, name in _PUBLISHED_PARTS.items():
        part[codes == code] = name
    return part, "published KaggleSet"


def prepared_tables(table: pa.Table, file: object) -> tuple[dict[str, pa.Table], str]:
    """Divide published events into the tables `train` and `test`.

    Parameters
    ----------
    table : pyarrow.Table
        The columns of `SCHEMA`, checked.
    file : object
        What an error names as the file.

    Returns
    -------
    dict of str to pyarrow.Table, str
        Both tables have EventId, the features, IsSignal (int8) and Weight (scaled); `test` also Part
        (`public` or `private`). The sentence says how the events were divided.

    Raises
    ------
    DataError
        If the sets cannot be used, or a part lacks signal or background, by number or by weight.
    """
    is_signal = np.asarray(table.column("Label").to_numpy(zero_copy_only=False) == "s")
    weight = table.column("Weight").to_numpy()
    part, division = _parts(table, is_signal, file)
    for name in LOCAL_SHARES:
        for label, members in (("signal", is_signal), ("background", ~is_signal)):
            chosen = (part == name) & members
            if not weight[chosen].sum() > 0:
                found = f"{int(chosen.sum())} of them with a summed weight of {weight[chosen].sum()}"
                raise DataError(file, f"{name} part ({division})", f"{label} events with weight", found)
    tables = {}
    for name, rows in (
        ("train", np.flatnonzero(part == "train")),
        ("test", np.flatnonzero((part == "public") | (part == "private"))),
    ):
        chosen_table = table.select(["EventId", *FEATURES]).take(pa.array(rows))
        scaled = renormalise(weight[rows], is_signal[rows], HIGGSML_TOTALS)
        chosen_table = chosen_table.append_column("IsSignal", pa.array(is_signal[rows].astype(np.int8)))
        chosen_table = chosen_table.append_column("Weight", pa.array(scaled))
        if name == "test":
            chosen_table = chosen_table.append_column("Part", pa.array(part[rows].tolist(), pa.string()))
        tables[name] = chosen_table
    return tables, division


def prepare_data(source: Path, target: Path) -> None:
    """Read the published files in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder with the open-data file (`atlas-higgs-challenge-2014-v2.csv`) or with Kaggle's
        `training.csv`, or one such file; plain, gzipped or zipped. Kaggle's `test.csv` has no labels, so
        nothing can be scored on it: it is checked and kept apart as the table `kaggle_test`, for
        predictions to upload, and the local split of `training.csv` gives the test parts.

    Raises
    ------
    DataError
        If there is no such file, or it does not hold what it should.
    """
    names = (*OPEN_DATA_NAMES, KAGGLE_TRAIN_NAME)
    # A single file was pointed at: its name does not matter, its columns do.
    found = find_published(source, *names, *(["*.csv"] if source.is_file() else []))
    if found is None:
        raise DataError(
            source,
            "files",
            f"{OPEN_DATA_NAMES[0]} or Kaggle's {KAGGLE_TRAIN_NAME} (.csv, .csv.gz or .zip)",
            "neither",
        )
    table = read_csv(found, SCHEMA)
    tables, division = prepared_tables(table, found)
    if "KaggleSet" not in table.column_names and source.is_dir():
        unlabelled = find_published(source, KAGGLE_TEST_NAME)
        if unlabelled is not None:
            tables["kaggle_test"] = read_csv(unlabelled, KAGGLE_TEST_SCHEMA)
    write_prepared(target, tables, {"division": division})


def make_toy_data(target: Path, seed: int = 0, n_events: int | None = None) -> None:
    """Write a prepared folder of toy events; see `hepchallenge.challenges.higgsml.toy`.

    Parameters
    ----------
    target : Path
    seed : int
        Equal seeds and numbers give equal events.
    n_events : int, optional
        All events together, of which 31 per cent are for training; `toy.DEFAULT_EVENTS` if None.
    """
    frame = toy.generate(toy.DEFAULT_EVENTS if n_events is None else n_events, seed)
    table = pa.table({name: pa.array(frame[name].to_numpy(), kind) for name, kind in SCHEMA.columns.items()})
    tables, division = prepared_tables(table, f"toy events (seed {seed}, {len(frame)} events)")
    write_prepared(target, tables, {"division": division, "seed": seed, "events": len(frame)})
