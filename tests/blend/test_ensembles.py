"""Greedy selection takes what it says, and the quick way is the slow one to the last digit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import rampwf as rw
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.challenges.higgsml.predictions import Predictions as HiggsPredictions
from hepchallenge.exceptions import InvalidSubmission, OrganiserError, UsageError
from hepchallenge.scoring import ensembles
from hepchallenge.scoring.ensembles import combined, select

Regression = rw.prediction_types.make_regression(label_names=[])
Classes = rw.prediction_types.make_multiclass(label_names=[0, 1, 2])
RMSE = rw.score_types.RMSE()


class Distance:
    """Mean distance of anything, so that one metric serves all kinds of predictions."""

    name = "distance"
    precision = 3

    def __init__(self, lower: bool = True) -> None:
        self.is_lower_the_better = lower

    def score_function(self, truth: Any, predictions: Any) -> float:
        distance = float(np.abs(truth.y_pred - predictions.y_pred).mean())
        return distance if self.is_lower_the_better else -distance


def slowly(members: Sequence[Any], truth: Any, metric: Any, least: float = 0.0) -> list[int]:
    """Return what ramp-workflow's own functions take."""
    from rampwf.utils.combine import blend_on_fold

    return [int(index) for index in blend_on_fold(list(members), truth, metric, min_improvement=least)]


def made(kind: str, seed: int, n_members: int, n_rows: int, dtype: str) -> tuple[list[Any], Any]:
    """Return noisy predictions of a kind, and the truth."""
    rng = np.random.default_rng(seed)
    if kind == "regression":
        truth = rng.normal(size=n_rows)
        arrays = [(truth + rng.normal(size=n_rows)).astype(dtype) for _ in range(n_members)]
        return [Regression(y_pred=array) for array in arrays], Regression(y_true=truth)
    if kind == "classes":
        labels = rng.integers(0, 3, n_rows)
        arrays = [
            (np.eye(3)[labels] + 2 * rng.dirichlet([1, 1, 1], n_rows)).astype(dtype) for _ in range(n_members)
        ]
        return [Classes(y_pred=array) for array in arrays], Classes(y_true=labels)
    selected = rng.integers(0, 2, n_rows)
    truth = np.column_stack([selected, rng.random(n_rows)])
    arrays = [
        np.column_stack([rng.random(n_rows), np.where(rng.random(n_rows) < 0.3, 1 - selected, selected)])
        for _ in range(n_members)
    ]
    return [HiggsPredictions(y_pred=array) for array in arrays], HiggsPredictions(y_true=truth)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["regression", "classes", "higgsml"]),
    seed=st.integers(0, 10_000),
    n_members=st.integers(1, 6),
    n_rows=st.integers(1, 40),
    dtype=st.sampled_from(["f4", "f8"]),
    lower=st.booleans(),
    least=st.sampled_from([0.0, 0.001, 0.05]),
)
def test_picks_are_those_of_ramp_workflow(
    kind: str, seed: int, n_members: int, n_rows: int, dtype: str, lower: bool, least: float
) -> None:
    members, truth = made(kind, seed, n_members, n_rows, dtype)
    metric = Distance(lower)
    found = select(members, truth, metric, min_improvement=least)
    assert list(found.picks) == slowly(members, truth, metric, least)
    assert list(found.singles) == [metric.score_function(truth, member) for member in members]


@pytest.mark.parametrize("kind", ["regression", "classes", "higgsml"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_kept_sum_combines_to_the_last_digit(kind: str, dtype: str) -> None:
    members, truth = made(kind, 1, 7, 50, dtype)
    predictions = type(truth)
    picks = [3, 0, 3, 6, 5, 3, 1, 1, 2, 4, 0, 6, 3, 5, 2, 1]
    assert ensembles._summed(predictions, members) is not None, "the quick way is known for this kind"
    expected = predictions.combine(members, picks).y_pred
    found = combined(predictions, members, picks)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    assert np.array_equal(found, expected)


class Median(Regression):  # type: ignore[misc, valid-type]
    """Predictions whose combination is no mean."""

    @classmethod
    def combine(cls, predictions_list: Sequence[Any], index_list: Sequence[int] | None = None) -> Any:
        return cls(y_pred=np.median([one.y_pred for one in predictions_list], axis=0))


def test_a_kits_own_combination_is_used() -> None:
    rows = np.arange(20.0)
    members = [Median(y_pred=rows + shift) for shift in (-1, 100, 3)]
    picks = select(members, Median(y_true=rows), RMSE).picks
    assert picks == tuple(slowly(members, Median(y_true=rows), RMSE))
    assert np.array_equal(combined(Median, members, [0, 1, 2]), rows + 3)


def test_errors_that_cancel_are_found_and_of_equal_members_the_first_is_taken() -> None:
    truth = Regression(y_true=np.zeros(4))
    members = [Regression(y_pred=np.full(4, value)) for value in (3.0, -1.0, 1.0, 1.0)]
    heard: list[tuple[int, float]] = []
    picks = select(members, truth, RMSE, heard=lambda *step: heard.append(step)).picks
    assert picks == (1, 2)
    assert heard == [(1, 1.0), (2, 0.0)]
    # Exactly as much as asked is not enough.
    assert select(members, truth, RMSE, min_improvement=1.0).picks == (1,)


def test_an_ensemble_ends_at_eighty() -> None:
    class Restless(Distance):
        def score_function(self, truth: Any, predictions: Any) -> float:
            self.calls = getattr(self, "calls", 0) + 1
            return -float(self.calls)

    members = [Regression(y_pred=np.zeros(3)), Regression(y_pred=np.ones(3))]
    assert len(select(members, Regression(y_true=np.zeros(3)), Restless()).picks) == 80


def test_what_has_no_finite_score_is_never_taken() -> None:
    class Fussy(Distance):
        def score_function(self, truth: Any, predictions: Any) -> float:
            mean = predictions.y_pred.mean()
            if mean == 2:
                raise InvalidSubmission("no")
            return math.inf if mean > 4 else math.nan if mean < 0 else float(mean)

    truth = Regression(y_true=np.zeros(3))
    members = [Regression(y_pred=np.full(3, value)) for value in (-1.0, 5.0, 2.0, 4.0, 3.0)]
    for lower, first in ((True, 4), (False, 3)):
        found = select(members, truth, Fussy(lower))
        assert found.picks[0] == first
        assert [math.isfinite(value) for value in found.singles] == [False, False, False, True, True]
    with pytest.raises(UsageError, match="no submission has a finite distance"):
        select(members[:3], truth, Fussy())


def test_a_metric_that_fails_is_the_organisers_and_its_text_is_kept_back() -> None:
    class Broken(Distance):
        def score_function(self, truth: Any, predictions: Any) -> float:
            raise ValueError(f"label {truth.y_pred[0]}")

    with pytest.raises(OrganiserError, match=r"distance cannot be computed on a blend: ValueError$"):
        select([Regression(y_pred=np.ones(3))], Regression(y_true=np.full(3, 123.0)), Broken())


def test_what_cannot_be_combined_is_said() -> None:
    class Words(Regression):  # type: ignore[misc, valid-type]
        @classmethod
        def combine(cls, predictions_list: Sequence[Any], index_list: Any = None) -> Any:
            raise TypeError("words have no mean")

    members = [Words(y_pred=np.ones(3)), Words(y_pred=np.zeros(3))]
    with pytest.raises(UsageError, match="cannot be combined: TypeError: words have no mean"):
        select(members, Words(y_true=np.ones(3)), RMSE)
