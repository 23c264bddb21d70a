"""The HiggsML challenge: data from every publication, the split, the workflow, the kits."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.higgsml import toy
from hepchallenge.challenges.higgsml.data import FEATURES, LOCAL_SHARES, local_split
from hepchallenge.contract import Challenge, check_folds, check_parts, check_test_features, load_challenge
from hepchallenge.data import read_manifest
from hepchallenge.data import toy as make_toy
from hepchallenge.exceptions import DataError, InvalidSubmission
from hepchallenge.scoring.ams import ams, selected_sums
from hepchallenge.scoring.higgsml import AMS, HIGGSML_TOTALS

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "higgsml"
KITS = ("mass_window", "sklearn_gradient_boosting", "xgboost")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("RAMP_TEST_MODE", raising=False)
        yield


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return load_challenge("higgsml")


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    return toy.generate(3000, seed=3)


@pytest.fixture(scope="module")
def toy_folder(challenge: Challenge) -> Path:
    return make_toy(challenge, seed=1, events=30_000)


@pytest.fixture
def open_data(tmp_path: Path, events: pd.DataFrame) -> Path:
    events.to_csv(tmp_path / "atlas-higgs-challenge-2014-v2.csv.gz", index=False)
    return tmp_path


def test_challenge_declares_its_metrics_and_prediction_file(challenge: Challenge) -> None:
    assert challenge.problem.metric_names == ("ams", "ams_max", "auc")
    assert challenge.config.official_metric == "ams"
    assert challenge.config.prediction_file is not None
    assert list(challenge.config.prediction_file.columns) == ["EventId", "RankOrder", "Class"]
    assert {r.name for r in challenge.config.references if not r.confirmed}.isdisjoint(
        {r.name for r in challenge.config.references if r.confirmed}
    )


def test_features_are_the_thirty_published_columns_and_nothing_else(
    challenge: Challenge, toy_folder: Path
) -> None:
    for get in (challenge.problem.get_train_data, challenge.problem.get_test_data):
        X, y = get(toy_folder)
        assert list(X.columns) == list(FEATURES)
        assert (X.dtypes == np.float64).all()
        assert y.shape == (len(X), 2)
        check_test_features(challenge, X)
    assert len(FEATURES) == 30
    assert not set(challenge.config.withheld) & set(FEATURES)


def test_folds_and_parts_keep_the_contract(challenge: Challenge, toy_folder: Path) -> None:
    problem = challenge.problem
    X, y = problem.get_train_data(toy_folder)
    folds = check_folds(challenge, problem.get_cv(X, y), len(X))
    assert len(folds) == 3
    assert sorted(np.concatenate([valid for _, valid in folds])) == list(range(len(X)))
    share = y[:, 0].mean()
    assert all(abs(y[valid, 0].mean() - share) < 1e-3 for _, valid in folds)
    assert problem.get_test_parts is not None
    check_parts(challenge, problem.get_test_parts(toy_folder), len(problem.get_test_data(toy_folder)[0]))


def test_published_sets_become_training_public_and_private_part(
    challenge: Challenge, open_data: Path, events: pd.DataFrame
) -> None:
    problem: Any = challenge.problem
    X, y = problem.get_train_data(open_data)
    train = events[events["KaggleSet"] == "t"]
    pd.testing.assert_frame_equal(X, train[list(FEATURES)].reset_index(drop=True), check_dtype=False)
    assert (y[:, 0] == (train["Label"] == "s")).all()
    np.testing.assert_allclose(y[:, 1], train["KaggleWeight"], rtol=1e-6)
    test = events[events["KaggleSet"].isin(["b", "v"])]
    assert problem.get_test_ids(open_data).tolist() == test["EventId"].tolist()
    expected = test["KaggleSet"].map({"b": "public", "v": "private"}).tolist()
    assert problem.get_test_parts(open_data).tolist() == expected


def test_score_of_a_part_is_the_one_with_published_weights(
    challenge: Challenge, open_data: Path, events: pd.DataFrame
) -> None:
    problem: Any = challenge.problem
    y, parts = problem.get_test_data(open_data)[1], problem.get_test_parts(open_data)
    test = events[events["KaggleSet"].isin(["b", "v"])]
    selected = (np.abs(test["DER_mass_MMC"] - 125) < 22).to_numpy()
    for code, part in (("b", "public"), ("v", "private")):
        rows = parts == part
        published = (test["KaggleSet"] == code).to_numpy()
        s, b = selected_sums(
            (test["Label"] == "s")[published], test["KaggleWeight"][published], selected[published]
        )
        y_pred = np.column_stack([np.zeros(rows.sum()), selected[rows]])
        assert AMS()(y[rows], y_pred) == pytest.approx(ams(s, b), rel=1e-6)


def test_file_of_set_t_alone_is_split_locally(
    challenge: Challenge, tmp_path: Path, events: pd.DataFrame
) -> None:
    problem: Any = challenge.problem
    only_t = events[events["KaggleSet"] == "t"]
    file = tmp_path / "my_events.csv"
    only_t.to_csv(file, index=False)
    X, y = problem.get_train_data(file)
    parts = problem.get_test_parts(file)
    assert len(X) + len(parts) == len(only_t)
    assert len(X) / len(only_t) == pytest.approx(LOCAL_SHARES["train"], abs=0.01)
    assert (parts == "public").sum() / len(only_t) == pytest.approx(LOCAL_SHARES["public"], abs=0.01)
    for truth in (y, problem.get_test_data(file)[1]):
        assert truth[truth[:, 0] == 1, 1].sum() == pytest.approx(HIGGSML_TOTALS[0])
        assert truth[truth[:, 0] == 0, 1].sum() == pytest.approx(HIGGSML_TOTALS[1])
    assert "local split" in read_manifest(_prepared(problem, file)).info["division"]


def _prepared(problem: Any, path: Path) -> Path:
    return problem.module._prepared(path)  # type: ignore[no-any-return]


def test_local_split_is_stratified_and_independent_of_the_order_of_events() -> None:
    rng = np.random.default_rng(0)
    ids, signal = rng.permutation(1000), rng.random(1000) < 0.3
    part = local_split(ids, signal)
    order = rng.permutation(1000)
    assert (local_split(ids[order], signal[order]) == part[order]).all()
    for label in (False, True):
        n = (signal == label).sum()
        for name, share in LOCAL_SHARES.items():
            assert abs(((part == name) & (signal == label)).sum() - share * n) <= 1


def test_kaggle_files_are_read_and_unlabelled_events_kept_apart(
    challenge: Challenge, tmp_path: Path, events: pd.DataFrame
) -> None:
    problem: Any = challenge.problem
    labelled = events[events["KaggleSet"] == "t"].drop(columns=["KaggleSet", "KaggleWeight"])
    unlabelled = events[events["KaggleSet"] == "v"][["EventId", *FEATURES]]
    for name, frame in (("training", labelled), ("test", unlabelled)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}.csv", frame.to_csv(index=False))
    assert len(problem.get_train_data(tmp_path)[0]) + len(problem.get_test_ids(tmp_path)) == len(labelled)
    X, ids = problem.module.get_kaggle_test_data(tmp_path)
    assert ids.tolist() == unlabelled["EventId"].tolist()
    assert not set(ids) & set(problem.get_test_ids(tmp_path))
    np.testing.assert_array_equal(X.to_numpy(), unlabelled[list(FEATURES)].to_numpy(float))


def test_data_without_unlabelled_events_say_so(challenge: Challenge, toy_folder: Path) -> None:
    with pytest.raises(DataError, match="kaggle_test"):
        challenge.problem.module.get_kaggle_test_data(toy_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[d["KaggleSet"] != "v"], "expected the sets t, b and v, or t alone, found b, t, u"),
        (
            lambda d: d[(d["KaggleSet"] != "b") | (d["Label"] == "b")],
            "public part.*signal events with weight",
        ),
        (lambda d: d.assign(Weight=d["Weight"].where(d["Label"] == "b", 0.0)), "signal events with weight"),
        (lambda d: d.assign(Weight=-d["Weight"]), "column Weight, row 1"),
        (lambda d: d.assign(Label=d["Label"].str.upper()), "column Label, row 1: expected one of s, b"),
        (lambda d: d.assign(EventId=1), "column EventId, row 2"),
        (lambda d: d.rename(columns={"DER_mass_MMC": "DER_mass"}), "column DER_mass_MMC"),
        (lambda d: d.drop(columns="Weight"), "column Weight"),
    ],
)
def test_impossible_data_are_refused(
    challenge: Challenge, tmp_path: Path, events: pd.DataFrame, change: Any, message: str
) -> None:
    change(events).to_csv(tmp_path / "atlas-higgs-challenge-2014-v2.csv", index=False)
    with pytest.raises(DataError, match=message):
        challenge.problem.get_train_data(tmp_path)


def test_folder_without_published_files_names_what_was_expected(challenge: Challenge, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"atlas-higgs-challenge-2014-v2.csv or Kaggle's training.csv"):
        challenge.problem.get_train_data(tmp_path)


def test_quick_mode_shortens_training_only(
    challenge: Challenge, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = challenge.problem
    n_test = len(problem.get_test_data(toy_folder)[0])
    monkeypatch.setenv("RAMP_TEST_MODE", "1")
    X, y = problem.get_train_data(toy_folder)
    assert len(X) == len(y) == 5000
    assert len(list(problem.get_cv(X, y))) == 1
    assert len(problem.get_test_data(toy_folder)[0]) == n_test


# ---- the workflow ------------------------------------------------------------------------------------

SPY = """
import numpy as np

class Classifier:
    def fit(self, X, y, sample_weight):
        self.index, self.y, self.weight = X.index.to_numpy(), y, sample_weight

    def predict_proba(self, X):
        return {probability}

    def predict(self, X):
        return {selection}
"""


def spy(
    folder: Path, probability: str = "np.full((len(X), 2), 0.5)", selection: str = "np.ones(len(X))"
) -> str:
    (folder / "classifier.py").write_text(SPY.format(probability=probability, selection=selection))
    return str(folder)


def test_fit_sees_the_training_rows_only_with_weights_of_the_full_data_set(
    challenge: Challenge, tmp_path: Path, toy_folder: Path
) -> None:
    X, y = challenge.problem.get_train_data(toy_folder)
    train_is = np.arange(0, len(X), 2)
    hidden = y.copy()
    hidden[1::2] = np.nan
    model = challenge.problem.workflow.train_submission(spy(tmp_path), X, hidden, train_is)
    assert model.index.tolist() == train_is.tolist()
    assert model.y.tolist() == y[train_is, 0].tolist()
    assert model.weight[model.y == 1].sum() == pytest.approx(HIGGSML_TOTALS[0])
    assert model.weight[model.y == 0].sum() == pytest.approx(HIGGSML_TOTALS[1])
    prediction = challenge.problem.workflow.test_submission(model, X)
    assert prediction.tolist() == [[0.5, 1.0]] * len(X)


@pytest.mark.parametrize(
    ("probability", "selection", "message"),
    [
        ("np.full(len(X), 0.5)", "np.ones(len(X))", "predict_proba: expected an array of shape"),
        ("np.full((2, len(X)), 0.5)", "np.ones(len(X))", "predict_proba: expected an array of shape"),
        ("np.full((len(X), 2), 0.5)", "np.ones((len(X), 1))", "predict: expected an array of shape"),
    ],
)
def test_predictions_of_wrong_shape_are_refused(
    challenge: Challenge, tmp_path: Path, toy_folder: Path, probability: str, selection: str, message: str
) -> None:
    workflow = challenge.problem.workflow
    X, y = challenge.problem.get_train_data(toy_folder)
    model = workflow.train_submission(spy(tmp_path, probability, selection), X, y, None)
    with pytest.raises(InvalidSubmission, match=message):
        workflow.test_submission(model, X)


def test_submission_without_the_class_is_refused(challenge: Challenge, tmp_path: Path) -> None:
    (tmp_path / "classifier.py").write_text("")
    with pytest.raises(InvalidSubmission, match="expected a class Classifier"):
        challenge.problem.workflow.train_submission(str(tmp_path), pd.DataFrame(), np.ones((0, 2)), None)


# ---- the kits ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kit_scores(challenge: Challenge, toy_folder: Path) -> dict[str, dict[str, float]]:
    """AMS on the test part of a kit trained on all (few) training events."""
    pytest.importorskip("xgboost", reason="the XGBoost kit needs xgboost")
    problem = challenge.problem
    (X, y), (X_test, y_test) = problem.get_train_data(toy_folder), problem.get_test_data(toy_folder)
    scores = {}
    for kit in KITS:
        folder = challenge.kits_folder / kit
        assert (folder / "submission.toml").is_file()
        model = problem.workflow.train_submission(str(folder), X, y, None)
        truth = problem.Predictions(y_true=y_test)
        predictions = problem.Predictions(y_pred=problem.workflow.test_submission(model, X_test))
        scores[kit] = {s.name: s.score_function(truth, predictions) for s in problem.score_types}
    return scores


def test_boosted_trees_beat_the_mass_window(kit_scores: dict[str, dict[str, float]]) -> None:
    window = kit_scores["mass_window"]
    for kit in KITS[1:]:
        assert kit_scores[kit]["ams"] > 1.3 * window["ams"]
        assert kit_scores[kit]["auc"] > window["auc"] + 0.05


def test_no_selection_beats_the_best_threshold_by_chance(kit_scores: dict[str, dict[str, float]]) -> None:
    # All kits select by a threshold on their own score.
    for scores in kit_scores.values():
        assert scores["ams"] <= scores["ams_max"] + 1e-9


@pytest.mark.skipif(not REAL.is_dir(), reason=f"real HiggsML events are not at {REAL}")
def test_mass_window_on_real_events_comes_near_its_published_score(challenge: Challenge) -> None:
    file = REAL / "atlas-higgs-challenge-2014-v2-first7521.csv.gz"
    problem: Any = challenge.problem
    (X, y), (X_test, y_test) = problem.get_train_data(file), problem.get_test_data(file)
    assert len(X) + len(X_test) == 7521
    model = problem.workflow.train_submission(str(challenge.kits_folder / "mass_window"), X, y, None)
    everything = np.concatenate([y, y_test])
    # Both halves stand for the full data set, so their events may be pooled.
    found = AMS()(everything, problem.workflow.test_submission(model, pd.concat([X, X_test])))
    assert found == pytest.approx(1.54, rel=0.1)
    assert problem.get_test_ids(REAL).tolist() == problem.get_test_ids(file).tolist()


def test_ramp_test_runs_the_challenge(toy_folder: Path) -> None:
    command = [
        sys.executable, "-c", "from rampwf.utils.cli.testing import start; start()", "--quick-test",
        "--ramp-kit-dir", str(ROOT / "challenges" / "higgsml"), "--ramp-data-dir", str(toy_folder),
        "--ramp-submission-dir", str(ROOT / "starting_kits" / "higgsml"), "--submission", "mass_window",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Bagged scores" in done.stdout
    assert "ams_max" in done.stdout
