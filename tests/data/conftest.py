"""A challenge with published files and toy data, and a cache of its own for every test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hepchallenge.contract import Challenge, load_challenge

PROBLEM = """
import numpy as np
import pyarrow as pa

from hepchallenge.data import TableSchema, find_published, open_prepared, read_csv, read_table, write_prepared
from hepchallenge.exceptions import DataError

NAME = "small"
SCHEMA = TableSchema(columns={"id": pa.int64(), "x": pa.float64()}, unique=["id"])
problem_title = "small"


class Predictions:
    @classmethod
    def combine(cls, predictions_list, index_list=None):
        return predictions_list[0]


class workflow:
    train_submission = print
    test_submission = print


class Score:
    name, precision, is_lower_the_better = "acc", 2, False

    def score_function(self, ground_truths, predictions):
        return 0.0


score_types = [Score()]


def get_cv(X, y):
    return []


def prepare_data(source, target):
    tables = {}
    for name in ("train", "test"):
        file = find_published(source, f"{name}.csv")
        if file is None:
            raise DataError(source, "files", "train.csv and test.csv", f"no {name}.csv")
        tables[name] = read_csv(file, SCHEMA)
    write_prepared(target, tables, {"split": "as published"})


def make_toy_data(target, seed, n_events):
    rng = np.random.default_rng(seed)
    n_events = n_events or 10
    table = pa.table({"id": np.arange(n_events), "x": rng.normal(size=n_events)})
    write_prepared(target, {"train": table, "test": table}, {"seed": seed})


def _table(path, name):
    prepared = open_prepared(path, challenge=NAME, prepare=prepare_data, make_toy=make_toy_data)
    return read_table(prepared, name)["x"].to_numpy(), None


def get_train_data(path="."):
    return _table(path, "train")


def get_test_data(path="."):
    return _table(path, "test")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(folder))
    return folder


@pytest.fixture
def make_challenge(tmp_path: Path) -> Callable[..., Challenge]:
    """Write the challenge, with additions to its code and a `challenge.toml`, and load it."""

    def make(extra: str = "", toml: str = "") -> Challenge:
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        (folder / "problem.py").write_text(PROBLEM + extra)
        (folder / "challenge.toml").write_text(toml)
        return load_challenge(folder)

    return make


@pytest.fixture
def challenge(make_challenge: Callable[..., Challenge]) -> Challenge:
    return make_challenge()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "train.csv").write_text("id,x\n1,0.5\n2,1.5\n")
    (folder / "test.csv").write_text("id,x\n3,2.5\n")
    (folder / "notes.txt").write_text("not data")
    return folder
