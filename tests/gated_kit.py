"""A small challenge with a gate: fit sees a column that predictions must not follow."""

from __future__ import annotations

from pathlib import Path

PROBLEM = '''
import numpy as np
import pandas as pd
import rampwf as rw

problem_title = "A small kit with a gate"
Predictions = rw.prediction_types.make_regression()


class Workflow(rw.workflows.Regressor):
    """Like ramp-workflow's, on DataFrames."""

    def train_submission(self, module_path, X, y, train_is=None):
        rows = np.arange(len(y)) if train_is is None else train_is
        return super().train_submission(module_path, X.iloc[rows], y[rows], None)


workflow = Workflow()


class Distance(rw.score_types.BaseScoreType):
    is_lower_the_better = True
    minimum = 0.0
    maximum = float("inf")

    def __init__(self, name="distance", precision=3):
        self.name = name
        self.precision = precision

    def __call__(self, y_true, y_pred):
        return float(np.abs(y_true - y_pred).mean())


score_types = [Distance()]
SIZES = {"train": 60, "test": 31, "mass": 43}
FIRST_ID = {"train": 0, "test": 1000, "mass": 2000}


def sample(name):
    """Rows whose feature a tells from which sample and row they are; y is twice a."""
    n = SIZES[name]
    a = FIRST_ID[name] + np.arange(n, dtype=float)
    frame = pd.DataFrame({"a": a, "b": np.random.default_rng(n).normal(size=n)})
    if name == "train":
        frame["secret"] = frame["a"] * 3
    return frame, 2 * a


class Sculpting:
    name = "mass"

    def get_data(self, path):
        return sample("mass")

    def get_ids(self, path):
        return FIRST_ID["mass"] + np.arange(SIZES["mass"])

    def check(self, prediction, truth):
        from hepchallenge.scoring.gates import GateResult

        statistic = float(np.abs(prediction.ravel() - truth).max())
        return GateResult.below(self.name, statistic, 0.5)


gates = [Sculpting()]


def get_cv(X, y):
    rows = np.arange(len(y))
    return [(rows[rows % 2 != k], rows[rows % 2 == k]) for k in range(2)]


def get_train_data(path="."):
    return sample("train")


def get_test_data(path="."):
    return sample("test")


def get_test_ids(path="."):
    return FIRST_ID["test"] + np.arange(SIZES["test"])


def predictions_from_columns(columns):
    return columns["y"]
'''

TOML = """
[features]
withheld = ["secret"]

[prediction_file]
id = "id"
columns = { id = "int64", y = "float64" }
"""

SEEN = """
import numpy as np

class Regressor:
    def fit(self, X, y):
        self.columns = list(X.columns)

    def predict(self, X):
        print("SEES", *X.columns, "|", *X.index[:3], "|", *X["a"].astype(int), flush=True)
        return 2 * X["a"].to_numpy() + {offset}
"""


def write_gated_kit(folder: Path, problem: str = PROBLEM) -> Path:
    """Write the kit."""
    folder.mkdir(parents=True)
    (folder / "problem.py").write_text(problem)
    (folder / "challenge.toml").write_text(TOML)
    return folder


def write_regressor(folder: Path, offset: str = "0") -> Path:
    """Write a submission that is right but for an offset, an expression of X."""
    folder.mkdir(parents=True)
    (folder / "regressor.py").write_text(SEEN.format(offset=offset))
    return folder
