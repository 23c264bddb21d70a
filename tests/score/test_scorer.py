"""Scores of folds and bags on known numbers, and what is refused without a word about labels."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rampwf as rw
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.exceptions import InvalidSubmission, OrganiserError
from hepchallenge.records import Verdict
from hepchallenge.scorer.scorer import Scorer
from hepchallenge.scoring.gates import GateResult
from hepchallenge.stage.stage import Truth

Arrays = dict[str, np.ndarray]


class Mean:
    """The mean prediction minus the mean truth: simple enough to know by heart."""

    name = "mean"
    precision = 3
    is_lower_the_better = True

    def score_function(self, ground_truths: Any, predictions: Any) -> Any:
        return predictions.y_pred.mean() - ground_truths.y_pred.mean()


def metric(name: str, function: Callable[[Any, Any], Any]) -> Any:
    return SimpleNamespace(
        name=name,
        precision=3,
        is_lower_the_better=True,
        score_function=lambda true, predicted: function(true.y_pred, predicted.y_pred),
    )


def scorer(*score_types: Any, predictions: Any = None, gates: Any = (), **truth: Any) -> Scorer:
    """Make a scorer with two folds over six training rows and four test rows."""
    facts: dict[str, Any] = {
        "y_train": np.zeros(6),
        "y_test": np.zeros(4),
        "folds": ((np.array([0, 1, 2, 3]), np.array([4, 5])), (np.array([2, 3, 4, 5]), np.array([0, 5]))),
        "parts": {"public": np.array([0, 1]), "private": np.array([2, 3])},
    }
    problem = SimpleNamespace(
        Predictions=predictions or rw.prediction_types.make_regression(),
        score_types=score_types or (Mean(),),
        gates=gates,
    )
    challenge: Any = SimpleNamespace(problem=problem, version="1")
    return Scorer(challenge, Truth(**(facts | truth)))


FOLDS: list[Arrays] = [
    {"train": np.array([0.0, 0, 0, 4, 10, 20]), "test": np.array([1.0, 2, 3, 6])},
    {"train": np.array([8.0, 0, 1, 2, 3, 30]), "test": np.array([3.0, 4, 5, 8])},
]


def test_folds_means_spread_and_bags_on_every_part() -> None:
    scoring = scorer().score_run(FOLDS, "code")
    assert scoring.verdict is Verdict.SCORED
    first, second = (fold["mean"] for fold in scoring.fold_scores)
    assert first == {"train": 1.0, "valid": 15.0, "test": 3.0, "public": 1.5, "private": 4.5}
    assert second == {"train": 9.0, "valid": 19.0, "test": 5.0, "public": 3.5, "private": 6.5}
    assert scoring.scores["mean"] == {
        "train": 5.0,
        "valid": 17.0,
        "test": 4.0,
        "public": 2.5,
        "private": 5.5,
        # Rows 0 and 4 are in one bag each, row 5 in both: (8 + 10 + 25) / 3; no other row counts.
        "bagged_valid": 43 / 3,
        "bagged_test": 4.0,
        "bagged_public": 2.5,
        "bagged_private": 5.5,
    }
    assert scoring.spread["mean"] == {
        "train": 4.0,
        "valid": 2.0,
        "test": 1.0,
        "public": 1.0,
        "private": 1.0,
    }


def test_truth_is_cut_to_the_same_rows() -> None:
    truth = np.array([1.0, 10, 100, 1000, 10_000, 100_000])
    scoring = scorer(metric("truth", lambda true, _: true.sum()), y_train=truth).score_run(FOLDS, "code")
    assert [fold["truth"]["valid"] for fold in scoring.fold_scores] == [110_000.0, 100_001.0]
    assert scoring.scores["truth"]["bagged_valid"] == 110_001.0


def test_a_prediction_file_is_scored_on_test_rows_only() -> None:
    scoring = scorer().score_run([{"test": FOLDS[0]["test"]}], "predictions")
    assert scoring.verdict is Verdict.SCORED
    assert scoring.fold_scores[0]["mean"].keys() == {"test", "public", "private"}
    assert scoring.scores["mean"]["bagged_private"] == scoring.scores["mean"]["private"] == 4.5


def test_without_test_labels_only_training_rows_are_scored() -> None:
    scoring = scorer(y_test=None, parts={}).score_run(FOLDS, "code")
    assert scoring.scores["mean"].keys() == {"train", "valid", "bagged_valid"}
    nothing = scorer(y_test=None, parts={}).score_run([{"test": FOLDS[0]["test"]}], "predictions")
    assert nothing.verdict is Verdict.INVALID_SUBMISSION
    assert nothing.message == "there is nothing to score: the test labels are not known here"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_metric_that_is_not_finite_is_no_score(value: float) -> None:
    scoring = scorer(Mean(), metric("odd", lambda *_: value)).score_run(FOLDS, "code")
    assert scoring.verdict is Verdict.INVALID_SUBMISSION
    assert scoring.message == f"metric odd is {value} on train, not a finite number"
    assert scoring.scores == {}
    assert scoring.fold_scores == ()


def test_a_metric_that_is_not_finite_for_the_bag_alone_is_no_score() -> None:
    score = metric("odd", lambda true, _: np.nan if len(true) == 3 else 1.0)
    scoring = scorer(score).score_run(FOLDS, "code")
    assert scoring.message == "metric odd is nan on bagged_valid, not a finite number"


def test_the_text_of_a_failing_metric_is_not_shown() -> None:
    def fail(true: Any, predicted: Any) -> float:
        raise ValueError(f"truth is {true.tolist()}")

    scoring = scorer(metric("loud", fail), y_train=np.full(6, 4711.0)).score_run(FOLDS, "code")
    assert scoring.verdict is Verdict.INVALID_SUBMISSION
    assert scoring.message == "metric loud cannot be computed on train: ValueError"
    assert "4711" not in repr(scoring)


def test_a_check_of_the_kits_own_speaks_for_itself() -> None:
    class Positive(rw.prediction_types.make_regression()):  # type: ignore[misc]
        def __init__(self, y_pred: Any = None, **others: Any) -> None:
            super().__init__(y_pred=y_pred, **others)
            if y_pred is not None and (self.y_pred < 0).any():
                raise ValueError("a mass is never negative")

    folds = [FOLDS[0], {**FOLDS[1], "train": -FOLDS[1]["train"]}]
    scoring = scorer(predictions=Positive).score_run(folds, "code")
    assert scoring.verdict is Verdict.INVALID_SUBMISSION
    assert scoring.message == "prediction of shape (6,): a mass is never negative"


def test_folds_that_cannot_be_combined_are_refused_not_fatal() -> None:
    class Uncombined(rw.prediction_types.make_regression()):  # type: ignore[misc]
        @classmethod
        def combine(cls, predictions_list: Any, index_list: Any = None) -> Any:
            raise NotImplementedError("no bags here")

    scoring = scorer(predictions=Uncombined).score_run(FOLDS, "code")
    assert scoring.message == (
        "the folds' predictions on valid cannot be combined: NotImplementedError: no bags here"
    )


def test_a_metric_that_changes_the_truth_spoils_no_other_fold_and_no_bag() -> None:
    def careless(true: np.ndarray, predicted: np.ndarray) -> float:
        true += 1
        predicted += 1
        return float(true.max())

    scoring = scorer(metric("one", careless), metric("two", careless)).score_run(FOLDS, "code")
    for fold in scoring.fold_scores:
        # Within a fold and part ramp-test hands the same objects to all metrics.
        assert set(fold["one"].values()) == {1.0}
        assert set(fold["two"].values()) == {2.0}
    bags = [scoring.scores[name][f"bagged_{part}"] for name in ("one", "two") for part in ("valid", "test")]
    assert bags == [1.0] * 4


@pytest.mark.parametrize("where", ["y_train", "y_test"])
def test_labels_that_the_challenge_does_not_know_are_the_organisers_fault(where: str) -> None:
    classes = rw.prediction_types.make_multiclass(label_names=["a", "b"])
    truth = {"y_train": ["a"] * 6, "y_test": ["b"] * 4, where: np.array(["a", "z", "b", "a", "a", "b"])}
    arrays = {"train": np.full((6, 2), 0.5), "test": np.full((4, 2), 0.5)}
    judge = scorer(predictions=classes, **{name: np.array(labels) for name, labels in truth.items()})
    with pytest.raises(OrganiserError, match=r"do not take its labels: ValueError: 'z' is not in list"):
        judge.score_run([arrays, arrays], "code")


def test_the_version_follows_challenge_and_metrics() -> None:
    versions = {scorer(Mean()).version, scorer(Mean(), metric("b", max)).version, scorer(Mean()).version}
    assert len(versions) == 2


@settings(deadline=None, max_examples=40)
@given(
    data=st.data(),
    n_folds=st.integers(1, 4),
    n_rows=st.integers(3, 12),
)
def test_scores_are_those_of_ramp_workflow(data: st.DataObject, n_folds: int, n_rows: int) -> None:
    """The same operations in the same order: equal, not just close."""
    from rampwf.utils.combine import get_score_cv_bags

    numbers = st.lists(st.floats(-1e6, 1e6), min_size=n_rows, max_size=n_rows).map(np.array)
    y, test = data.draw(numbers), data.draw(numbers)
    folds, arrays = [], []
    for _ in range(n_folds):
        order = np.array(data.draw(st.permutations(range(n_rows))))
        cut = data.draw(st.integers(1, n_rows - 1))
        folds.append((order[:cut], order[cut:]))
        arrays.append({"train": data.draw(numbers), "test": data.draw(numbers)})
    predictions, rmse = rw.prediction_types.make_regression(), rw.score_types.RMSE()
    scoring = scorer(rmse, y_train=y, y_test=test, folds=tuple(folds), parts={}).score_run(arrays, "code")

    valid = [predictions(y_pred=a["train"], fold_is=rows) for a, (_, rows) in zip(arrays, folds, strict=True)]
    for fold, predicted, (_, rows) in zip(scoring.fold_scores, valid, folds, strict=True):
        expected = rmse.score_function(predictions(y_true=y, fold_is=rows), predicted)
        assert fold["rmse"]["valid"] == expected
    bags = get_score_cv_bags(rmse, valid, predictions(y_true=y), [rows for _, rows in folds])[1]
    assert scoring.scores["rmse"]["bagged_valid"] == bags[-1]
    on_test = [predictions(y_pred=a["test"]) for a in arrays]
    bags = get_score_cv_bags(rmse, on_test, predictions(y_true=test))[1]
    assert scoring.scores["rmse"]["bagged_test"] == bags[-1]


def test_a_refusal_ends_a_single_fold_too() -> None:
    with pytest.raises(InvalidSubmission, match="metric odd is nan on train"):
        scorer(metric("odd", lambda *_: np.nan)).score_fold(0, FOLDS[0])


class Below:
    """A gate on the mean difference to its truth."""

    name = "below"

    def check(self, prediction: Any, truth: Any) -> GateResult:
        statistic = float((prediction - truth).mean())
        return GateResult.below("below", statistic, 1.0)


def _with_gate(*values: float) -> list[Arrays]:
    return [{**fold, "below": np.full(3, value)} for fold, value in zip(FOLDS, values, strict=True)]


def test_a_run_that_passes_its_gates_is_scored_and_tells_what_they_found() -> None:
    judge = scorer(gates=(Below(),))
    judge._truth.gates["below"] = np.array([0.0, 0.5, 1.0])
    scoring = judge.score_run(_with_gate(0.75, 1.25), "code")
    assert scoring.verdict is Verdict.SCORED
    assert scoring.scores == scorer().score_run(FOLDS, "code").scores
    assert scoring.gates == {
        "below": {"statistic": 0.75, "threshold": 1.0, "passed": True, "folds": [0.25, 0.75]}
    }


@pytest.mark.parametrize(("values", "statistic"), [((0.0, 1.0), 1.0), ((2.5, 0.0), 2.5)])
def test_one_fold_that_fails_a_gate_leaves_no_score(values: tuple[float, float], statistic: float) -> None:
    judge = scorer(gates=(Below(),))
    judge._truth.gates["below"] = np.zeros(3)
    scoring = judge.score_run(_with_gate(*values), "code")
    assert scoring.verdict is Verdict.GATE_FAILED
    assert (scoring.scores, scoring.fold_scores) == ({}, ())
    assert scoring.gates["below"]["statistic"] == statistic
    assert not scoring.gates["below"]["passed"]
    assert scoring.message == f"gate below: {statistic:g}, must be below 1"


def test_a_gate_that_cannot_be_computed_refuses_the_submission_without_a_word_about_its_truth() -> None:
    class Telling(Below):
        def check(self, prediction: Any, truth: Any) -> GateResult:
            raise ValueError(f"the truth is {truth}")

    class Endless(Below):
        def check(self, prediction: Any, truth: Any) -> GateResult:
            return GateResult("below", float("nan"), 1.0, True)

    for gate, words in ((Telling(), "cannot be checked: ValueError"), (Endless(), "not a finite number")):
        judge = scorer(gates=(gate,))
        judge._truth.gates["below"] = np.full(3, 71.0)
        scoring = judge.score_run(_with_gate(0.0, 0.0), "code")
        assert scoring.verdict is Verdict.INVALID_SUBMISSION
        assert words in scoring.message
        assert "71" not in scoring.message


def test_a_gate_cannot_change_its_truth_for_others() -> None:
    class Spoiling(Below):
        def check(self, prediction: Any, truth: Any) -> GateResult:
            found = super().check(prediction, truth)
            truth += 100.0
            return found

    judge = scorer(gates=(Spoiling(),))
    judge._truth.gates["below"] = np.zeros(3)
    first = judge.score_run(_with_gate(0.0, 0.5), "code").gates
    assert judge.score_run(_with_gate(0.0, 0.5), "code").gates == first
