"""A small challenge, and folds of submissions to it, for tests of the run room."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hepchallenge.bundle import write_bundle
from hepchallenge.records import Limits, Verdict
from hepchallenge.run.accounting import Accounting, choose_accounting
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.runner import FoldJob, Runner

N_TRAIN = 40
N_TEST = 23

PROBLEM = """
from pathlib import Path

import numpy as np

problem_title = "A small kit"


class Predictions:
    def __init__(self, y_pred=None, y_true=None, n_samples=None, fold_is=None):
        values = y_true if y_pred is None else y_pred
        self.y_pred = np.full(n_samples, np.nan) if values is None else np.array(values, dtype=float)
        if self.y_pred.ndim != 1:
            raise ValueError("expected one number a row")
        if fold_is is not None:
            self.y_pred = self.y_pred[fold_is]

    def set_valid_in_train(self, predictions, test_is):
        self.y_pred[test_is] = predictions.y_pred

    def set_slice(self, valid_indexes):
        self.y_pred = self.y_pred[valid_indexes]

    @property
    def valid_indexes(self):
        return ~np.isnan(self.y_pred)

    @classmethod
    def combine(cls, predictions_list, index_list=None):
        index_list = range(len(predictions_list)) if index_list is None else index_list
        values = np.array([predictions_list[i].y_pred for i in index_list])
        known = ~np.isnan(values)
        total = np.where(known, values, 0).sum(axis=0)
        return cls(y_pred=np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan))


class workflow:
    element_names = ["classifier"]

    @staticmethod
    def _module(path):
        import importlib.util

        spec = importlib.util.spec_from_file_location("classifier", Path(path, "classifier.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def train_submission(self, module_path, X, y, train_is=None):
        model = self._module(module_path).Classifier()
        model.fit(X[train_is], np.asarray(y)[train_is])
        return model

    def test_submission(self, model, X):
        return model.predict(X)


workflow = workflow()


class Distance:
    name = "distance"
    precision = 3
    is_lower_the_better = True

    def score_function(self, ground_truths, predictions):
        return float(np.abs(ground_truths.y_pred - predictions.y_pred).mean())


score_types = [Distance()]


def get_cv(X, y):
    rows = np.arange(len(y))
    return [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]


def _load(path, name):
    table = np.loadtxt(Path(path, "data", name), delimiter=",")
    return table[:, :2], table[:, 2]


def get_train_data(path="."):
    return _load(path, "train.csv")


def get_test_data(path="."):
    return _load(path, "test.csv")
"""

GOOD = """
import numpy as np


class Classifier:
    def fit(self, X, y):
        self.mean = y.mean()

    def predict(self, X):
        return np.full(len(X), self.mean)
"""

MARKS = {"train.csv": 837465912 + 1 / 2, "test.csv": 918273645 + 1 / 8}
"""Labels are these and small fractions more: found anywhere, they cannot be anything else. Sums,
so that not even this file holds them as text."""


def write_kit(folder: Path, problem: str = PROBLEM) -> Path:
    """Write the kit with its data and one good submission."""
    rng = np.random.default_rng(0)
    (folder / "data").mkdir(parents=True)
    (folder / "problem.py").write_text(problem)
    for name, rows in (("train.csv", N_TRAIN), ("test.csv", N_TEST)):
        labels = MARKS[name] + np.arange(1, rows + 1) / 1024
        table = np.column_stack([rng.normal(size=(rows, 2)), labels])
        np.savetxt(folder / "data" / name, table, delimiter=",", fmt="%.17g")
    write_submission(folder / "submissions" / "good", GOOD)
    return folder


def write_submission(folder: Path, code: str) -> Path:
    """Write a submission of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classifier.py").write_text(textwrap.dedent(code))
    return folder


def classifier(fit: str = "pass", predict: str = "pass", top: str = "") -> str:
    """Return a submission whose methods begin with these lines and whose predictions are zeros."""
    lines = [
        "import os, signal, sys, time",
        "from pathlib import Path",
        "import numpy as np",
        textwrap.dedent(top),
        "class Classifier:",
        "    def fit(self, X, y):",
        textwrap.indent(textwrap.dedent(fit).strip(), " " * 8),
        "    def predict(self, X):",
        textwrap.indent(textwrap.dedent(predict).strip(), " " * 8),
        "        return np.zeros(len(X))",
    ]
    return "\n".join(lines)


# Generous where a test is not about them: the machine may be busy.
LIMITS = Limits(
    fit_wall=100,
    fit_cpu=100,
    predict_wall=100,
    predict_cpu=100,
    memory_bytes=1 << 30,
    output_bytes=1 << 22,
    scratch_bytes=1 << 22,
    processes=64,
)


class Bench:
    """Runs code as one fold and gives the result."""

    def __init__(self, runner: Runner, kit: Path, folder: Path) -> None:
        self.runner = runner
        self.kit = kit
        self.folder = folder
        self.count = 0

    def job(self, code: str, **changes: Any) -> FoldJob:
        """Return the job of a submission with this code."""
        self.count += 1
        rows = np.arange(N_TRAIN)
        job = FoldJob(
            fold=0,
            submission=write_submission(self.folder / f"submission {self.count}", code),
            train_inputs=write_bundle(np.zeros((N_TRAIN, 2)), self.folder / "inputs"),
            test_inputs=write_bundle(np.ones((N_TEST, 2)), self.folder / "inputs"),
            labels=np.arange(N_TRAIN, dtype=float),
            train_is=rows[rows % 3 != 0],
            valid_is=rows[rows % 3 == 0],
            n_train=N_TRAIN,
            n_test=N_TEST,
            seed=0,
            hidden=(self.kit,),
        )
        return replace(job, **changes)

    def run(self, code: str, limits: Limits | None = None, **changes: Any) -> Any:
        """Run a submission with this code; `limits` take the place of the runner's."""
        before = self.runner.limits
        try:
            self.runner.limits = limits or before
            return self.runner.run_fold(self.job(code, **changes))
        finally:
            self.runner.limits = before


@contextmanager
def open_bench(
    folder: Path, isolation: Isolation, accounting: Accounting | None = None, jobs: int = 1, **options: Any
) -> Iterator[Bench]:
    """Write the kit into a folder and open a runner on it."""
    kit = write_kit(folder / "kit ä")
    with Runner(
        challenge_folder=kit,
        isolation=isolation,
        accounting=accounting or choose_accounting(),
        limits=LIMITS,
        jobs=jobs,
        seed=0,
        **options,
    ) as runner:
        yield Bench(runner, kit, folder)


TRY = """
import ctypes, json, socket, subprocess

def outcome(action):
    try:
        return ["done", action()]
    except BaseException as error:
        return ["refused", f"{type(error).__name__}: {error}"]

def say(action):
    print("SAYS " + json.dumps(outcome(action), default=str), flush=True)

def readable(path):
    try:
        return bool(os.listdir(path) if os.path.isdir(path) else [open(path).read(1)])
    except OSError:
        return False

libc = ctypes.CDLL(None, use_errno=True)

def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
"""


def said(bench: Bench, action: str, **changes: Any) -> Any:
    """Run one action inside; return "done" or "refused", and what came of it."""
    result = bench.run(classifier(fit=f"say(lambda: {action})", top=TRY), **changes)
    assert result.verdict is Verdict.SCORED, result.message
    line = next(line for line in result.log.decode().splitlines() if line.startswith("SAYS "))
    return json.loads(line.removeprefix("SAYS "))


def refused(bench: Bench, action: str) -> bool:
    """Whether an action inside raises an error."""
    word, what = said(bench, action)
    assert word in ("done", "refused"), what
    return word == "refused"
