"""ROC curves from stored predictions: right, and only of validation rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hepchallenge.curves import MOST_POINTS, _signal_and_score, roc


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
