"""Quick runs are ramp-test's quick test; predictions of quick and of whole runs can be scored again."""

from __future__ import annotations

from pathlib import Path

from ramp_kits import REGRESSION, Kit
from ramp_side import ramp_result

import hepchallenge
from hepchallenge.records import Verdict

# Rows, import and model all follow the variable; labels are objects of the kit's own class.
PROBLEM = (
    REGRESSION
    + """
SHIFT = 3.0 if os.environ.get("RAMP_TEST_MODE") else 0.0


class Label:
    def __init__(self, value):
        self.value = value

    def __float__(self):
        return self.value


class Workflow:
    element_names = ["regressor"]

    def train_submission(self, module_path, X, y, train_is=None):
        return rw.workflows.Regressor().train_submission(module_path, X, y, train_is)

    def test_submission(self, trained_model, X):
        return trained_model.predict(X) + SHIFT


class Own(Predictions):
    def __init__(self, y_true=None, fold_is=None, **others):
        if y_true is not None:
            y_true = np.array([float(label) for label in y_true])
        super().__init__(y_true=y_true, fold_is=fold_is, **others)


Predictions = Own
workflow = Workflow()


def read_one(df):
    df = df[:85] if os.environ.get("RAMP_TEST_MODE") else df
    y = np.empty(len(df), dtype=object)
    y[:] = [Label(value) for value in df["target"]]
    return df[["a", "b"]].to_numpy(), y


get_train_data, get_test_data = both(read_one)
"""
)

REGRESSOR = """
import os

import numpy as np


class Regressor:
    def fit(self, X, y):
        self.mean = sum(float(label) for label in y) / len(y)
        self.slope = 0.5 if os.environ.get("RAMP_TEST_MODE") else 1.0

    def predict(self, X):
        return self.mean + self.slope * X[:, 0]
"""


def test_quick_and_whole_runs_equal_ramp_test_and_rescore_to_themselves(tmp_path: Path) -> None:
    folder = Kit("quick", PROBLEM, {"regressor.py": REGRESSOR}).write(tmp_path)
    workspace = tmp_path / "workspace"
    scored = {}
    for quick in (True, False):
        document = hepchallenge.score(folder, workspace=workspace, jobs=2, quick=quick)
        [entry] = document.submissions
        assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
        theirs = ramp_result(folder, quick=quick)
        # ramp-test goes through all folds; a quick run of ours is its first.
        assert list(entry.scoring.fold_scores) == theirs.folds[: 1 if quick else 2]
        scored[quick] = entry.scoring.scores
    assert scored[True] != scored[False]
    again = hepchallenge.rescore(folder, workspace=workspace)
    assert {entry.run_key.quick: entry.scoring.scores for entry in again.submissions} == scored
