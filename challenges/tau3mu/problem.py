"""Flavours of Physics 2015: tell the forbidden decay tau -> mu mu mu from background, without cheating.

The file ramp-test and hepchallenge both read. `X` is a DataFrame of the 46 columns of the published test
sample (float64); `y` is a float array with the columns signal, min_ANNmuon, mass (MeV) and production, of
which the first two make the score. Only events with min_ANNmuon above 0.4 count in it.

`gates` are the two checks of the challenge, on samples of their own: predictions must agree between
simulation and data on a control channel, and on background they must not depend on the mass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.tau3mu.data import TRUTH, make_toy_data, prepare_data
from hepchallenge.challenges.tau3mu.gates import GATES, features_of, prepared_folder, truth_of
from hepchallenge.challenges.tau3mu.pictures import draw_results
from hepchallenge.challenges.tau3mu.predictions import Predictions, predictions_from_columns
from hepchallenge.challenges.tau3mu.workflow import TauClassifier
from hepchallenge.data import read_table
from hepchallenge.scoring.tau3mu import BandedAUC, TruncatedAUC

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Predictions",
    "draw_results",
    "gates",
    "get_cv",
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

problem_title = "Flavours of Physics: tau -> mu mu mu (2015)"
workflow = TauClassifier()
score_types = [TruncatedAUC(name="auc", precision=4), BandedAUC(name="auc_banded", precision=4)]
gates = list(GATES)

_FOLDS = 2
_FOLD_SEED = 57
_QUICK_ROWS = 3000

Arrays = tuple["pd.DataFrame", NDArray[np.float64]]


def _quick() -> bool:
    # ramp-test --quick-test sets this.
    return os.environ.get("RAMP_TEST_MODE") == "1"


def get_train_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return features and truth of the training events; in quick mode of the first 3 000."""
    prepared = prepared_folder(path)
    X, y = features_of(prepared, "train"), truth_of(prepared, "train", TRUTH)
    return (X.head(_QUICK_ROWS), y[:_QUICK_ROWS]) if _quick() else (X, y)


def get_test_data(path: str | os.PathLike[str] = ".") -> Arrays:
    """Return features and truth of the held-out events."""
    prepared = prepared_folder(path)
    return features_of(prepared, "test"), truth_of(prepared, "test", TRUTH)


def get_test_parts(path: str | os.PathLike[str] = ".") -> NDArray[np.str_]:
    """Return `public` or `private` for every held-out event."""
    return np.array(read_table(prepared_folder(path), "test", ["Part"]).column("Part").to_pylist())


def get_test_ids(path: str | os.PathLike[str] = ".") -> NDArray[np.int64]:
    """Return the id of every held-out event."""
    ids: NDArray[np.int64] = read_table(prepared_folder(path), "test", ["id"]).column("id").to_numpy()
    return ids


def get_cv(X: Any, y: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield two stratified, shuffled, seeded folds, so that every event is validated once; one if quick.

    Two cost no more than one training on all events, and still show how much a score depends on them.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(n_splits=_FOLDS, shuffle=True, random_state=_FOLD_SEED).split(X, y[:, 0])
    for number, fold in enumerate(folds):
        if number == 0 or not _quick():
            yield fold
