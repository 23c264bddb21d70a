"""After rescoring, whoever has another rank, score or verdict is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from small_kit import MARKS, write_kit, write_submission

import hepchallenge
from hepchallenge.cli import cli
from hepchallenge.exceptions import UsageError
from hepchallenge.run.runner import Runner

CONSTANT = """
import numpy as np


class Classifier:
    def fit(self, X, y):
        print("fit")

    def predict(self, X):
        return np.full(len(X), {value})
"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two submissions are recorded: one is right for the training labels, one nearer to those of the test."""
    folder = tmp_path_factory.mktemp("scored")
    kit = write_kit(folder / "kit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        hepchallenge.score(kit, _sources(folder), workspace=folder / "w")
    return folder


@pytest.fixture
def kit(scored: Path, tmp_path: Path) -> Path:
    """Give a copy of what is recorded, and of its kit."""
    for name in ("kit", "w"):
        shutil.copytree(scored / name, tmp_path / name)
    return tmp_path / "kit"


def _sources(folder: Path) -> list[Path]:
    codes = {
        "low": CONSTANT.format(value=MARKS["train.csv"]),
        "high": CONSTANT.format(value=MARKS["test.csv"] + 5.0),
        "broken": "raise ValueError",
    }
    return [write_submission(folder / name, code) for name, code in codes.items()]


def _rescore(kit: Path, *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the changes and the document."""
    words = ["rescore", str(kit), "--workspace", str(kit.parent / "w"), "--json", *options]
    result = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    # One submission is broken, before and after.
    assert result.return_value == 1
    document = json.loads(result.stdout)
    return document["changes"], document


def _printed(kit: Path) -> str:
    words = ["rescore", str(kit), "--workspace", str(kit.parent / "w")]
    return CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False).stdout


def _edit(kit: Path, old: str, new: str) -> None:
    text = (kit / "problem.py").read_text()
    assert old in text
    (kit / "problem.py").write_text(text.replace(old, new))


def test_nothing_changes_unless_something_did(kit: Path) -> None:
    changes, _ = _rescore(kit)
    assert changes == []
    assert "Nothing changed" in _printed(kit)


def test_a_changed_direction_flips_the_ranks_and_no_score(kit: Path) -> None:
    _edit(kit, "is_lower_the_better = True", "is_lower_the_better = False")
    changes, document = _rescore(kit)
    # Both boards are read by the rules of today: ranks by scores that did not change did not either.
    assert changes == []
    assert [entry["verdict"] for entry in document["submissions"]] == ["scored", "scored", "runtime_error"]


def test_a_changed_metric_flips_the_ranks(kit: Path) -> None:
    _edit(kit, "return float(np.abs", "return abs(float(predictions.y_pred[0]) - 8e8) + 0 * float(np.abs")
    changes, document = _rescore(kit)
    assert [(c["name"], c["rank_before"], c["rank_after"]) for c in changes] == [
        ("low", 2, 1),
        ("high", 1, 2),
    ]
    scores = {entry["name"]: entry["scores"] for entry in document["submissions"]}
    for change in changes:
        assert change["score_after"] == scores[change["name"]]["distance"]["test"] != change["score_before"]
        assert change["digest"] in {entry["digest"] for entry in document["submissions"]}


def test_corrected_labels_are_scored_by_the_predictions_that_are_there(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.loadtxt(kit / "data" / "test.csv", delimiter=",")
    table[:, 2] += MARKS["train.csv"] - MARKS["test.csv"]
    np.savetxt(kit / "data" / "test.csv", table, delimiter=",", fmt="%.17g")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a submission was run")

    monkeypatch.setattr(Runner, "run_fold", refuse)
    with pytest.raises(UsageError, match=r"nothing to rescore on data .* --corrected-labels"):
        hepchallenge.rescore(kit, workspace=kit.parent / "w")
    changes, document = _rescore(kit, "--corrected-labels")
    assert [(c["name"], c["rank_before"], c["rank_after"]) for c in changes] == [
        ("low", 2, 1),
        ("high", 1, 2),
    ]
    assert all(c["verdict_before"] == c["verdict_after"] == "scored" for c in changes)
    low, high, broken = document["submissions"]
    assert low["data_digest"] == document["data"]["digest"] != low["versions"]["predicted_on"]
    assert low["scores"]["distance"]["test"] < 1 < high["scores"]["distance"]["test"]
    assert broken["verdict"] == "runtime_error"
    # From now on these are records like any others: nothing is run, and a second time nothing changes.
    again = hepchallenge.score(kit, _sources(kit.parent), workspace=kit.parent / "w")
    assert [e.scoring.scores for e in again.submissions] == [e["scores"] for e in document["submissions"]]
    assert _rescore(kit, "--corrected-labels")[0] == []
    printed = _printed(kit)
    assert printed.index("low") < printed.index("high")


def test_other_features_are_no_corrected_labels(kit: Path) -> None:
    table = np.loadtxt(kit / "data" / "test.csv", delimiter=",")
    np.savetxt(kit / "data" / "test.csv", table[::-1], delimiter=",", fmt="%.17g")
    for _ in range(2):
        # The second time as well: what was looked at is not what was scored.
        with pytest.raises(UsageError, match="other rows or features than were scored here"):
            hepchallenge.rescore(kit, workspace=kit.parent / "w", corrected_labels=True)


def test_a_score_that_cannot_be_computed_any_more_loses_its_rank(kit: Path) -> None:
    _edit(kit, "return float(np.abs", "assert predictions.y_pred.mean() < 9e8; return float(np.abs")
    changes, _ = _rescore(kit)
    assert [(c["name"], c["rank_before"], c["rank_after"]) for c in changes] == [
        ("low", 2, 1),
        ("high", 1, None),
    ]
    assert changes[1]["verdict_before"] == "scored"
    assert changes[1]["verdict_after"] == "invalid_submission"
    assert changes[1]["score_after"] is None


def test_a_small_change_is_printed_with_the_decimals_that_show_it(kit: Path) -> None:
    # Shown are three decimals, else.
    _edit(kit, ".mean())", ".mean() + 2**-15)")
    assert "4.98828 → 4.98831" in _printed(kit)
