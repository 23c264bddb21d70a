"""HiggsML 2014: select H -> tau tau events so that the expected significance of their excess is largest.

The file ramp-test and hepchallenge both read. `X` is a DataFrame of the 30 published features (float64, -999
where there is no value); `y` is a float array with the columns is_signal (0 or 1) and weight (expected
events). Ids, labels and weights are never among the features.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.higgsml.data import FEATURES, NAME, make_toy_data, prepare_data
from hepchallenge.challenges.higgsml.predictions import Predictions, predictions_from_columns
from hepchallenge.challenges.higgsml.workflow import WeightedClassifier
from hepchallenge.data import open_prepared, read_table
from hepchallenge.scoring.higgsml import AMS, ROCAUC, BestAMS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Predictions",
    "get_cv",
    "get_kaggle_test_data",
    "get_test_data",
    "get_test_ids",
    "get_test_parts",
    "get_train_data",
    "make_toy_data",
    "predictions_from_columns",
    "prepare_data",
    "problem_title",
    "score_types",
    "workflow",
]

problem_title = "Higgs Boson Machine Learning Challenge (HiggsML 2014)"
workflow = WeightedClassifier()
score_types = [
    AMS(name="ams", precision=3),
    BestAMS(name="ams_max", precision=3),
    ROCAUC(name="auc", precision=3),
]

_FOLDS = 3
_FOLD_SEED = 57
_QUICK_ROWS = 5000

Arrays = tuple["pd.DataFrame", NDArray[np.float64]]


def _prepared(path: str | os.PathLike[str]) -> Path:
    return open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)


def _quick() -> bool:
    # ramp-test --quick-test sets this.
    return os.environ.get("RAMP_TEST_MODE") == "1"


def _features(prepared: Path, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = read_table(prepared, name, FEATURES).to_pandas()
    return frame


def _truth(prepared: Path, name: str) -> NDArray[np.float64]:
    table = read_table(prepared, name, ["IsSignal", "Weight"])
    return np.column_stack([table.column(c).to_numpy() for c in table.column_names]).astype(np.float64)


def get_train_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return features and truth of the training part; in quick mode of its first 5 000 events."""
    prepared = _prepared(path)
    X, y = _features(prepared, "train"), _truth(prepared, "train")
    return (X.head(_QUICK_ROWS), y[:_QUICK_ROWS]) if _quick() else (X, y)


def get_test_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return features and truth of the public and private parts, in the published order of the events."""
    prepared = _prepared(path)
    return _features(prepared, "test"), _truth(prepared, "test")


def get_test_parts(path: str | os.PathLike[str] = ".") -> NDArray[np.str_]:
    """Return `public` (published set b) or `private` (set v) for every test row."""
    return np.array(read_table(_prepared(path), "test", ["Part"]).column("Part").to_pylist())


def get_test_ids(path: str | os.PathLike[str] = ".") -> NDArray[np.int64]:
    """Return the EventId of every test row."""
    ids: NDArray[np.int64] = read_table(_prepared(path), "test", ["EventId"]).column("EventId").to_numpy()
    return ids


def get_kaggle_test_data(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return features and EventId of Kaggle's unlabelled test.csv, from a folder that holds it.

    Raises
    ------
    DataError
        If the folder had no test.csv next to training.csv.
    """
    prepared = _prepared(path)
    ids = read_table(prepared, "kaggle_test", ["EventId"]).column("EventId").to_numpy()
    return _features(prepared, "kaggle_test"), ids


def get_cv(X: Any, y: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield three stratified, shuffled, seeded folds, so that every event is validated once; one if quick.

    Three, since a fit on the full data costs, and since an odd number of votes cannot tie.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(n_splits=_FOLDS, shuffle=True, random_state=_FOLD_SEED).split(X, y[:, 0])
    for number, fold in enumerate(folds):
        if number == 0 or not _quick():
            yield fold
