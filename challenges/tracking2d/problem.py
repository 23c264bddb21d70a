"""2D tracking hackathon 2017: find out which hits of an event belong to the same particle.

The problem of the public RAMP kit HEP_tracking: same arrays in the same order, same cross-validation, same
score. `X` is a float array of shape (n_hits, 5) with event_id, layer, iphi, x, y; `y` an integer array of
shape (n_hits, 2) with event_id, cluster_id. Data are the published `train.csv` and `test.csv`, or toy events
where there are none. The hackathon had one test set, so there are no public and private parts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import rampwf as rw
from numpy.typing import NDArray
from sklearn.model_selection import ShuffleSplit

from hepchallenge.challenges.tracking2d.curves import get_curves
from hepchallenge.challenges.tracking2d.data import FEATURES, LABELS, NAME, make_toy_data, prepare_data
from hepchallenge.challenges.tracking2d.pictures import draw_results
from hepchallenge.data import open_prepared, read_table
from hepchallenge.scoring.clustering import ClusteringEfficiency

__all__ = [
    "Predictions",
    "draw_results",
    "get_curves",
    "get_cv",
    "get_test_data",
    "get_train_data",
    "make_toy_data",
    "prepare_data",
    "problem_title",
    "score_types",
    "workflow",
]

problem_title = "Particle tracking in the LHC ATLAS detector"
Predictions = rw.prediction_types.make_clustering()
workflow = rw.workflows.Clusterer()
score_types = [ClusteringEfficiency(name="efficiency", precision=3)]

Arrays = tuple[NDArray[np.float64], NDArray[np.int64]]


def _rows_of(events: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.isin(y[:, 0], events)).astype(np.int64)


def get_cv(
    X: NDArray[np.float64], y: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the cross-validation of 2017: one split of whole events into halves.

    `rampwf.cvs.Clustering` defines the same split but needs numpy before 2.4.
    """
    events = np.unique(y[:, 0])
    for train, valid in ShuffleSplit(n_splits=1, test_size=0.5, random_state=57).split(events):
        yield _rows_of(events[train], y), _rows_of(events[valid], y)


def _read(path: str | os.PathLike[str], name: str) -> Arrays:
    prepared = open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)
    table = read_table(prepared, name)
    X = np.column_stack([table.column(feature).to_numpy().astype(np.float64) for feature in FEATURES])
    y = np.column_stack([table.column(label).to_numpy() for label in LABELS])
    return X, y


def get_train_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return hits and labels of the training events."""
    return _read(path, "train")


def get_test_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return hits and labels of the held-out events."""
    return _read(path, "test")
