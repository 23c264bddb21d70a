"""Outliers, median and spread of many trainings: published values and edge cases."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.scoring.trainings import kept_runs, median_run, spread

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"reference values are not at {VECTORS}")

values = st.lists(st.integers(1, 2000).map(float), min_size=1, max_size=12)


@needs_vectors
def test_published_runs_give_the_published_numbers_to_the_last_digit() -> None:
    expected = json.loads((VECTORS / "toptag_runs.json").read_text())
    assert len(expected["runs"]) == 5
    for name, runs in expected["runs"].items():
        published = expected["published_aggregate"][name]
        kept = kept_runs(runs["bg_reject"])
        rejection, auc = spread(runs["bg_reject"]), spread(runs["auc"], kept)
        assert (rejection.n_kept, rejection.n_runs) == (published["n_kept"], 9)
        assert (rejection.median, rejection.std) == (published["median_rej30"], published["std_rej30"])
        assert (auc.median, auc.std) == (published["median_auc"], published["std_auc"])


@needs_vectors
def test_the_median_training_is_the_one_that_the_published_table_shows() -> None:
    runs = json.loads((VECTORS / "toptag_runs.json").read_text())["runs"]
    with (VECTORS / "toptag_landscape_table.csv").open(newline="") as file:
        table = {row["tagger"]: row for row in csv.DictReader(file)}
    for name, found in runs.items():
        chosen = median_run(found["auc"])
        assert found["auc"][chosen] == float(table[name]["median_run_auc"])
        assert found["bg_reject"][chosen] == float(table[name]["median_run_rej30"])
        assert found["accuracy"][chosen] == float(table[name]["median_run_acc"])
        assert spread(found["bg_reject"]).std == float(table[name]["single_rej30_std"])


def test_a_training_with_inverted_labels_is_left_out() -> None:
    kept = kept_runs([893, 1, 817, 856, 856, 905, 831, 841, 811])
    assert not kept[1]
    # So is one that is good, but unlike all others.
    assert not kept_runs([893, 2000, 817, 856, 856, 905, 831, 841, 811])[1]


def test_a_training_at_the_limit_of_three_standard_deviations_is_kept() -> None:
    # The core is 1, 2, of mean 1.5 and standard deviation 0.5.
    assert kept_runs([0.0, 1.0, 2.0, 3.0]).all()
    assert kept_runs([-0.1, 1.0, 2.0, 3.0]).tolist() == [False, True, True, True]


def test_the_core_of_seven_trainings_leaves_out_the_best_and_the_worst() -> None:
    # Of mean 12 and standard deviation 1.41, so that 7.76 to 16.24 is kept.
    assert kept_runs([0.0, 10, 11, 12, 13, 14, 16.2]).tolist() == [False, *[True] * 6]


def test_equal_trainings_are_all_kept_and_have_no_spread() -> None:
    # The mean of seven times this number differs from it in the last digit.
    found = spread([403.0219560878243] * 7)
    assert (found.n_kept, found.median) == (7, 403.0219560878243)
    assert found.std < 1e-12


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_training_of_three_or_fewer_is_an_outlier(number: int) -> None:
    assert kept_runs([1.0, 2.0, 1000.0][:number]).all()


@settings(deadline=None)
@given(values)
def test_the_unit_of_the_values_does_not_matter(drawn: list[float]) -> None:
    found, scaled = spread(drawn), spread(np.array(drawn) * 2.0)
    assert (scaled.n_kept, scaled.median) == (found.n_kept, 2 * found.median)
    assert scaled.std == pytest.approx(2 * found.std)


@settings(deadline=None)
@given(values)
def test_the_median_of_the_kept_lies_among_them(drawn: list[float]) -> None:
    kept = np.array(drawn)[kept_runs(drawn)]
    found = spread(drawn)
    assert len(kept) == found.n_kept >= 1
    assert kept.min() <= found.median <= kept.max()


@settings(deadline=None)
@given(values)
def test_as_many_trainings_are_worse_than_the_median_one_as_are_better(drawn: list[float]) -> None:
    chosen = drawn[median_run(drawn)]
    assert sum(value < chosen for value in drawn) <= len(drawn) // 2
    assert sum(value > chosen for value in drawn) <= (len(drawn) - 1) // 2


@pytest.mark.parametrize(
    ("drawn", "message"),
    [([], "one value a training"), ([[1.0]], "one value"), ([1.0, math.inf], "training 1")],
)
def test_values_that_are_none_are_refused(drawn: list[float], message: str) -> None:
    for function in (kept_runs, spread, median_run):
        with pytest.raises(ValueError, match=message):
            function(drawn)


@pytest.mark.parametrize("kept", [[False, False], [True], [1, 0]])
def test_a_choice_of_trainings_must_be_booleans_and_choose_some(kept: list[bool]) -> None:
    with pytest.raises(ValueError, match="kept must have 2 booleans"):
        spread([1.0, 2.0], kept)
