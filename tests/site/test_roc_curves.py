"""ROC curves from stored predictions: right, and only of validation rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from small_kit import GOOD, PROBLEM, write_kit, write_submission

from hepchallenge.cli.board import command
from hepchallenge.curves import MOST_POINTS, _signal_and_score, roc
from hepchallenge.pipeline import score


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_a_curve_encloses_the_area_that_sklearn_finds(rows: list[tuple[bool, int]]) -> None:
    truth, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=float)
    if truth.all() or not truth.any():
        with pytest.raises(ValueError, match="signal and background"):
            roc(truth, values)
        return
    background, signal = roc(truth, values)
    assert np.trapezoid(signal, background) == pytest.approx(roc_auc_score(truth, values), abs=2e-3)
    assert (background[0], signal[0], background[-1], signal[-1]) == (0, 0, 1, 1)


def test_a_curve_of_many_rows_has_few_rounded_points() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(20_000) < 0.3
    values = truth + rng.normal(size=20_000)
    background, signal = roc(truth, values)
    assert len(background) <= MOST_POINTS
    assert np.array_equal(np.round(signal, 3), signal)
    assert np.trapezoid(signal, background) == pytest.approx(roc_auc_score(truth, values), abs=1e-3)


def test_numbers_that_are_none_make_no_curve() -> None:
    with pytest.raises(ValueError, match="finite"):
        roc([True, False], [np.nan, 1.0])


def test_the_score_for_signal_is_found_in_what_challenges_predict() -> None:
    truth = np.array([0, 1, 1])
    known = _signal_and_score(truth, np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    assert known is not None
    assert known[1].tolist() == [0.1, 0.8, 0.6]
    # Truth with weights: a prediction is a score and a decision.
    weighted = _signal_and_score(np.array([[0, 2.0], [1, 0.1]]), np.array([[0.3, 0.0], [0.7, 1.0]]))
    assert weighted is not None
    assert weighted[1].tolist() == [0.3, 0.7]
    assert _signal_and_score(np.array([0, 1, 2]), np.array([0.1, 0.2, 0.3])) is None
    assert _signal_and_score(truth, np.array([0.1, np.nan, 0.2])) is None
    assert _signal_and_score([0, 1], np.array([0.1, 0.2])) is None


def test_the_exported_site_has_curves_of_validation_rows(tmp_path: Path) -> None:
    """The score is the label itself, in a kit whose test rows all have the other label."""
    classes = PROBLEM.replace("table[:, :2], table[:, 2]", "sorted_by_class(table, name)")
    lines = """

def sorted_by_class(table, name):
    y = np.arange(len(table)) % 2
    return (np.column_stack([y, table[:, 1]]), y) if name == "train.csv" else (table[:, :2], 0 * y)
"""
    kit = write_kit(tmp_path / "kit", classes + lines)
    submission = write_submission(
        tmp_path / "sure", GOOD.replace("np.full(len(X), self.mean)", "1.0 * X[:, 0]")
    )
    score(kit, [submission], workspace=tmp_path / "w", isolation="none")
    words = [
        str(kit),
        "--workspace",
        str(tmp_path / "w"),
        "--export",
        str(tmp_path / "out"),
        "--format",
        "html",
    ]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    (figure,) = (tmp_path / "out").glob("site-*/figures/test-curves-0.svg")
    assert "Shown: sure." in figure.read_text()
    page = (tmp_path / "out" / "index.html").read_text()
    assert "validation rows of the first fold" in page
