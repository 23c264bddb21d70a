"""Data of the 2D tracking hackathon: its published files, and toy events in the same format.

Both become the tables `train` and `test`, one row a hit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from hepchallenge.challenges.tables import prepare_train_and_test
from hepchallenge.challenges.tracking2d import simulation
from hepchallenge.data import TableSchema, write_prepared
from hepchallenge.exceptions import DataError

__all__ = ["DEFAULT_EVENTS", "FEATURES", "LABELS", "NAME", "SCHEMA", "make_toy_data", "prepare_data"]

NAME = "tracking2d"

FEATURES = ("event_id", "layer", "iphi", "x", "y")
"""The columns of X, in the published order; `predict_single_event` gets all but the first."""

LABELS = ("event_id", "cluster_id")
"""The columns of y, in the published order."""

SCHEMA = TableSchema(
    columns={
        **dict.fromkeys(("event_id", "cluster_id", "layer", "iphi"), pa.int64()),
        **dict.fromkeys(("x", "y"), pa.float64()),
    }
)
"""Columns of the published files, in their order."""

DEFAULT_EVENTS = 1000
MINIMUM_EVENTS = 4
"""Two events for training, which the cross-validation divides, and two for the test."""


def _check(table: pa.Table, file: object) -> None:
    columns = {name: table.column(name).to_numpy() for name in ("layer", "iphi", "cluster_id")}
    layers = simulation.LAYERS
    inside = (columns["layer"] >= 0) & (columns["layer"] < layers)
    cells = simulation.CELLS[np.where(inside, columns["layer"], 0)]
    for name, right, expected in (
        ("layer", inside, f"0 to {layers - 1}"),
        ("iphi", (columns["iphi"] >= 0) & (columns["iphi"] < cells), "a cell of its layer"),
        ("cluster_id", columns["cluster_id"] >= 0, "a particle's number, from 0"),
    ):
        wrong = np.flatnonzero(~right)
        if len(wrong):
            found = f"{columns[name][wrong[0]]}"
            raise DataError(file, f"column {name}, row {wrong[0] + 1}", expected, found)


def prepare_data(source: Path, target: Path) -> None:
    """Read the published files in `source` and write the prepared folder `target`.

    Parameters
    ----------
    source : Path
        A folder with `train.csv` and `test.csv`, as they are (as published), gzipped or zipped.
    target : Path
        The folder to write to.

    Raises
    ------
    DataError
        If one of the files is not there, or does not hold what it should.
    """
    prepare_train_and_test(source, target, SCHEMA, _check)


def make_toy_data(target: Path, seed: int = 0, n_events: int | None = None) -> None:
    """Write a prepared folder of toy events, half of them for training.

    Parameters
    ----------
    target : Path
        The folder to write to.
    seed : int
        Equal seeds and numbers give equal events.
    n_events : int, optional
        All events together, at least `MINIMUM_EVENTS`; `DEFAULT_EVENTS` if None.

    Raises
    ------
    ValueError
        When there are too few events.
    """
    events = DEFAULT_EVENTS if n_events is None else n_events
    if events < MINIMUM_EVENTS:
        raise ValueError(f"n_events must be at least {MINIMUM_EVENTS}, found {events}")
    hits = simulation.simulate(events, seed)
    # As in the published files, ids of training and test events lie among each other.
    training = hits["event_id"].to_numpy() % 2 == 1
    table = pa.table({name: pa.array(hits[name].to_numpy(), kind) for name, kind in SCHEMA.columns.items()})
    info = {"seed": seed, "events": events, "mean_multiplicity": simulation.MEAN_MULTIPLICITY}
    write_prepared(target, {"train": table.filter(training), "test": table.filter(~training)}, info)
