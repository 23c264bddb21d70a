"""The 2016 anomaly problem: its published scores, its data, and the toy with its hidden truth."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hepchallenge.challenges.anomaly import breakdown, data, problem
from hepchallenge.challenges.higgsml import kinematics
from hepchallenge.data import read_table
from hepchallenge.data.prepared import prepare_source, prepare_toy
from hepchallenge.exceptions import DataError

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "anomaly"
REFERENCE = ROOT.parent / "shared" / "vectors" / "anomaly_reference.json"
KITS = ROOT / "starting_kits" / "anomaly"


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def real() -> str:
    if not REAL.is_dir():
        pytest.skip(f"no published files in {REAL}")
    return str(REAL)


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_toy("anomaly", data.make_toy_data, seed=4, events=30_000)


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    return data.generate(30_000, seed=4)


def _classifier(kit: str) -> Any:
    spec = importlib.util.spec_from_file_location("classifier", KITS / kit / "classifier.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Classifier()


def _score(y: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    truth, predicted = problem.Predictions(y_true=y), problem.Predictions(y_pred=probabilities)
    return {kind.name: kind.score_function(truth, predicted) for kind in problem.score_types}


def test_the_baseline_reproduces_its_published_scores(real: str) -> None:
    if not REFERENCE.exists():
        pytest.skip(f"no reference values at {REFERENCE}")
    reference = json.loads(REFERENCE.read_text())
    X, y = problem.get_train_data(real)
    X_test, y_test = problem.get_test_data(real)
    found: dict[str, list[dict[str, float]]] = {"train": [], "valid": [], "test": []}
    for train, valid in problem.get_cv(X, y):
        model = _classifier("random_forest").fit(X[train], y[train])
        found["train"].append(_score(y[train], model.predict_proba(X[train])))
        found["valid"].append(_score(y[valid], model.predict_proba(X[valid])))
        found["test"].append(_score(y_test, model.predict_proba(X_test)))
    for part, folds in found.items():
        assert len(folds) == 8
        for metric, published in reference["published_starting_kit"][part].items():
            mean = np.mean([fold[metric] for fold in folds])
            assert round(float(mean), 3) == published, (part, metric)
            rerun = reference["rerun_starting_kit_mean_std"][part][metric][0]
            assert mean == pytest.approx(rerun, rel=1e-9), (part, metric)


def test_published_rows_columns_and_classes_are_read_as_they_are(real: str) -> None:
    for read, name in ((problem.get_train_data, "train"), (problem.get_test_data, "test")):
        X, y = read(real)
        expected = pd.read_csv(REAL / f"{name}.csv.gz")
        assert list(expected.columns) == [*data.FEATURES, "isSkewed"]
        np.testing.assert_array_equal(X, expected[list(data.FEATURES)].to_numpy())
        np.testing.assert_array_equal(y, expected.isSkewed.to_numpy())


def test_recomputed_columns_lift_the_area_to_the_reported_value_on_real_data(real: str) -> None:
    X, y = problem.get_train_data(real)
    X_test, y_test = problem.get_test_data(real)
    area = {}
    for kit in ("gradient_boosting", "recomputed_der"):
        model = _classifier(kit).fit(X[::2], y[::2])
        area[kit] = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
    assert area["gradient_boosting"] == pytest.approx(0.645, abs=0.015)
    assert area["recomputed_der"] == pytest.approx(0.80, abs=0.015)


def test_the_recomputed_columns_of_the_kit_are_those_of_the_challenge(events: pd.DataFrame) -> None:
    kit = _classifier("recomputed_der")
    good = events[events.isSkewed == 0].head(2000)
    residuals = kit.transform(good[list(data.FEATURES)].to_numpy())[:, 16:]
    assert residuals.shape == (2000, 6)
    assert np.abs(residuals).max() < 0.00051


@pytest.mark.parametrize("kit", ["random_forest", "gradient_boosting", "recomputed_der"])
def test_every_kit_gives_probabilities_and_predictions_on_the_toy(kit: str, toy_folder: Path) -> None:
    X, y = problem.get_train_data(toy_folder)
    X, y = X[:3000], y[:3000]
    model = _classifier(kit).fit(X, y)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (3000, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    assert set(model.predict(X)) <= {0, 1}


def test_the_baseline_scores_on_the_toy_about_what_it_scored_in_2016() -> None:
    table = data.generate(seed=0)
    X, y = table[list(data.FEATURES)].to_numpy(), table.isSkewed.to_numpy()
    model = _classifier("random_forest").fit(X[:40_000], y[:40_000])
    assert roc_auc_score(y[80_000:], model.predict_proba(X[80_000:])[:, 1]) == pytest.approx(0.53, abs=0.015)


def test_the_challenge_folder_without_data_gives_toy_events_and_no_hidden_truth() -> None:
    folder = prepare_toy("anomaly", data.make_toy_data, seed=1, events=1000)
    X, y = problem.get_train_data(folder)
    X_test, y_test = problem.get_test_data(folder)
    assert X.shape == (800, 16)
    assert X_test.shape == (200, 16)
    assert X.dtype == np.float64
    assert y.dtype == y_test.dtype == np.int64
    assert set(y) == {0, 1}
    X[0, 0] = y[0] = 1  # kits may write to what they get


def test_toy_events_are_the_same_for_the_same_seed_only() -> None:
    first = data.generate(1000, seed=2)
    pd.testing.assert_frame_equal(first, data.generate(1000, seed=2))
    assert not first.PRI_tau_pt.equals(data.generate(1000, seed=3).PRI_tau_pt)


def test_toy_classes_and_kinds_have_the_measured_fractions(events: pd.DataFrame) -> None:
    assert (events.isSkewed == 0).mean() == pytest.approx(0.50803, abs=1e-4)
    assert ((events.distortion == data.ORIGINAL) == (events.isSkewed == 0)).all()
    skewed = events[events.isSkewed == 1]
    for kind, fraction in data.OUTLIERS.items():
        assert (skewed.distortion == kind).mean() == pytest.approx(fraction, abs=0.006), kind
    # Order tells nothing: each tenth of the rows is half and half.
    assert (np.abs(events.isSkewed.groupby(np.arange(30_000) // 3000).mean() - 0.492) < 0.04).all()


def test_toy_values_have_three_decimals_in_both_classes(events: pd.DataFrame) -> None:
    features = events[list(data.FEATURES)].to_numpy()
    assert np.array_equal(features, np.round(features, 3))


def test_each_kind_of_distortion_does_what_its_name_says(events: pd.DataFrame) -> None:
    kind = dict(list(events.groupby("distortion")))
    assert events.PRI_tau_pt[events.isSkewed == 0].min() < 20.1
    assert events.PRI_tau_pt[events.isSkewed == 1].min() >= 21.0
    assert (kind["tau_eta"].PRI_tau_eta == 2.8).all()
    assert events.PRI_tau_eta[events.distortion != "tau_eta"].abs().max() <= 2.5
    assert kind["lepton_pt"].PRI_lep_pt.min() >= 260.0
    shifted, plain = kind["met_shift"].PRI_met, kind[data.COLLECTIVE].PRI_met
    assert shifted.min() >= 50.0
    assert shifted.median() - plain.median() == pytest.approx(50.0, abs=3.0)


def _recomputed(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    tau, lep = ((rows[f"PRI_{p}_pt"], rows[f"PRI_{p}_eta"], rows[f"PRI_{p}_phi"]) for p in ("tau", "lep"))
    met = (rows.PRI_met, rows.PRI_met_phi)
    return {
        "DER_mass_transverse_met_lep": kinematics.transverse_mass(lep[0], lep[2], *met),
        "DER_mass_vis": kinematics.invariant_mass(*tau, *lep),
        "DER_pt_h": kinematics.vector_sum_pt((tau[0], tau[2]), (lep[0], lep[2]), met),
        "DER_deltar_tau_lep": kinematics.delta_r(*tau[1:], *lep[1:]),
        "DER_pt_ratio_lep_tau": (lep[0] / tau[0]).to_numpy(),
        "DER_met_phi_centrality": kinematics.met_phi_centrality(met[1], tau[2], lep[2]),
    }


def test_derived_columns_fit_the_primitive_ones_alike_in_both_classes(events: pd.DataFrame) -> None:
    rows = events[events.distortion != "phi_swap"]
    for name, values in _recomputed(rows).items():
        residual = np.abs(values - rows[name])
        assert residual.max() < 0.00051, name
        means = residual.groupby(rows.isSkewed).mean()
        assert means[0] == pytest.approx(means[1], rel=0.1), name


def test_exchanged_azimuths_leave_the_columns_that_they_change_stale(events: pd.DataFrame) -> None:
    rows = events[events.distortion == "phi_swap"]
    back = rows.assign(PRI_tau_phi=rows.PRI_lep_phi, PRI_lep_phi=rows.PRI_tau_phi)
    stale, restored = _recomputed(rows), _recomputed(back)
    for name, values in restored.items():
        assert np.abs(values - rows[name]).max() < 0.00051, name
    for name in ("DER_mass_transverse_met_lep", "DER_pt_h"):
        assert np.median(np.abs(stale[name] - rows[name])) > 3.0, name


def test_taus_are_lost_in_the_holes() -> None:
    table = data.generate(200_000, seed=6)
    for eta, phi, radius, efficiency in data.HOLES:
        inside = kinematics.delta_r(table.PRI_tau_eta, table.PRI_tau_phi, eta, phi) < radius
        usual = ~table.distortion.isin(["tau_eta", "phi_swap"])
        skewed, original = ((inside & usual & (table.isSkewed == label)).sum() for label in (1, 0))
        scale = (usual & (table.isSkewed == 1)).sum() / (table.isSkewed == 0).sum()
        spread = 4.0 * np.sqrt(efficiency / original)
        assert skewed / (scale * original) == pytest.approx(efficiency, abs=spread)


def test_the_hidden_truth_belongs_to_the_rows_of_the_test_data(toy_folder: Path) -> None:
    _, y = problem.get_test_data(toy_folder)
    kinds = breakdown.read_distortions(toy_folder)
    np.testing.assert_array_equal(kinds != data.ORIGINAL, y == 1)
    assert len(breakdown.read_distortions(toy_folder, "train")) == 24_000


def test_real_data_have_no_hidden_truth(real: str) -> None:
    with pytest.raises(DataError, match="distortion: expected toy data"):
        breakdown.read_distortions(real)


def test_the_breakdown_shows_which_distortions_a_score_finds(toy_folder: Path) -> None:
    X, _ = problem.get_test_data(toy_folder)
    kinds = breakdown.read_distortions(toy_folder)
    result = breakdown.breakdown(np.abs(X[:, data.FEATURES.index("PRI_tau_eta")]), kinds)
    assert list(result) == ["all", *data.OUTLIERS, data.COLLECTIVE]
    assert result["tau_eta"].auc == 1.0
    assert result["tau_eta"].found == 1.0
    assert result["met_shift"].auc == pytest.approx(0.5, abs=0.06)
    assert result["met_shift"].found == pytest.approx(0.05, abs=0.05)
    assert result["all"].events == sum(score.events for name, score in result.items() if name != "all")


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from(["original", "tau_eta", "met_shift"])),
        min_size=2,
        max_size=60,
    ).filter(lambda rows: 0 < sum(kind == "original" for _, kind in rows) < len(rows)),
    st.floats(0.01, 0.99),
)
def test_the_breakdown_agrees_with_counting_pairs(rows: list[tuple[int, str]], false_alarms: float) -> None:
    scores, kinds = [row[0] for row in rows], [row[1] for row in rows]
    good = [score for score, kind in rows if kind == "original"]
    for name, result in breakdown.breakdown(scores, kinds, false_alarms=false_alarms).items():
        odd = [score for score, kind in rows if kind == name or (name == "all" and kind != "original")]
        pairs = [(a > b) + 0.5 * (a == b) for a in odd for b in good]
        assert result.auc == pytest.approx(np.mean(pairs))
        cuts = [c for c in range(-1, 7) if np.mean(np.array(good) > c) <= false_alarms]
        assert result.found == pytest.approx(np.mean(np.array(odd) > min(cuts)))


@pytest.mark.parametrize(
    ("score", "kinds", "message"),
    [
        ([0.1], ["original", "tau_eta"], "one shape"),
        ([0.1, np.nan], ["original", "tau_eta"], "finite, found nan"),
        ([0.1, 0.2], ["original", "fire"], "found fire"),
        ([0.1, 0.2], ["tau_eta", "tau_eta"], "both original and distorted"),
    ],
)
def test_the_breakdown_refuses_what_it_cannot_score(
    score: list[float], kinds: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        breakdown.breakdown(score, kinds)


def _publish(folder: Path, name: str, **changes: Any) -> None:
    table = data.generate(500, seed=1).drop(columns="distortion").assign(**changes)
    with gzip.open(folder / f"{name}.csv.gz", "wt") as stream:
        table.to_csv(stream, index=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    _publish(tmp_path, "train")
    with pytest.raises(DataError, match=r"train\.csv and test\.csv .*found no test\.csv"):
        prepare_source("anomaly", data.prepare_data, tmp_path)


@pytest.mark.parametrize(
    ("label", "message"),
    [(2, r"isSkewed, row 1: expected 0 or 1, found 2"), (1, r"expected both original .* found only 1")],
)
def test_impossible_labels_are_named(tmp_path: Path, label: int, message: str) -> None:
    _publish(tmp_path, "train")
    _publish(tmp_path, "test", isSkewed=label)
    with pytest.raises(DataError, match=message):
        prepare_source("anomaly", data.prepare_data, tmp_path)


def test_a_table_with_the_truth_of_the_distortions_is_not_a_published_one(tmp_path: Path) -> None:
    _publish(tmp_path, "train", distortion="original")
    _publish(tmp_path, "test")
    with pytest.raises(DataError, match="column distortion"):
        prepare_source("anomaly", data.prepare_data, tmp_path)


def test_prepared_tables_hold_the_published_columns(tmp_path: Path) -> None:
    _publish(tmp_path, "train")
    _publish(tmp_path, "test")
    prepared = prepare_source("anomaly", data.prepare_data, tmp_path)
    assert read_table(prepared, "test").column_names == [*data.FEATURES, "isSkewed"]


def test_too_few_events_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 500, found 10"):
        data.generate(10)
