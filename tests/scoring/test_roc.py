"""The ROC curve and its area: known values, properties, and what is refused."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.roc import probabilities, roc_auc, roc_curve

# Few different scores, so that ties are common; both classes are there.
rows = (
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=30)
    .map(lambda drawn: [*drawn, (3, True), (2, False)])
    .map(lambda drawn: (np.array([s for s, _ in drawn]) / 6, np.array([y for _, y in drawn])))
)


@settings(deadline=None)
@given(rows)
def test_the_area_is_the_share_of_correctly_ordered_pairs(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    score, signal = drawn
    difference = score[signal][:, None] - score[~signal][None, :]
    expected = ((difference > 0) + 0.5 * (difference == 0)).mean()
    assert roc_auc(score, signal) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(rows)
def test_the_curve_has_a_vertex_for_each_different_score(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    score, signal = drawn
    curve = roc_curve(score, signal)
    thresholds = np.unique(score)[::-1]
    selected = [score >= threshold for threshold in thresholds]
    assert curve.signal_efficiency.tolist() == [0.0, *(s[signal].mean() for s in selected)]
    assert curve.background_efficiency.tolist() == [0.0, *(s[~signal].mean() for s in selected)]
    assert curve.n_background == np.count_nonzero(~signal)


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_a_rising_function_change_nothing(drawn, random) -> None:  # type: ignore[no-untyped-def]
    score, signal = drawn
    order = list(range(len(score)))
    random.shuffle(order)
    changed = roc_curve(np.exp(score[order]) - 5, signal[order])
    for found, expected in zip(changed, roc_curve(score, signal), strict=True):
        np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(rows)
def test_the_area_of_the_complement_is_the_complement_of_the_area(drawn) -> None:  # type: ignore[no-untyped-def]
    score, signal = drawn
    assert roc_auc(1 - score, signal) == pytest.approx(1 - roc_auc(score, signal), abs=1e-12)
    assert roc_auc(score, ~signal) == pytest.approx(1 - roc_auc(score, signal), abs=1e-12)


@settings(deadline=None)
@given(rows, st.integers(0, 100))
def test_a_weight_of_two_counts_as_two_rows(drawn, seed: int) -> None:  # type: ignore[no-untyped-def]
    score, signal = drawn
    times = np.random.default_rng(seed).integers(0, 3, len(score))
    times[-2:] = 1
    weighted = roc_auc(score, signal, times)
    assert weighted == pytest.approx(roc_auc(score.repeat(times), signal.repeat(times)), abs=1e-12)


def test_equal_weights_leave_curve_and_number_of_background_rows_as_they_are() -> None:
    score, signal = [0.9, 0.8, 0.3, 0.3], [1, 0, 1, 0]
    weighted, plain = roc_curve(score, signal, [2.5] * 4), roc_curve(score, signal)
    for found, expected in zip(weighted, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_uneven_weights_leave_an_effective_number_of_background_rows() -> None:
    curve = roc_curve([0.1, 0.2, 0.3], [1, 0, 0], [1.0, 3.0, 1.0])
    assert curve.n_background == pytest.approx(16 / 10)


@pytest.mark.parametrize(
    ("score", "signal", "weight", "error", "message"),
    [
        ([0.0, math.nan], [0, 1], None, InvalidSubmission, "row 1: prediction: expected a finite number"),
        ([0.0], [0, 1], None, InvalidSubmission, r"expected predictions of shape \(2,\), found \(1,\)"),
        ([0.0, 1.0], [0, 2], None, ValueError, "is_signal must be 0 or 1, got 2 in row 1"),
        ([0.0, 1.0], [0, math.nan], None, ValueError, "is_signal must be 0 or 1, got nan in row 1"),
        ([[0.0], [1.0]], [[0], [1]], None, ValueError, "one dimension"),
        ([0.0, 1.0], [1, 1], None, ValueError, "got 2 and 0 rows"),
        ([], [], None, ValueError, "got 0 and 0 rows"),
        ([0.0, 1.0], [0, 1], [1.0], ValueError, "weight must have the shape"),
        (
            [0.0, 1.0],
            [0, 1],
            [1.0, -1.0],
            ValueError,
            "weight must be finite and not negative, got -1.0 in row 1",
        ),
        ([0.0, 1.0], [0, 1], [math.nan, 1.0], ValueError, "got nan in row 0"),
        ([0.0, 1.0], [0, 1], [0.0, 1.0], ValueError, "positive weight"),
    ],
)
def test_impossible_input_is_refused_with_its_row(score, signal, weight, error, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        roc_curve(score, signal, weight)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
def test_a_prediction_outside_0_to_1_is_named_with_its_row(value: float) -> None:
    with pytest.raises(InvalidSubmission, match=r"row 1: prediction: expected a number from 0 to 1, found "):
        probabilities([0.0, value, 1.0])


def test_probabilities_may_stand_in_a_single_column_but_not_in_two() -> None:
    assert probabilities([[0.0], [1.0]]).tolist() == [0.0, 1.0]
    with pytest.raises(InvalidSubmission, match=r"shape \(1, 2\)"):
        probabilities([[0.0, 1.0]])


@pytest.mark.parametrize("module", ["roc", "tau3mu", "toptag", "trainings"])
def test_examples_in_docstrings_show_what_they_give(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"hepchallenge.scoring.{module}"))
    assert found.attempted
    assert not found.failed
