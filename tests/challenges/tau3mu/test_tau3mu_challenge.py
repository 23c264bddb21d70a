"""The tau -> mu mu mu challenge keeps the contract: features, folds, parts, predictions, workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.challenges.tau3mu import problem
from hepchallenge.challenges.tau3mu.coordinates import FEATURES
from hepchallenge.challenges.tau3mu.predictions import Predictions, predictions_from_columns
from hepchallenge.contract import Challenge, check_folds, check_parts, check_test_features, load_challenge
from hepchallenge.exceptions import InvalidSubmission


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return load_challenge("tau3mu")


def test_challenge_declares_its_metrics_gates_and_prediction_file(challenge: Challenge) -> None:
    assert challenge.problem.metric_names == ("auc", "auc_banded")
    assert challenge.official_metric == "auc"
    assert [gate.name for gate in challenge.problem.gates] == ["agreement", "flatness"]
    assert challenge.config.prediction_file is not None
    assert challenge.config.prediction_file.columns == {"id": "int64", "prediction": "float64"}
    # The organisers' five baselines were evaluated on the events that they were trained on.
    published = [r.value for r in challenge.config.references if r.part == "train"]
    assert len(published) == 5
    assert all(r.confirmed for r in challenge.config.references if r.part == "train")


def test_features_are_the_columns_of_the_test_sample_and_nothing_else(
    challenge: Challenge, small_folder: Path
) -> None:
    samples = [challenge.problem.get_train_data(small_folder), challenge.problem.get_test_data(small_folder)]
    samples += [gate.get_data(str(small_folder)) for gate in challenge.problem.gates]
    for X, truth in samples:
        assert list(X.columns) == list(FEATURES)
        assert (X.dtypes == np.float64).all()
        assert len(X) == len(truth)
        check_test_features(challenge, X)
    withheld = {"mass", "production", "min_ANNmuon", "signal", "weight", "id"}
    assert withheld <= set(challenge.config.withheld)
    assert not withheld & set(FEATURES)


def test_folds_and_parts_keep_the_contract(challenge: Challenge, small_folder: Path) -> None:
    X, y = challenge.problem.get_train_data(small_folder)
    folds = check_folds(challenge, challenge.problem.get_cv(X, y), len(X))
    assert len(folds) == 2
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(len(X)))
    assert all(abs(y[valid, 0].mean() - y[:, 0].mean()) < 1e-3 for _, valid in folds)
    assert challenge.problem.get_test_parts is not None
    parts = challenge.problem.get_test_parts(small_folder)
    check_parts(challenge, parts, len(challenge.problem.get_test_data(small_folder)[0]))
    assert (parts == "public").mean() == pytest.approx(0.4, abs=0.01)


def test_quick_mode_has_one_fold_of_few_events(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMP_TEST_MODE", "1")
    monkeypatch.setattr(problem, "_QUICK_ROWS", 100)
    X, y = problem.get_train_data(small_folder)
    assert (len(X), len(y)) == (100, 100)
    assert len(list(problem.get_cv(X, y))) == 1


def test_ids_of_test_and_gate_rows_are_different(challenge: Challenge, small_folder: Path) -> None:
    ids = [problem.get_test_ids(small_folder)] + [gate.get_ids(small_folder) for gate in problem.gates]
    every = np.concatenate(ids)
    assert len(set(every)) == len(every)
    assert [len(each) for each in ids[1:]] == [len(g.get_data(small_folder)[0]) for g in problem.gates]


CLASSIFIER = """
import numpy as np

class Classifier:
    def fit(self, X, y, training):
        self.seen = (list(X.columns), len(X), y.dtype.kind, training)

    def predict_proba(self, X):
        return np.column_stack([np.full(len(X), 0.75), np.full(len(X), 0.25)])
"""


def _train(folder: Path, code: str, X: Any, y: Any, rows: Any = None) -> Any:
    (folder / "classifier.py").write_text(code)
    return problem.workflow.train_submission(str(folder), X, y, rows)


def test_fit_is_told_what_only_training_events_have(tmp_path: Path, small_folder: Path) -> None:
    X, y = problem.get_train_data(small_folder)
    rows = np.arange(5, 50, 3)
    model = _train(tmp_path, CLASSIFIER, X, y, rows)
    columns, length, kind, training = model.seen
    assert (columns, length, kind) == (list(FEATURES), len(rows), "i")
    expected = pd.DataFrame(y[rows, 1:], columns=["min_ANNmuon", "mass", "production"], index=rows)
    pd.testing.assert_frame_equal(training, expected)
    assert (problem.workflow.test_submission(model, X.head(7)) == 0.25).all()
    assert problem.workflow.test_submission(model, X.head(7)).shape == (7,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("class Classifier", "class Clasifier", "expected a class Classifier, found none"),
        (
            "np.column_stack([np.full(len(X), 0.75), np.full(len(X), 0.25)])",
            "np.zeros(len(X))",
            r"shape \(7, 2\)",
        ),
    ],
)
def test_a_classifier_of_another_form_is_invalid(
    tmp_path: Path, small_folder: Path, old: str, new: str, message: str
) -> None:
    X, y = problem.get_train_data(small_folder)
    with pytest.raises(InvalidSubmission, match=message):
        problem.workflow.test_submission(_train(tmp_path, CLASSIFIER.replace(old, new), X, y), X.head(7))


def test_truth_keeps_what_makes_the_score_and_predictions_are_plain_numbers() -> None:
    truth = np.arange(20.0).reshape(5, 4)
    assert Predictions(y_true=truth).y_pred.tolist() == truth[:, :2].tolist()
    assert Predictions(y_true=truth, fold_is=[1, 3]).y_pred.tolist() == truth[[1, 3], :2].tolist()
    assert Predictions(y_pred=[0.0, 0.5, 1.0], fold_is=[2, 1]).y_pred.tolist() == [1.0, 0.5]
    with pytest.raises(InvalidSubmission, match=r"shape \(n,\), found \(5, 4\)"):
        Predictions(y_pred=truth)
    with pytest.raises(ValueError, match="needs one of"):
        Predictions()


def test_predictions_do_not_share_memory_with_their_source() -> None:
    source = np.full(3, 0.5)
    made = Predictions(y_pred=source)
    source[:] = 1.0
    assert (made.y_pred == 0.5).all()


@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=6),
    other=st.floats(0, 1),
)
def test_combination_is_the_mean_of_those_that_predicted(values: list[float | None], other: float) -> None:
    first = Predictions(n_samples=len(values))
    for row, value in enumerate(values):
        if value is not None:
            first.set_valid_in_train(Predictions(y_pred=[value]), [row])
    second = Predictions(y_pred=np.full(len(values), other))
    found = Predictions.combine([first, second]).y_pred
    expected = [other if value is None else (value + other) / 2 for value in values]
    np.testing.assert_allclose(found, expected)
    assert Predictions.combine([first, second], [1]).y_pred.tolist() == second.y_pred.tolist()
    assert first.valid_indexes.tolist() == [value is not None for value in values]
    assert np.isnan(Predictions.combine([first]).y_pred).tolist() == [value is None for value in values]


def test_slices_keep_their_rows() -> None:
    made = Predictions(y_pred=[0.1, 0.2, 0.3])
    made.set_slice([2, 0])
    assert made.y_pred.tolist() == [0.3, 0.1]
    made.check_y_pred_dimensions()


@pytest.mark.parametrize("value", [-1e-9, 1.0 + 1e-9, np.inf, np.nan])
def test_a_prediction_outside_0_to_1_is_refused_by_its_id(value: float) -> None:
    columns = {"id": np.array([31, 7, 12]), "prediction": np.array([0.0, value, 1.0])}
    with pytest.raises(InvalidSubmission, match="id 7: prediction: expected a number from 0 to 1"):
        predictions_from_columns(columns)
    if not np.isnan(value):
        with pytest.raises(InvalidSubmission, match="row 1: prediction"):
            Predictions(y_pred=columns["prediction"])


def test_columns_of_a_file_become_predictions() -> None:
    columns = {"id": np.array([31, 7]), "prediction": np.array([0.25, 1.0])}
    found = predictions_from_columns(columns)
    assert found.tolist() == [0.25, 1.0]
    columns["prediction"][0] = 0.5
    assert found[0] == 0.25
