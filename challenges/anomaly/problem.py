"""Detector anomalies 2016: tell events of a miscalibrated detector (isSkewed = 1) from good ones (0).

The problem of the public RAMP kit HEP_detector_anomalies: same features in the same order, same
cross-validation, same three scores. `X` is a float array of shape (n, 16) and `y` an integer array of shape
(n,). Data are the published `train.csv.gz` and `test.csv.gz`, or toy events where there are none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import rampwf as rw
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedShuffleSplit

from hepchallenge.challenges.anomaly.data import FEATURES, NAME, TARGET, make_toy_data, prepare_data
from hepchallenge.data import open_prepared, read_table

__all__ = [
    "Predictions",
    "get_cv",
    "get_test_data",
    "get_train_data",
    "make_toy_data",
    "prepare_data",
    "problem_title",
    "score_types",
    "workflow",
]

problem_title = "Detecting anomalies in the LHC ATLAS detector"
Predictions = rw.prediction_types.make_multiclass(label_names=[0, 1])
workflow = rw.workflows.Classifier()
score_types = [
    rw.score_types.ROCAUC(name="auc", precision=3),
    rw.score_types.Accuracy(name="accuracy", precision=3),
    rw.score_types.NegativeLogLikelihood(name="nll", precision=3),
]

Arrays = tuple[NDArray[np.float64], NDArray[np.int64]]


def get_cv(X: Any, y: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the 2016 cross-validation: eight stratified splits into halves."""
    splits: Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]] = StratifiedShuffleSplit(
        n_splits=8, test_size=0.5, random_state=57
    ).split(X, y)
    return splits


def _read(path: str | os.PathLike[str], name: str) -> Arrays:
    prepared = open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)
    table = read_table(prepared, name, [*FEATURES, TARGET])
    X = np.empty((table.num_rows, len(FEATURES)))
    for index, feature in enumerate(FEATURES):
        X[:, index] = table.column(feature).to_numpy()
    # A copy, since kits may write to what they are given and the table is mapped read-only.
    return X, table.column(TARGET).to_numpy().copy()


def get_train_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return features and labels of the training events."""
    return _read(path, "train")


def get_test_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return features and labels of the held-out events."""
    return _read(path, "test")
