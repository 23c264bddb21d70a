"""A submission that looks for labels finds its own training labels only; with ramp-test it finds all."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ramp_kits import REGRESSION, Kit
from ramp_side import ramp_result

import hepchallenge
from hepchallenge.records import BoardEntry, Verdict

# A label is a float64 whose upper six bytes are this mark and whose lower two are its number, so that it
# can be told from anything else in memory. Training rows come first, then test rows.
MARK = bytes([0x5B, 0x7E, 0x39, 0xC6, 0x93, 0x40])
FIRST = 0x5A00
N_TRAIN, N_TEST = 90, 60


def label(number: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<H", FIRST + number) + MARK)[0]
    return value


def write_marked(data: Path) -> None:
    """Write features that know nothing of the labels, and marked labels, all in one table a part."""
    data.mkdir(parents=True)
    for name, start, n_rows in (("train", 0, N_TRAIN), ("test", N_TRAIN, N_TEST)):
        frame = pd.DataFrame({"a": np.random.default_rng(1).normal(size=n_rows)})
        frame["target"] = [label(start + row) for row in range(n_rows)]
        frame.to_csv(data / f"{name}.csv", index=False)


# The workflow hands over whatever it has got, as careless ones do.
PROBLEM = (
    REGRESSION
    + """
get_train_data, get_test_data = both(lambda df: (df[["a"]].to_numpy(), df["target"].to_numpy()))


class Workflow:
    element_names = ["spy"]

    def train_submission(self, module_path, X, y, train_is=None):
        from rampwf.utils.importing import import_module_from_source

        spy = import_module_from_source(os.path.join(module_path, "spy.py"), "spy")
        return spy.Spy(X, y, train_is)

    def test_submission(self, trained_model, X):
        return trained_model.predict(X)


workflow = Workflow()
"""
)

READS_Y = """
class Spy:
    def __init__(self, X, y, train_is):
        self.y = y

    def predict(self, X):
        return self.y[: len(X)]
"""

# Reads all of its own memory, which is a fork of the warm interpreter's, and what it can reach by reference.
READS_MEMORY = """
import gc
import inspect

import numpy as np

MARK = bytes(255 - b for b in [0xA4, 0x81, 0xC6, 0x39, 0x6C, 0xBF])


def numbers_in(data):
    found = set()
    at = data.find(MARK)
    while at >= 0:
        if at >= 2:
            found.add(data[at - 2] + 256 * data[at - 1] - 0x5A00)
        at = data.find(MARK, at + 1)
    return found


class Spy:
    def __init__(self, X, y, train_is):
        found = set()
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps.read().splitlines():
                span, access = line.split()[:2]
                start, end = (int(edge, 16) for edge in span.split("-"))
                if "r" not in access or end - start > 1 << 31:
                    continue
                try:
                    memory.seek(start)
                    found |= numbers_in(memory.read(end - start))
                except (OSError, ValueError, OverflowError):
                    pass
        for frame in inspect.stack():
            for value in [*frame.frame.f_locals.values(), *gc.get_objects()]:
                if type(value) is np.ndarray and value.dtype == float and value.ndim == 1:
                    found |= numbers_in(value.tobytes())
        self.found = {number for number in found if 0 <= number < 150}

    def predict(self, X):
        numbers = range(90) if len(X) == 90 else range(90, 150)
        return np.array([float(number in self.found) for number in numbers])
"""

# Looks for the tables themselves, in the kit and everywhere else.
READS_FILES = """
import os

import numpy as np


class Spy:
    def __init__(self, X, y, train_is):
        self.found = 0
        for place in ("/", os.path.expanduser("~"), os.path.dirname(__file__), "KIT"):
            for folder, folders, names in os.walk(place):
                folders[:] = [name for name in folders if name not in ("proc", "sys", "site-packages")]
                self.found += sum(name in ("train.csv", "test.csv") for name in names)

    def predict(self, X):
        return np.full(len(X), float(self.found))
"""


def predictions(entry: BoardEntry, workspace: Path, part: str) -> list[np.ndarray]:
    """Return what was predicted in each fold, from the workspace."""
    paths = [Path(fold.predictions[part].path) for fold in entry.folds]
    return [np.load(path if path.is_absolute() else workspace / path) for path in paths]


def run(tmp_path: Path, spy: str) -> tuple[Path, BoardEntry]:
    kit = Kit("spied", PROBLEM, {"spy.py": spy}, write_data=write_marked)
    folder = kit.write(tmp_path)
    if "KIT" in spy:
        file = folder / "submissions" / "starting_kit" / "spy.py"
        file.write_text(spy.replace("KIT", str(folder)))
    document = hepchallenge.score(folder, workspace=tmp_path / "workspace", jobs=2)
    [entry] = document.submissions
    assert entry.scoring.verdict is Verdict.SCORED, entry.scoring.message
    if document.isolation == "none":
        pytest.skip("this host offers no isolation")
    return folder, entry


def folds() -> list[tuple[np.ndarray, np.ndarray]]:
    orders = [np.random.RandomState(seed).permutation(N_TRAIN) for seed in (3, 4)]
    return [(rows[:50], rows[50:80]) for rows in orders]


def test_the_labels_handed_over_are_those_of_training_rows(tmp_path: Path) -> None:
    folder, entry = run(tmp_path, READS_Y)
    truth = np.array([label(row) for row in range(N_TRAIN)])
    for seen, (train_is, _) in zip(predictions(entry, tmp_path / "workspace", "train"), folds(), strict=True):
        known = np.isin(np.arange(N_TRAIN), train_is)
        assert (seen[known] == truth[known]).all()
        assert (seen[~known] == truth[train_is[0]]).all()
    for ours, theirs in zip(entry.scoring.fold_scores, ramp_result(folder).folds, strict=True):
        assert ours["rmse"]["train"] == theirs["rmse"]["train"] == 0.0
        assert ours["rmse"]["valid"] > theirs["rmse"]["valid"] == 0.0


def test_no_other_label_is_anywhere_in_memory(tmp_path: Path) -> None:
    _, entry = run(tmp_path, READS_MEMORY)
    workspace = tmp_path / "workspace"
    for seen, (train_is, _) in zip(predictions(entry, workspace, "train"), folds(), strict=True):
        # That the training labels are found shows that the search works.
        assert np.flatnonzero(seen).tolist() == sorted(train_is.tolist())
    for seen in predictions(entry, workspace, "test"):
        assert not seen.any()


def test_no_data_file_is_in_sight(tmp_path: Path) -> None:
    folder, entry = run(tmp_path, READS_FILES)
    assert list(folder.glob("data/*.csv")), "the spy would have found these"
    for seen in predictions(entry, tmp_path / "workspace", "test"):
        assert not seen.any()
