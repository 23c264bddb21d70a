"""A small challenge folder to break in one place at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hepchallenge.contract import Challenge, load_challenge

PROBLEM = """
problem_title = "A small problem"


class Predictions:
    @classmethod
    def combine(cls, predictions_list, index_list=None):
        return predictions_list[0]


class workflow:
    train_submission = print
    test_submission = print


class Score:
    def __init__(self, name="acc", precision=2, is_lower_the_better=False):
        self.name = name
        self.precision = precision
        self.is_lower_the_better = is_lower_the_better

    def score_function(self, ground_truths, predictions):
        return 0.0


score_types = [Score()]


def get_cv(X, y):
    return []


def get_train_data(path="."):
    return [], []


def get_test_data(path="."):
    return [], []
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a challenge: `PROBLEM` with text replaced or added, and a `challenge.toml`."""

    def write(old: str = "", new: str = "", *, toml: str | None = None, extra: str = "") -> Path:
        assert old in PROBLEM
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        (folder / "problem.py").write_text((PROBLEM.replace(old, new, 1) if old else PROBLEM) + extra)
        if toml is not None:
            (folder / "challenge.toml").write_text(toml)
        return folder

    return write


@pytest.fixture
def challenge(write: Callable[..., Path]) -> Challenge:
    return load_challenge(write())
