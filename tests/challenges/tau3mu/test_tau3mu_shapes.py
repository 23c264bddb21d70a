"""Shapes learned of the published sample: relations kept, tables reproduced, shapes given back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.tau3mu import coordinates, shapes, toy
from hepchallenge.challenges.tau3mu.coordinates import COORDINATES, FEATURES, columns_from, coordinates_of
from hepchallenge.challenges.tau3mu.shapes import NODES, Shapes, learned


@pytest.fixture(scope="module")
def background() -> pd.DataFrame:
    return pd.DataFrame(toy.generate(60_000, seed=7)["correlation"])


def test_features_are_those_of_the_published_header_in_its_order(published: pd.DataFrame) -> None:
    assert list(published.columns) == ["id", *FEATURES, "mass"]
    assert len(FEATURES) == 46


def test_columns_come_back_from_coordinates(background: pd.DataFrame) -> None:
    tracks = {name: background[name].to_numpy() for t in range(3) for name in (f"p{t}_p", f"p{t}_eta")}
    again = columns_from(coordinates_of(background), tracks, background["mass"].to_numpy())
    for name in FEATURES:
        np.testing.assert_allclose(again[name], background[name], rtol=1e-6, err_msg=name)


def test_relations_of_columns_hold_in_the_published_sample(published: pd.DataFrame) -> None:
    assert (published["iso"] == published[["isolationd", "isolatione", "isolationf"]].sum(axis=1)).all()
    assert (published["CDF1"] >= published["CDF2"]).all()
    assert (published["CDF2"] >= published["CDF3"]).all()
    assert (published["p0_pt"] < published["p1_pt"]).all()
    summed = published[[f"p{t}_IsoBDT" for t in range(3)]].sum(axis=1)
    assert (np.abs(published["ISO_SumBDT"] - summed) < 1e-6).mean() > 0.9
    for t in range(3):
        np.testing.assert_allclose(
            published[f"p{t}_p"], published[f"p{t}_pt"] * np.cosh(published[f"p{t}_eta"]), rtol=1e-6
        )


def test_written_tables_are_those_of_the_published_sample(published: pd.DataFrame) -> None:
    fresh, kept = shapes.learn(published), learned()
    assert fresh.names == kept.names == tuple(COORDINATES)
    assert shapes.to_text(fresh.quantiles, 3) == shapes.to_text(kept.quantiles, 3)
    # Factors may be turned into each other; what they say about correlations may not change.
    np.testing.assert_allclose(fresh.correlation, kept.correlation, atol=0.05)


def test_quantiles_of_the_toy_are_those_of_the_published_sample(
    published: pd.DataFrame, background: pd.DataFrame
) -> None:
    for name in FEATURES:
        low, middle, high = np.quantile(published[name], [0.25, 0.5, 0.75])
        found = background[name].median()
        if name.startswith("iso"):  # Medians of small counts jump.
            middle, found = published[name].mean(), background[name].mean()
        assert abs(found - middle) < 0.15 * (high - low), name


def test_correlations_of_the_toy_are_those_of_the_published_sample(
    published: pd.DataFrame, background: pd.DataFrame
) -> None:
    names = [*FEATURES, "mass"]
    difference = published[names].corr("spearman") - background[names].corr("spearman")
    above = difference.to_numpy()[np.triu_indices(len(names), 1)]
    assert np.sqrt(np.mean(above**2)) < 0.07


def test_scores_and_values_are_inverse_to_each_other() -> None:
    kept, scores = learned(), np.linspace(-3, 3, 50)
    for name, scale in COORDINATES.items():
        values = kept.values(name, scores)
        assert (np.diff(values) >= 0).all(), name
        if scale == "count":
            assert (values == np.floor(values)).all()
        elif not name.startswith("CDF"):  # these end in a block of ones
            np.testing.assert_allclose(kept.scores(name, values), scores, atol=1e-9)


def test_values_beyond_the_outermost_quantiles_do_not_occur() -> None:
    kept = learned()
    for name in ("LifeTime", "VertexChi2"):
        assert kept.values(name, np.array([-9.0, 9.0])).tolist() == pytest.approx(
            [kept.quantiles[name][0], kept.quantiles[name][-1]]
        )


def test_conditional_shapes_give_the_correlations_back() -> None:
    names = ("pt", "eta", "LifeTime")
    loadings = dict(zip(names, np.array([[0.8], [-0.5], [0.4]]), strict=True))
    small = Shapes(dict.fromkeys(names, NODES), loadings)
    slope, left = small.conditional(("LifeTime",), ("pt", "eta"))
    rng = np.random.default_rng(0)
    given = np.linalg.cholesky(small.correlation[:2, :2]) @ rng.standard_normal((2, 200_000))
    drawn = slope @ given + left @ rng.standard_normal((1, 200_000))
    found = np.corrcoef(np.concatenate([given, drawn]))
    np.testing.assert_allclose(found, small.correlation, atol=0.01)
    assert drawn.std() == pytest.approx(1.0, abs=0.01)


def test_every_driver_is_a_coordinate_that_can_be_scored() -> None:
    assert set(coordinates.DRIVERS) <= set(COORDINATES)
    assert all(COORDINATES[name] != "count" for name in coordinates.DRIVERS)
