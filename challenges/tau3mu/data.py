"""tau -> mu mu mu data: the published files, toy events, and the parts of the labelled events.

The published `test.csv` has no labels, so nothing can be scored on it and it is not read. The labelled events
of `training.csv` are divided instead: two thirds train, one third is the test sample, of which two fifths are
public. `check_agreement.csv` and `check_correlation.csv` are the samples of the two gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hepchallenge.challenges.tau3mu import toy
from hepchallenge.challenges.tau3mu.coordinates import FEATURES
from hepchallenge.data import TableSchema, find_published, read_csv, write_prepared
from hepchallenge.exceptions import DataError
from hepchallenge.scoring.tau3mu import MIN_ANN_MUON

__all__ = [
    "AGREEMENT_SCHEMA",
    "CORRELATION_SCHEMA",
    "FEATURES",
    "LABELLED_SCHEMA",
    "MINIMUM_BACKGROUND",
    "NAME",
    "SHARES",
    "SPLIT_SEED",
    "TRUTH",
    "make_toy_data",
    "prepare_data",
    "prepared_tables",
    "split",
]

NAME = "tau3mu"

TRUTH = ("signal", "min_ANNmuon", "mass", "production")
"""Columns of the truth: the label, the worst muon identification, and what only training events tell."""

_FEATURES = {"id": pa.int64(), **dict.fromkeys(FEATURES, pa.float64())}

LABELLED_SCHEMA = TableSchema(
    columns={**_FEATURES, "production": pa.float64(), "signal": pa.int64(), "mass": pa.float64(),
             "min_ANNmuon": pa.float64()},
    unique=["id"],
)  # fmt: skip
"""Columns of training.csv."""

AGREEMENT_SCHEMA = TableSchema(
    columns={**_FEATURES, "signal": pa.int64(), "weight": pa.float64()}, unique=["id"]
)
"""Columns of check_agreement.csv; a weight may be negative."""

CORRELATION_SCHEMA = TableSchema(columns={**_FEATURES, "mass": pa.float64()}, unique=["id"])
"""Columns of check_correlation.csv."""

_FILES = {
    "labelled": ("training.csv", LABELLED_SCHEMA),
    "agreement": ("check_agreement.csv", AGREEMENT_SCHEMA),
    "correlation": ("check_correlation.csv", CORRELATION_SCHEMA),
}

SPLIT_SEED = 2015
SHARES = {"train": 2 / 3, "public": 2 / 15, "private": 1 / 5}
"""Shares of the labelled events of each class."""

MINIMUM_BACKGROUND = 200
"""Events in a window of the flatness gate: the correlation sample needs as many."""


def split(event_id: NDArray[np.int64], signal: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return the part of every labelled event: `train`, `public` or `private`.

    Each class is shuffled with a fixed seed after its events are sorted by id, then cut into shares of two
    thirds, two fifteenths and one fifth. The split depends on which events there are, not on their order.

    Parameters
    ----------
    event_id : array of int64, shape (n,)
        Different ids.
    signal : array of bool, shape (n,)
    """
    part = np.empty(len(event_id), dtype="U7")
    by_id = np.argsort(event_id)
    cuts = np.cumsum(list(SHARES.values()))[:-1]
    for label in (False, True):
        members = by_id[signal[by_id] == label]
        np.random.default_rng([SPLIT_SEED, int(label)]).shuffle(members)
        for name, rows in zip(
            SHARES, np.split(members, np.rint(cuts * len(members)).astype(int)), strict=True
        ):
            part[rows] = name
    return part


def _flags(table: pa.Table, file: object) -> NDArray[np.bool_]:
    flags: NDArray[np.int64] = table.column("signal").to_numpy()
    wrong = np.flatnonzero((flags != 0) & (flags != 1))
    if wrong.size:
        where = f"column signal, row {wrong[0] + 1}"
        raise DataError(file, where, "0 or 1", str(flags[wrong[0]]))
    return np.asarray(flags == 1)


def prepared_tables(published: Mapping[str, pa.Table], files: Mapping[str, object]) -> dict[str, pa.Table]:
    """Turn the three published tables into those of a prepared folder.

    Parameters
    ----------
    published : mapping of str to pyarrow.Table
        `labelled`, `agreement` and `correlation`, with the columns of their schemas.
    files : mapping of str to object
        What an error names as the file of each.

    Returns
    -------
    dict of str to pyarrow.Table
        `train` and `test` (which also has Part: `public` or `private`), `agreement` and `correlation`.

    Raises
    ------
    DataError
        If a flag is neither 0 nor 1, a part has no signal or no background that counts in the score, weights
        of the agreement sample do not sum to a positive number, or the correlation sample is too small.
    """
    labelled, agreement, correlation = (published[name] for name in ("labelled", "agreement", "correlation"))
    signal = _flags(labelled, files["labelled"])
    counted = labelled.column("min_ANNmuon").to_numpy() > MIN_ANN_MUON
    part = split(labelled.column("id").to_numpy(), signal)
    for name in SHARES:
        for label, members in (("signal", signal), ("background", ~signal)):
            if not (counted & members & (part == name)).any():
                expected = f"{label} events with min_ANNmuon above {MIN_ANN_MUON}"
                raise DataError(files["labelled"], f"{name} part", expected, "none")
    simulated = _flags(agreement, files["agreement"])
    weight = agreement.column("weight").to_numpy()
    for label, members in (("simulated", simulated), ("real", ~simulated)):
        total = weight[members].sum()
        if not total > 0:
            expected = f"{label} events whose weights sum to a positive number"
            raise DataError(files["agreement"], "column weight", expected, str(total))
    if correlation.num_rows < MINIMUM_BACKGROUND:
        expected = f"at least {MINIMUM_BACKGROUND} events, as many as a window of the flatness gate holds"
        raise DataError(files["correlation"], "rows", expected, str(correlation.num_rows))
    test = labelled.filter(pa.array(part != "train"))
    return {
        "train": labelled.filter(pa.array(part == "train")),
        "test": test.append_column("Part", pa.array(part[part != "train"].tolist(), pa.string())),
        "agreement": agreement,
        "correlation": correlation,
    }


def prepare_data(source: Path, target: Path) -> None:
    """Read the published files in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder, or an archive, with `training.csv`, `check_agreement.csv` and `check_correlation.csv`;
        plain, gzipped or zipped. A `test.csv` is not read: it has no labels.

    Raises
    ------
    DataError
        If one of the three is not there, or does not hold what it should.
    """
    tables, files = {}, {}
    for name, (file, schema) in _FILES.items():
        found = find_published(source, file)
        if found is None:
            expected = ", ".join(each for each, _ in _FILES.values())
            raise DataError(source, "files", f"{expected} (each .csv, .csv.gz or .zip)", f"no {file}")
        tables[name], files[name] = read_csv(found, schema), found
    info = {
        "division": f"training.csv, divided with seed {SPLIT_SEED}",
        "test.csv": "not read: it has no labels",
    }
    write_prepared(target, prepared_tables(tables, files), info)


def make_toy_data(target: Path, seed: int = 0, n_events: int | None = None) -> None:
    """Write a prepared folder of toy events; see `hepchallenge.challenges.tau3mu.toy`.

    Parameters
    ----------
    target : Path
    seed : int
        Equal seeds and numbers give equal events.
    n_events : int, optional
        All events together: 3/7 train, 3/14 test, 2/7 are of the agreement and 1/14 of the correlation
        sample; `toy.DEFAULT_EVENTS` if None.
    """
    n_events = toy.DEFAULT_EVENTS if n_events is None else n_events
    samples = toy.generate(n_events, seed)
    tables = {
        name: pa.table(
            {column: pa.array(samples[name][column], kind) for column, kind in schema.columns.items()}
        )
        for name, (_, schema) in _FILES.items()
    }
    files = dict.fromkeys(tables, f"toy events (seed {seed}, {n_events} events)")
    info = {"division": f"toy events, divided with seed {SPLIT_SEED}", "seed": seed, "events": n_events}
    write_prepared(target, prepared_tables(tables, files), info)
