"""Toy HiggsML events: the format of the published file, its habits, and the published scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.higgsml import kinematics, toy

REAL = (
    Path(__file__).resolve().parents[3]
    / "shared"
    / "data"
    / "higgsml"
    / "atlas-higgs-challenge-2014-v2-first7521.csv.gz"
)


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    return toy.generate(60_000, seed=3)


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    if not REAL.exists():
        pytest.skip(f"no published events at {REAL}")
    return pd.read_csv(REAL)


def _ams(selected: np.ndarray, events: pd.DataFrame) -> float:
    weight, signal = events.KaggleWeight.to_numpy(), (events.Label == "s").to_numpy()
    s, b = weight[selected & signal].sum(), weight[selected & ~signal].sum()
    return float(np.sqrt(2.0 * ((s + b + 10.0) * np.log1p(s / (b + 10.0)) - s)))


def test_columns_and_types_are_those_of_the_published_file(events: pd.DataFrame, real: pd.DataFrame) -> None:
    assert list(events.columns) == list(real.columns)
    for name in real.columns:
        assert events[name].dtype.kind == real[name].dtype.kind or events[name].dtype == object, name
    assert events.EventId.is_unique
    assert events.EventId.iloc[0] == real.EventId.iloc[0]


def test_equal_seeds_give_equal_events_and_others_do_not() -> None:
    first, second = toy.generate(500, seed=7), toy.generate(500, seed=7)
    pd.testing.assert_frame_equal(first, second)
    assert not first.PRI_tau_pt.equals(toy.generate(500, seed=8).PRI_tau_pt)


def test_derived_columns_come_from_the_rounded_primitive_ones_in_both_classes(events: pd.DataFrame) -> None:
    for name, values in kinematics.derived(events).items():
        np.testing.assert_allclose(events[name], values, rtol=0.0, atol=0.000501, err_msg=name)
    features = events[list(toy.COLUMNS[1:31])].to_numpy(dtype=float)
    assert np.array_equal(features, np.round(features, 3))


def test_missing_codes_stand_as_in_the_published_file(events: pd.DataFrame, real: pd.DataFrame) -> None:
    def pattern(table: pd.DataFrame) -> set[tuple[int, ...]]:
        features = table.drop(columns=["DER_mass_MMC", "Label", "KaggleSet"])
        missing = (features == -999).to_numpy().astype(int)
        return {tuple(row) for row in np.unique(np.column_stack([table.PRI_jet_num, missing]), axis=0)}

    assert pattern(events) == pattern(real)
    assert (events.loc[events.PRI_jet_num == 0, "PRI_jet_all_pt"] == 0).all()
    assert events.notna().all(axis=None)


def test_a_missing_mass_is_as_frequent_as_published(events: pd.DataFrame, real: pd.DataFrame) -> None:
    for label in "sb":
        toy_rate, rate = (
            (table.DER_mass_MMC[table.Label == label] == -999).mean() for table in (events, real)
        )
        assert abs(toy_rate - rate) < 0.06, label


def test_thresholds_of_the_selection_hold(events: pd.DataFrame) -> None:
    assert events.PRI_tau_pt.min() >= 20.0
    assert events.PRI_lep_pt.min() >= 26.0
    assert events[["PRI_tau_eta", "PRI_lep_eta"]].abs().max().max() <= 2.5
    jets = events[events.PRI_jet_num >= 2]
    assert jets.PRI_jet_subleading_pt.min() >= 30.0
    assert (jets.PRI_jet_leading_pt >= jets.PRI_jet_subleading_pt).all()
    both = jets.PRI_jet_leading_pt + jets.PRI_jet_subleading_pt
    two = jets.PRI_jet_num == 2
    np.testing.assert_allclose(jets.PRI_jet_all_pt[two], both[two], atol=0.0021)
    assert (jets.PRI_jet_all_pt[~two] > both[~two] + 29.9).all()


def test_weights_sum_to_the_published_totals_in_the_file_and_in_every_set(events: pd.DataFrame) -> None:
    totals = {"s": 691.9886077135781, "b": 410999.84732187376}
    for label, total in totals.items():
        rows = events[events.Label == label]
        assert rows.Weight.sum() == pytest.approx(total, rel=1e-12)
        for name, weights in rows.groupby("KaggleSet").KaggleWeight:
            assert weights.sum() == pytest.approx(total, rel=1e-12), name
    assert (events.Weight > 0).all()


def test_signal_weights_are_discrete_and_background_weights_span_orders_of_magnitude(
    events: pd.DataFrame,
) -> None:
    background = events.Weight[events.Label == "b"]
    assert events.Weight[events.Label == "s"].nunique() == 4
    assert background.nunique() > 10_000
    assert background.quantile(0.99) / background.min() > 50


@pytest.mark.parametrize("n_events", [200, 1001, 60_000])
def test_sets_and_classes_have_the_published_proportions(n_events: int) -> None:
    table = toy.generate(n_events, seed=1)
    assert len(table) == n_events
    for name, published in toy.SET_EVENTS.items():
        assert abs((table.KaggleSet == name).sum() - n_events * published / 818_238) < 1, name
    assert abs((table.Label == "s").mean() - 0.342668) < 1 / n_events
    # Training rows come first, unused ones last, as published; public and private ones are mixed.
    runs = table.KaggleSet.ne(table.KaggleSet.shift()).cumsum()
    assert runs.groupby(table.KaggleSet).nunique()[["t", "u"]].tolist() == [1, 1]
    assert runs.groupby(table.KaggleSet).nunique()["b"] > 5


def test_too_few_events_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 200, found 199"):
        toy.generate(199)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("DER_mass_MMC", 0.10),
        ("DER_mass_transverse_met_lep", 0.30),
        ("DER_mass_vis", 0.10),
        ("PRI_tau_pt", 0.10),
        ("PRI_lep_pt", 0.10),
        ("PRI_met", 0.20),
        ("PRI_met_sumet", 0.20),
        ("PRI_jet_leading_pt", 0.20),
        ("PRI_jet_subleading_pt", 0.15),
        ("DER_deltar_tau_lep", 0.10),
    ],
)
def test_medians_are_near_the_published_ones(
    events: pd.DataFrame, real: pd.DataFrame, name: str, allowed: float
) -> None:
    for label in "sb":
        found, expected = (
            table.loc[(table.Label == label) & (table[name] != -999), name].median()
            for table in (events, real)
        )
        assert found == pytest.approx(expected, rel=allowed), label


def test_the_mass_estimate_peaks_at_the_resonances() -> None:
    table, process = toy._generate(30_000, seed=5)
    mass = table.DER_mass_MMC.where(table.DER_mass_MMC > 0)
    assert mass[process == "ggH"].median() == pytest.approx(120, abs=5)
    assert mass[process == "Ztautau_01j"].median() == pytest.approx(95, abs=5)


def test_the_mass_window_scores_as_published(events: pd.DataFrame) -> None:
    tested = events[events.KaggleSet.isin(["b", "v"])]
    window = ((tested.DER_mass_MMC - 125.0).abs() < 22.0).to_numpy()
    scale = np.array([(events.KaggleSet == name).mean() for name in "bv"])
    tested = tested.assign(
        KaggleWeight=tested.KaggleWeight
        * tested.KaggleSet.map(dict(zip("bv", scale / scale.sum(), strict=True)))
    )
    assert _ams(window, tested) == pytest.approx(1.54, rel=0.15)


def test_xgboost_scores_as_published_and_beats_the_mass_window() -> None:
    xgboost = pytest.importorskip("xgboost")
    events = toy.generate(seed=0)
    signal, weight = (events.Label == "s").to_numpy(), events.KaggleWeight.to_numpy()
    train, private = ((events.KaggleSet == name).to_numpy() for name in "tv")
    X = events[list(toy.COLUMNS[1:31])].to_numpy(dtype=float)
    balance = weight[train & ~signal].sum() / weight[train & signal].sum()
    settings = {
        "objective": "binary:logitraw",
        "eta": 0.1,
        "max_depth": 6,
        "scale_pos_weight": balance,
        "nthread": 1,
    }
    # As in the published demonstration, weights are those of a sample of 550 000 events.
    scaled = weight[train] * 550_000 / train.sum()
    known = xgboost.DMatrix(X[train], label=signal[train], weight=scaled, missing=-999.0)
    model = xgboost.train(settings, known, 120)
    score = model.predict(xgboost.DMatrix(X[private], missing=-999.0))
    window = ((events.DER_mass_MMC[private] - 125.0).abs() < 22.0).to_numpy()
    found = _ams(score > np.quantile(score, 0.85), events[private])
    assert found > 2.0 * _ams(window, events[private])
    assert found == pytest.approx(3.6, rel=0.15)
