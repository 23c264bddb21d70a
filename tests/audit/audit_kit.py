"""A small challenge without a flaw, into which tests plant one."""

from __future__ import annotations

import textwrap
from pathlib import Path

from hepchallenge.audit import audit
from hepchallenge.contract import load_challenge
from hepchallenge.findings import Finding

N_ROWS = 2000

PROBLEM = '''
import numpy as np
import pandas as pd
import rampwf as rw
from rampwf.score_types import BaseScoreType

problem_title = "A kit to look into"
Predictions = rw.prediction_types.make_multiclass(label_names=[0, 1])


class Workflow(rw.workflows.Classifier):
    """Like ramp-workflow's, on DataFrames."""

    def train_submission(self, module_path, X, y, train_is=None):
        return super().train_submission(module_path, X.iloc[train_is], y[train_is], None)


workflow = Workflow()
N = {n_rows}


def make(name, planted=True):
    """Rows whose label is told by no feature alone, with ids and parts."""
    rng = np.random.default_rng([{seed}, name == "test"])
    y = (rng.random(N) < 0.4).astype(int)
    X = pd.DataFrame({{c: rng.normal(size=N) + 0.3 * y for c in "abc"}})
    ids = rng.permutation(N) + 1000
    parts = np.where(rng.random(N) < 0.3, "public", "private")
    if planted:
        X, y, ids, parts = plant(name, X, y, ids, parts, rng)
    return X, y, ids, parts


def plant(name, X, y, ids, parts, rng):
{plant}
    return X, y, ids, parts


def get_train_data(path="."):
    return make("train")[:2]


def get_test_data(path="."):
    return make("test")[:2]


def get_test_ids(path="."):
    return make("test")[2]


def get_test_parts(path="."):
    return make("test")[3]


def get_cv(X, y):
    rows = np.arange(len(y))
    return [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]


class Metric(BaseScoreType):
    is_lower_the_better = False
    minimum = 0.0
    maximum = 1.0
    name = "share"
    precision = 3

    def __call__(self, y_true, y_pred):
        return float((y_true.argmax(axis=1) == y_pred.argmax(axis=1)).mean())

score_types = [rw.score_types.ROCAUC(name="auc")]
{extra}
'''

TOML = """
[features]
withheld = ["secret"]
"""


def write_audit_kit(folder: Path, plant: str = "pass", extra: str = "", seed: int = 0) -> Path:
    """Write the kit; `plant` are statements on one sample, `extra` follows at the end of problem.py."""
    folder.mkdir(parents=True)
    code = textwrap.indent(textwrap.dedent(plant).strip(), " " * 4)
    problem = PROBLEM.format(n_rows=N_ROWS, seed=seed, plant=code, extra=textwrap.dedent(extra))
    (folder / "problem.py").write_text(problem)
    (folder / "challenge.toml").write_text(TOML)
    return folder


def findings_of(kit: Path) -> dict[str, Finding]:
    """Return what an audit of a kit finds, by the names of the checks."""
    return {finding.check: finding for finding in audit(load_challenge(kit)).findings}
