"""Toy samples: reproducible, with the published schema, ranges and proportions."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.tau3mu import kinematics, toy
from hepchallenge.challenges.tau3mu.coordinates import FEATURES
from hepchallenge.scoring.tau3mu import agreement_ks

Samples = dict[str, pd.DataFrame]


@pytest.fixture(scope="module")
def samples() -> Samples:
    return {name: pd.DataFrame(columns) for name, columns in toy.generate(40_000, seed=5).items()}


def test_equal_seeds_give_equal_events_and_others_do_not() -> None:
    first, again, other = (toy.generate(1000, seed) for seed in (4, 4, 5))
    for name, columns in first.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(values, again[name][column])
        assert not np.array_equal(columns["LifeTime"], other[name]["LifeTime"])


def test_too_few_events_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("n_events: expected at least 1000, got 999")):
        toy.generate(999, seed=0)


def test_samples_have_the_published_columns_and_shares(samples: Samples) -> None:
    extra = {
        "labelled": ["production", "signal", "mass", "min_ANNmuon"],
        "agreement": ["signal", "weight"],
        "correlation": ["mass"],
    }
    for name, columns in extra.items():
        assert list(samples[name].columns) == ["id", *FEATURES, *columns]
        assert np.isfinite(samples[name].to_numpy(float)).all()
        assert len(samples[name]) == round(40_000 * toy.SHARES[name])


def test_ids_are_unique_over_all_samples_and_tell_nothing(samples: Samples) -> None:
    ids = np.concatenate([frame["id"] for frame in samples.values()])
    assert len(set(ids)) == len(ids)
    labelled = samples["labelled"]
    assert abs(np.corrcoef(labelled["id"], labelled["signal"])[0, 1]) < 0.03
    assert abs(np.corrcoef(np.arange(len(labelled)), labelled["signal"])[0, 1]) < 0.03


def test_signal_and_muons_have_the_published_fractions(samples: Samples) -> None:
    labelled = samples["labelled"]
    assert labelled["signal"].mean() == pytest.approx(41_674 / 67_553, abs=1e-4)
    kept = (labelled["min_ANNmuon"] > 0.4).groupby(labelled["signal"]).mean()
    assert kept[1] == pytest.approx(30_213 / 41_674, abs=0.02)
    assert kept[0] == pytest.approx(7_799 / 25_879, abs=0.02)
    assert set(labelled.loc[labelled["signal"] == 0, "production"]) == {-99}
    assert -99 not in set(labelled.loc[labelled["signal"] == 1, "production"])


def test_tracks_are_in_acceptance_and_the_first_is_softer_than_the_second(samples: Samples) -> None:
    for frame in samples.values():
        assert (frame["p0_pt"] <= frame["p1_pt"] * 1.05).all()
        for track in range(3):
            assert frame[f"p{track}_eta"].between(1.8, 5.1).all()
            assert (frame[f"p{track}_pt"] > 0.97 * 300).all()
        assert frame["dira"].between(0.9, 1.0).all()


def test_masses_leave_out_the_window_in_labelled_background_only(samples: Samples) -> None:
    labelled = samples["labelled"]
    background = labelled.loc[labelled["signal"] == 0, "mass"]
    signal = labelled.loc[labelled["signal"] == 1, "mass"]
    assert background.between(*toy.MASS_RANGE).all()
    assert (np.abs(background - kinematics.TAU_MASS) > 19.9).all()
    assert signal.mean() == pytest.approx(kinematics.TAU_MASS, abs=1.0)
    assert 3 < signal.std() < 15
    mass = samples["correlation"]["mass"]
    inside = (np.abs(mass - kinematics.TAU_MASS) < 20).mean()
    # Density 3.2 over 40 of 350 MeV, 1 over the others.
    assert inside == pytest.approx(3.2 * 40 / (3.2 * 40 + 310), abs=0.03)


def test_correlation_sample_has_the_published_masses(published: pd.DataFrame, samples: Samples) -> None:
    edges = np.arange(1600, 1951, 25)
    for_toy, expected = (
        np.histogram(frame["mass"], edges)[0] / len(frame) for frame in (samples["correlation"], published)
    )
    assert np.abs(for_toy - expected).max() < 0.02


def test_splot_weights_sum_to_the_decays_and_take_off_what_is_under_the_peak() -> None:
    rng, n = np.random.default_rng(0), 50_000
    true = rng.random(n) < toy.CONTROL_PURITY
    flat = rng.uniform(kinematics.DS_MASS - 40, kinematics.DS_MASS + 40, n)
    mass = np.where(true, kinematics.DS_MASS + 8 * rng.standard_normal(n), flat)
    weight = toy._splot_weight(mass)
    assert weight.min() < 0
    assert weight.sum() == pytest.approx(true.sum(), rel=0.01)
    # A quantity that is 0 for decays and 1 for the rest has the weighted mean 0.
    assert abs(np.average(~true, weights=weight)) < 0.01


def test_simulation_is_wrong_about_hits_and_right_about_vertices(samples: Samples) -> None:
    frame = samples["agreement"]

    def distance(name: str) -> float:
        ranks = frame[name].rank(pct=True)
        return agreement_ks(ranks, frame["signal"], frame["weight"])

    assert distance("SPDhits") > 0.2
    assert distance("VertexChi2") < 0.04
    assert frame.loc[frame["signal"] == 0, "weight"].min() < 0
    assert (frame.loc[frame["signal"] == 1, "weight"] == 1).all()


def test_no_value_is_piled_up_where_the_shapes_end(samples: Samples) -> None:
    labelled = samples["labelled"]
    for name in ("LifeTime", "IPSig", "VertexChi2", "DOCAone"):
        assert labelled[name].duplicated().mean() < 1e-3, name
