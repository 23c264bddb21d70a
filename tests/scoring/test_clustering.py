"""The clustering efficiency of the 2D tracking hackathon."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rampwf.score_types import ClusteringEfficiency as Original

from hepchallenge.scoring.clustering import (
    ClusteringEfficiency,
    clustering_efficiencies,
    clustering_efficiency,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"reference values are not at {VECTORS}")

hits = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(-1, 3), st.integers(-2, 4)), min_size=1, max_size=40
).map(np.array)


@needs_vectors
def test_every_reference_case_has_its_value() -> None:
    cases = json.loads((VECTORS / "clustering_efficiency.json").read_text())["cases"]
    assert len(cases) == 13
    for case in cases:
        found = clustering_efficiency(case["event_id"], case["cluster_true"], case["cluster_pred"])
        assert found == pytest.approx(case["expected"], rel=1e-9), case["case"]


@needs_vectors
def test_the_starting_kit_has_its_value_on_the_small_test_set() -> None:
    expected = json.loads((VECTORS / "clustering_efficiency.json").read_text())["mini_kit"]
    with (VECTORS / "hep_tracking_mini_test_starting_kit_pred.csv").open(newline="") as file:
        rows = np.array([[int(word) for word in row] for row in list(csv.reader(file))[1:]])
    assert len(rows) == expected["n_hits_test"]
    assert clustering_efficiency(*rows.T) == pytest.approx(expected["starting_kit_test"], rel=1e-9)
    assert len(clustering_efficiencies(*rows.T)) == expected["n_events_test"]


@settings(deadline=None)
@given(hits, st.sampled_from([np.int64, np.float64]))
def test_score_type_equals_the_one_of_ramp_workflow(rows: np.ndarray, dtype: type) -> None:
    y_true, y_pred = rows[:, :2].astype(dtype), rows[:, [0, 2]].astype(dtype)
    assert ClusteringEfficiency()(y_true, y_pred) == pytest.approx(Original()(y_true, y_pred), abs=1e-12)


def test_score_type_looks_like_the_one_of_ramp_workflow() -> None:
    ours, theirs = ClusteringEfficiency(), Original()
    for name in ("name", "precision", "is_lower_the_better", "minimum", "maximum", "worst"):
        assert getattr(ours, name) == getattr(theirs, name)


@settings(deadline=None)
@given(hits, st.randoms(use_true_random=False))
def test_score_does_not_depend_on_the_order_of_the_hits(rows: np.ndarray, random) -> None:
    order = random.sample(range(len(rows)), len(rows))
    np.testing.assert_allclose(clustering_efficiencies(*rows[order].T), clustering_efficiencies(*rows.T))


@settings(deadline=None)
@given(hits)
def test_score_is_from_zero_to_one_and_one_for_the_truth(rows: np.ndarray) -> None:
    values = clustering_efficiencies(*rows.T)
    assert ((values >= 0) & (values <= 1)).all()
    assert clustering_efficiency(rows[:, 0], rows[:, 1], rows[:, 1] + 1) == pytest.approx(1)


@settings(deadline=None)
@given(hits)
def test_events_do_not_know_of_each_other(rows: np.ndarray) -> None:
    alone = [clustering_efficiency(*rows[rows[:, 0] == event].T) for event in np.unique(rows[:, 0])]
    np.testing.assert_allclose(clustering_efficiencies(*rows.T), alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([-1] * 5, 0.0), ([2] * 5, 0.6), ([0, 1, 2, 3, 4], 0.4)],
    ids=["nothing", "one label", "one label a hit"],
)
def test_empty_answers_score_what_theory_says(labels: list[int], expected: float) -> None:
    assert clustering_efficiency([1] * 5, [0, 0, 0, 1, 1], labels) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [], []), "no hits"),
        (([1], [1], [1, 2]), "cluster_pred must have the shape"),
        (([1], [1], [0.5]), "cluster_pred must be whole numbers, got 0.5 in row 0"),
        (([1], [1], [math.nan]), "cluster_pred must be whole numbers, got nan"),
        (([1], [1], ["a"]), "cluster_pred must be whole numbers"),
        (([[1]], [1], [1]), "event_id must have one dimension"),
    ],
)
def test_what_has_no_meaning_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clustering_efficiency(*arguments)


def test_an_array_of_labels_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="the prediction must have shape"):
        ClusteringEfficiency()(np.zeros((3, 2)), np.zeros(3))
