"""The published files of the hackathon: read as they are, and scored as in 2017."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from hepchallenge.challenges.tracking2d import problem, simulation

if TYPE_CHECKING:
    from tracking2d_kits import Predict

READERS = {"train": problem.get_train_data, "test": problem.get_test_data}
efficiency = problem.score_types[0]


@pytest.mark.parametrize("part", READERS)
def test_published_hits_are_read_as_they_are(real: Path, part: str) -> None:
    X, y = READERS[part](real)
    expected = pd.read_csv(real / f"{part}.csv")
    np.testing.assert_array_equal(X, expected[["event_id", "layer", "iphi", "x", "y"]].to_numpy())
    np.testing.assert_array_equal(y, expected[["event_id", "cluster_id"]].to_numpy())
    assert X.dtype == np.float64
    assert y.dtype == np.int64
    X[0, 0] = y[0, 0] = 1  # submissions may write to what they get


@pytest.mark.parametrize("part", READERS)
def test_published_positions_are_those_of_our_cells_lower_edges(real: Path, part: str) -> None:
    X, _ = READERS[part](real)
    layer, iphi = X[:, 1].astype(int), X[:, 2].astype(int)
    phi = simulation.cell_phi(layer, iphi)
    radius = simulation.RADII[layer]
    np.testing.assert_allclose(np.c_[radius * np.cos(phi), radius * np.sin(phi)], X[:, 3:], atol=1e-9)


def test_the_starting_kit_reproduces_its_scores_and_labels(
    real: Path, vectors: Path, predict: Predict
) -> None:
    expected = json.loads((vectors / "clustering_efficiency.json").read_text())["mini_kit"]
    X, y = problem.get_train_data(real)
    [(train, valid)] = problem.get_cv(X, y)
    labels = predict("nearest_hit", X)
    assert efficiency(y[train], labels[train]) == pytest.approx(expected["starting_kit_cv_train"], abs=1e-12)
    assert efficiency(y[valid], labels[valid]) == pytest.approx(expected["starting_kit_cv_valid"], abs=1e-12)
    X_test, y_test = problem.get_test_data(real)
    labels = predict("nearest_hit", X_test)
    assert efficiency(y_test, labels) == pytest.approx(expected["starting_kit_test"], abs=1e-12)
    published = pd.read_csv(vectors / "hep_tracking_mini_test_starting_kit_pred.csv")
    np.testing.assert_array_equal(labels[:, 1], published.starting_kit_pred)


def test_circles_beat_the_starting_kit_on_published_events(real: Path, predict: Predict) -> None:
    X, y = problem.get_test_data(real)
    assert efficiency(y, predict("hough", X)) > 0.97
    assert efficiency(y, predict("combinatorial", X)) > 0.995


def test_the_toy_resembles_the_published_events(real: Path) -> None:
    parts = [pd.read_csv(real / f"{part}.csv").assign(part=part) for part in READERS]
    hits = pd.concat(parts)
    toy = simulation.simulate(2000, seed=8)

    def particles(table: pd.DataFrame, event: list[str]) -> pd.Series:
        return table.groupby([*event, "cluster_id"]).size()

    for measure in (
        lambda table, event: particles(table, event).groupby(event).size(),  # particles of an event
        particles,  # hits of a particle
        lambda table, event: table.groupby(event).size(),  # hits of an event
    ):
        found, expected = measure(hits, ["part", "event_id"]), measure(toy, ["event_id"])
        assert abs(found.mean() - expected.mean()) < 3.5 * expected.std() / np.sqrt(len(found))
    share = [table.groupby("layer").size() / len(table) for table in (hits, toy)]
    np.testing.assert_allclose(*share, atol=4.0 * np.sqrt(0.111 / len(hits)))
