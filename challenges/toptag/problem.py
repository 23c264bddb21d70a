"""Top tagging: jets of hadronic top decays against jets of light quarks and gluons.

The file ramp-test and hepchallenge both read. `X` are `Jets`, which stand for an array of shape (n, 200, 4):
the momenta E, px, py, pz in GeV of up to 200 constituents by falling pT. `y` is an int array, 1 for tops.
Jets of the published training and validation sets are the training rows, and the one fold trains on the
former and validates on the latter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.toptag.data import NAME, make_toy_data, prepare_data, read_part
from hepchallenge.challenges.toptag.jets import Jets
from hepchallenge.challenges.toptag.pictures import draw_results
from hepchallenge.challenges.toptag.predictions import Predictions, predictions_from_columns
from hepchallenge.challenges.toptag.workflow import JetClassifier
from hepchallenge.data import open_prepared
from hepchallenge.scoring.toptag import AUC, Accuracy, Rejection

__all__ = [
    "Predictions",
    "draw_results",
    "get_cv",
    "get_test_data",
    "get_test_ids",
    "get_train_data",
    "make_toy_data",
    "predictions_from_columns",
    "prepare_data",
    "problem_title",
    "score_types",
    "workflow",
]

problem_title = "Top tagging reference data set (2018)"
workflow = JetClassifier()
score_types = [
    Rejection(0.3),
    Rejection(0.5),
    Rejection(0.3, convention="nearest"),
    AUC(),
    Accuracy(),
]

_QUICK_JETS = 5000

Arrays = tuple[Jets, NDArray[np.int64]]


def _prepared(path: str | os.PathLike[str]) -> Path:
    return open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)


def get_train_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return jets and labels of the training and validation sets; in quick mode some 5 000 of them."""
    jets, label = read_part(_prepared(path), "train")
    # ramp-test --quick-test sets this.
    if os.environ.get("RAMP_TEST_MODE") == "1" and len(jets) > _QUICK_JETS:
        # Published jets may be sorted in part, so that those of the beginning would not do.
        rows = np.arange(_QUICK_JETS) * len(jets) // _QUICK_JETS
        return jets[rows], label[rows]
    return jets, label


def get_test_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return jets and labels of the test set, in the published order."""
    return read_part(_prepared(path), "test")


def get_test_ids(path: str | os.PathLike[str] = ".") -> NDArray[np.int64]:
    """Return the number of every test jet in the published file, from 0."""
    return np.arange(len(get_test_data(path)[1]))


def get_cv(X: Jets, y: Any) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the one fold: train on the published training set, validate on the validation set."""
    yield np.flatnonzero(~X.validation), np.flatnonzero(X.validation)
