"""A small challenge with events, and folds of submissions to it, for tests of how events are handed over."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepchallenge.records import Limits
from hepchallenge.run.accounting import choose_accounting
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import EventJob, FoldJob, FoldResult
from hepchallenge.run.runner import Runner

PROBLEM = '''
import importlib.util
from pathlib import Path

import numpy as np

from hepchallenge.scoring.events import EventPredictions, EventScore

problem_title = "A small kit with events"


Predictions = EventPredictions


class workflow:
    element_names = ["tracker"]

    def train_submission(self, module_path, X, y, train_is=None):
        spec = importlib.util.spec_from_file_location("tracker", Path(module_path, "tracker.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tracker = module.Tracker()
        tracker.fit(X, y, train_is)
        return tracker

    def predict_event(self, model, event, shared):
        return model.predict(event, shared)

    def test_submission(self, model, X):
        return [self.predict_event(model, X[i], X.shared) for i in range(len(X))]


workflow = workflow()


class Agreement(EventScore):
    def score_event(self, truth, prediction):
        return float(np.mean(truth == prediction))


class Pace(Agreement):
    """Seconds per event, whatever the agreement."""

    needs_seconds = True
    is_lower_the_better = True
    maximum = float("inf")

    def combine(self, event_scores, seconds):
        return float(np.mean(seconds))


score_types = [Agreement("agreement"), Pace("pace")]


class Side:
    """Events, or their truths, read from one file an event."""

    def __init__(self, folder, part, name):
        self.files = sorted(Path(folder, "data", part).glob("*.npz"))
        self.name = name
        self.shared = {"factor": 3}

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with np.load(self.files[index]) as file:
            return file[self.name]


def get_train_data(path="."):
    return Side(path, "train", "x"), Side(path, "train", "y")


def get_test_data(path="."):
    return Side(path, "test", "x"), Side(path, "test", "y")


def get_test_ids(path="."):
    return 100 + np.arange(len(Side(path, "test", "x")))


def get_test_parts(path="."):
    return ["public" if i % 3 == 0 else "private" for i in range(len(Side(path, "test", "x")))]


def get_hit_ids(X, index):
    return np.arange(1, len(X[index]) + 1)


def get_cv(X, y):
    events = np.arange(len(y))
    return [(events[:-2], events[-2:])]
'''

TOML = """
official_metric = "agreement"

[limits]
cores = 1

[prediction_file]
id = "hit_id"
event = "event_id"
columns = { event_id = "int64", hit_id = "int64", label = "int64" }
"""

HONEST = """
class Tracker:
    def fit(self, X, y, train_is):
        self.factor = round(float((y[train_is[0]] / X[train_is[0]]).mean()))

    def predict(self, event, shared):
        return self.factor * event
"""
"""Finds out from the training events that the truth is the input times a factor."""

N_TRAIN, N_TEST = 5, 4


def event(part: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and truth of one event."""
    rng = np.random.default_rng([number, len(part)])
    x = rng.integers(1, 1000, size=20 + number)
    return x, 3 * x


def write_event_kit(folder: Path) -> Path:
    """Write the kit with its data and one honest submission."""
    folder.mkdir(parents=True)
    (folder / "problem.py").write_text(PROBLEM)
    (folder / "challenge.toml").write_text(TOML)
    for part, count in (("train", N_TRAIN), ("test", N_TEST)):
        (folder / "data" / part).mkdir(parents=True)
        for number in range(count):
            x, y = event(part, number)
            np.savez(folder / "data" / part / f"{number:03d}.npz", x=x, y=y)
    write_tracker(folder / "submissions" / "honest", HONEST)
    return folder


def write_tracker(folder: Path, code: str) -> Path:
    """Write a submission of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tracker.py").write_text(textwrap.dedent(code))
    return folder


def tracker(fit: str = "pass", predict: str = "pass", top: str = "") -> str:
    """Return a submission whose methods begin with these lines and whose predictions are right."""
    lines = [
        "import os, signal, sys, threading, time",
        "import numpy as np",
        textwrap.dedent(top),
        "class Tracker:",
        "    def fit(self, X, y, train_is):",
        textwrap.indent(textwrap.dedent(fit).strip(), " " * 8),
        "    def predict(self, event, shared):",
        textwrap.indent(textwrap.dedent(predict).strip(), " " * 8),
        "        return shared['factor'] * event",
    ]
    return "\n".join(lines)


# Generous where a test is not about them: the machine may be busy.
LIMITS = Limits(
    fit_wall=100, fit_cpu=100, predict_wall=100, predict_cpu=100, memory_bytes=1 << 30, processes=64, cores=1
)


class Events:
    """Inputs of events made when asked for; can be slow."""

    def __init__(self, part: str, count: int, side: int, pause: float = 0.0) -> None:
        self.part = part
        self.count = count
        self.side = side
        self.pause = pause
        self.shared = {"factor": 3}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        time.sleep(self.pause)
        return event(self.part, range(self.count)[number])[self.side]


@dataclass
class Kept:
    """What came back of one fold."""

    result: FoldResult
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    progress: list[tuple[int, int]] = field(default_factory=list)


class EventBench:
    """Runs code as one fold on events and gives the result."""

    def __init__(self, runner: Runner, kit: Path, folder: Path) -> None:
        self.runner = runner
        self.kit = kit
        self.folder = folder
        self.count = 0

    def run(self, code: str, limits: Limits | None = None, pause: float = 0.0, **changes: Any) -> Kept:
        """Run a submission with this code; test events come after a pause of so many seconds."""
        self.count += 1
        kept = Kept(FoldResult(verdict=None))  # type: ignore[arg-type]
        events = EventJob(
            train=Events("train", N_TRAIN, 0),
            truths=Events("train", N_TRAIN, 1),
            test=Events("test", N_TEST, 0, pause),
            n_rows=lambda part, number: len(event("test" if part == "test" else "train", number)[0]),
            keep=kept.arrays.__setitem__,
            heard=lambda done, total: kept.progress.append((done, total)),
        )
        job = FoldJob(
            fold=0,
            submission=write_tracker(self.folder / f"submission {self.count}", code),
            train_is=np.arange(3),
            valid_is=np.arange(3, 5),
            seed=0,
            hidden=(self.kit / "data",),
            events=events,
        )
        before = self.runner.limits
        try:
            self.runner.limits = limits or before
            kept.result = self.runner.run_fold(replace(job, **changes))
        finally:
            self.runner.limits = before
        return kept


@contextmanager
def open_event_bench(folder: Path, isolation: Isolation) -> Iterator[EventBench]:
    """Write the kit into a folder and open a runner on it."""
    kit = write_event_kit(folder / "kit")
    with Runner(
        challenge_folder=kit,
        isolation=isolation,
        accounting=choose_accounting(),
        limits=LIMITS,
        jobs=1,
        seed=0,
    ) as runner:
        yield EventBench(runner, kit, folder)
