"""HiggsML predictions: the rules of `submission.csv`, checks of arrays, combination of folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.challenges.higgsml.predictions import Predictions, predictions_from_columns
from hepchallenge.exceptions import InvalidSubmission


def columns(rank: list[int], label: str | list[str]) -> dict[str, np.ndarray]:
    return {
        "EventId": np.arange(350000, 350000 + len(rank)),
        "RankOrder": np.array(rank, dtype=np.int64),
        "Class": np.array(list(label)),
    }


def test_rank_and_class_become_score_and_selection() -> None:
    y_pred = predictions_from_columns(columns([2, 4, 1, 3], "bsbs"))
    assert y_pred.tolist() == [[0.5, 0.0], [1.0, 1.0], [0.25, 0.0], [0.75, 1.0]]


@pytest.mark.parametrize("label", ["ssss", "bbbb"])
def test_selecting_all_or_nothing_is_allowed(label: str) -> None:
    assert set(predictions_from_columns(columns([1, 2, 3, 4], label))[:, 1]) == {float(label == "ssss")}


@pytest.mark.parametrize(
    ("rank", "label", "message"),
    [
        ([0, 1, 2, 3], "bbbb", "EventId 350000: RankOrder: expected a permutation of 1 to 4, found 0"),
        ([1, 2, 3, 5], "bbbb", "EventId 350003: RankOrder: expected a permutation of 1 to 4, found 5"),
        ([1, -(2**63), 3, 4], "bbbb", "EventId 350001: RankOrder: .* found -9223372036854775808"),
        ([1, 2, 2, 4], "bbbb", r"EventId 350002: .*found 2 again \(first for EventId 350001\); 3 is missing"),
        ([1, 2, 3, 4], "bsbs", "EventId 350001: Class 's' with RankOrder 2.*'b' with RankOrder 3.*350002"),
        ([4, 3, 2, 1], "bssb", "EventId 350000: Class 'b' with RankOrder 4.*'s' with RankOrder 2.*350002"),
        ([1, 2, 3, 4], "bbxs", "EventId 350002: Class: expected 's' or 'b', found 'x'"),
        ([1, 2, 3, 4], ["b", "b", "s ", "s"], "EventId 350002: Class: expected 's' or 'b', found 's '"),
        ([1, 2, 3, 4], "bbSs", "EventId 350002: Class: expected 's' or 'b', found 'S'"),
    ],
)
def test_first_event_that_breaks_a_rule_is_named(
    rank: list[int], label: str | list[str], message: str
) -> None:
    with pytest.raises(InvalidSubmission, match=message):
        predictions_from_columns(columns(rank, label))


@given(st.integers(1, 40), st.data())
def test_exactly_the_valid_submissions_pass(n: int, data: st.DataObject) -> None:
    rank = data.draw(st.permutations(range(1, n + 1)))
    if data.draw(st.booleans()):
        rank[data.draw(st.integers(0, n - 1))] = data.draw(st.integers(0, n + 1))
    label = data.draw(st.lists(st.sampled_from("sb"), min_size=n, max_size=n))
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, n))
        label = ["s" if r > cut else "b" for r in rank]
    signal = [r for r, c in zip(rank, label, strict=True) if c == "s"]
    background = [r for r, c in zip(rank, label, strict=True) if c == "b"]
    valid = sorted(rank) == list(range(1, n + 1)) and min(signal, default=n + 1) > max(background, default=0)
    if valid:
        y_pred = predictions_from_columns(columns(rank, label))
        assert np.rint(y_pred[:, 0] * n).astype(int).tolist() == list(rank)
        assert y_pred[:, 1].tolist() == [float(c == "s") for c in label]
        Predictions(y_pred=y_pred)
    else:
        with pytest.raises(InvalidSubmission, match="EventId 35"):
            predictions_from_columns(columns(rank, label))


@pytest.mark.parametrize(
    ("y_pred", "message"),
    [
        ([[0.5, 1.0], [1.5, 0.0]], "row 1: score: expected a number from 0 to 1, found 1.5"),
        ([[0.5, 1.0], [-0.1, 0.0]], "row 1: score: .* found -0.1"),
        ([[np.inf, 1.0], [0.1, 0.0]], "row 0: score: .* found inf"),
        ([[0.5, 0.3], [0.1, 0.0]], "row 0: selected: expected 0 or 1, found 0.3"),
        ([[0.5, 1.0], [0.1, np.nan]], "row 1: selected: expected 0 or 1, found nan"),
        ([[0.5, 1.0], [np.nan, 0.0]], "row 1: score: .* found nan"),
        ([0.5, 1.0], r"expected an array of shape \(n, 2\), found \(2,\)"),
        ([[0.5, 1.0, 1.0]], r"expected an array of shape \(n, 2\), found \(1, 3\)"),
    ],
)
def test_predictions_that_mean_nothing_are_refused(y_pred: list[list[float]], message: str) -> None:
    with pytest.raises(InvalidSubmission, match=message):
        Predictions(y_pred=y_pred)


def test_combination_is_mean_score_and_majority_vote() -> None:
    folds = [Predictions(y_pred=[[s, v], [s, 1 - v]]) for s, v in ((0.2, 1), (0.4, 1), (0.9, 0))]
    combined = Predictions.combine(folds)
    np.testing.assert_allclose(combined.y_pred, [[0.5, 1.0], [0.5, 0.0]])
    np.testing.assert_allclose(Predictions.combine(folds, [0, 2]).y_pred[:, 1], [0.0, 0.0])


def test_rows_without_a_fold_stay_without_prediction() -> None:
    empty, first = Predictions(n_samples=3), Predictions(n_samples=3)
    first.set_valid_in_train(Predictions(y_pred=[[0.7, 1.0]]), [1])
    combined = Predictions.combine([empty, first])
    assert combined.valid_indexes.tolist() == [False, True, False]
    assert np.isnan(combined.y_pred[[0, 2]]).all()
    combined.set_slice(combined.valid_indexes)
    assert combined.y_pred.tolist() == [[0.7, 1.0]]


def test_a_fold_of_predictions_shares_no_memory_with_its_source() -> None:
    source = np.array([[0.1, 0.0], [0.2, 1.0]])
    for predictions in (Predictions(y_pred=source), Predictions(y_pred=source, fold_is=slice(0, 2))):
        predictions.y_pred[:] = 0.9
    assert source.tolist() == [[0.1, 0.0], [0.2, 1.0]]
