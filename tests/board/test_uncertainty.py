"""Intervals of ranks, probabilities and ties: known cases, and coverage of simulated truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from board_entries import METRICS, entry
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.board import make_board
from hepchallenge.board.uncertainty import (
    MOST_COMPARED,
    ordered_pairs,
    probabilities_to_hold,
    rank_intervals,
    tie_groups,
)
from hepchallenge.contract import BoardRules
from hepchallenge.records import BoardEntry
from hepchallenge.scoring.bootstrap import Counts, MeanKernel


def test_scores_far_apart_are_ordered_and_near_ones_are_tied() -> None:
    noise = np.random.default_rng(0).normal(size=(4, 1000))
    scores = np.array([20.0, 10.1, 10.0, 0.0])
    better = ordered_pairs(scores, scores[:, np.newaxis] + noise, False, 0.95)
    assert rank_intervals(better) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert tie_groups(better) == [None, 1, 1, None]
    lower = ordered_pairs(scores, scores[:, np.newaxis] + noise, True, 0.95)
    assert rank_intervals(lower) == [(4, 4), (2, 3), (2, 3), (1, 1)]


def test_what_moves_scores_together_does_not_tie_them() -> None:
    rng = np.random.default_rng(1)
    together = 100 * rng.normal(size=1000)
    scores = np.array([2.0, 1.0])
    replicas = scores[:, np.newaxis] + together + 0.1 * rng.normal(size=(2, 1000))
    assert rank_intervals(ordered_pairs(scores, replicas, False, 0.95)) == [(1, 1), (2, 2)]
    (holds,) = probabilities_to_hold(scores, replicas, False)
    assert holds == 1.0


def test_copies_are_tied_and_a_constant_difference_is_certain() -> None:
    noise = np.random.default_rng(2).normal(size=1000)
    scores = np.array([1.0, 1.0, 0.999])
    replicas = np.array([noise, noise, noise - 0.001])
    assert rank_intervals(ordered_pairs(scores, replicas, False, 0.95)) == [(1, 2), (1, 2), (3, 3)]
    assert probabilities_to_hold(scores, replicas, False) == [0.5, 1.0]


def test_what_is_proven_makes_it_easier_to_prove_the_rest() -> None:
    replicas = np.random.default_rng(4).normal(size=(5, 2000))
    replicas -= replicas.mean(axis=1, keepdims=True)
    first, second = np.triu_indices(5, 1)
    around = replicas[first] - replicas[second]
    around /= around.std(axis=1, ddof=1, keepdims=True)
    of_all = np.quantile(np.abs(around).max(axis=0), 0.9)
    # All but the last pair are far apart, so that only their reverse is open after the first step.
    of_open = np.quantile(np.maximum(-around.min(axis=0), around[-1]), 0.9)
    assert of_open < 0.95 * of_all
    width = (replicas[3] - replicas[4]).std(ddof=1) * (of_all + of_open) / 2
    scores = np.array([300.0, 200.0, 100.0, width, 0.0])
    assert rank_intervals(ordered_pairs(scores, replicas, False, 0.9))[3:] == [(4, 4), (5, 5)]


def test_the_probability_to_hold_is_that_of_a_normal_difference() -> None:
    noise = np.random.default_rng(3).normal(size=(2, 40_000))
    scores = np.array([1.0, 0.0])
    # The mean of the replicas is nothing but where they happen to lie.
    (holds,) = probabilities_to_hold(scores, noise + 7, False)
    assert holds == pytest.approx((1 + math.erf(1 / 2)) / 2, abs=0.01)
    (never,) = probabilities_to_hold(scores, noise, True)
    assert never == pytest.approx((1 - math.erf(1 / 2)) / 2, abs=0.01)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 7), confidence=st.floats(0.5, 0.99))
def test_intervals_hold_the_observed_ranks_and_ties_no_order(seed: int, n: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    scores = -np.sort(-3 * rng.normal(size=n))
    replicas = scores[:, np.newaxis] + rng.normal(size=(n, 200))
    better = ordered_pairs(scores, replicas, False, confidence)
    assert not (better & better.T).any()
    # No row is proven better than one that ranks before it.
    assert not np.tril(better).any()
    for place, (first, last) in enumerate(rank_intervals(better), start=1):
        assert 1 <= first <= place <= last <= n
    groups = tie_groups(better)
    for group in set(groups) - {None}:
        places = [place for place, other in enumerate(groups) if other == group]
        assert len(places) > 1
        assert places == list(range(places[0], places[-1] + 1))
        assert not better[np.ix_(places, places)].any()
    # The first row after a group is ordered with some of it.
    for place in range(1, n):
        if groups[place] != groups[place - 1] or groups[place] is None:
            begin = place - 1
            while begin and groups[begin] is not None and groups[begin - 1] == groups[begin]:
                begin -= 1
            assert better[begin:place, place].any()


def _simulated(seed: int, truth: np.ndarray, confidence: float) -> bool:
    """Tell whether all intervals hold the true ranks, for one sample of accuracies on common events."""
    rng = np.random.default_rng(seed)
    n_events = 400
    # Events that are hard are hard for all: a common part makes scores go up and down together.
    difficulty = rng.normal(size=n_events)
    right = [difficulty + 0.7 * rng.normal(size=n_events) < value * math.sqrt(1 + 0.7**2) for value in truth]
    counts = Counts(seed, 300).of(np.arange(n_events))
    scores = np.array([values.mean() for values in right])
    replicas = np.array([MeanKernel(values)(counts) for values in right])
    intervals = rank_intervals(ordered_pairs(scores, replicas, False, confidence))
    for value, (first, last) in zip(truth, intervals, strict=True):
        # Of equal truths, each has all the ranks that they share.
        best, worst = 1 + int((truth > value).sum()), int((truth >= value).sum())
        if not (first <= best and worst <= last):
            return False
    return True


@pytest.mark.parametrize("truth", [[0.5] * 6, [1.0, 0.9, 0.8, 0.75, 0.7, 0.3]], ids=["equal", "spaced"])
def test_true_ranks_are_within_all_intervals_as_often_as_said(truth: list[float]) -> None:
    n_toys, confidence = 1000, 0.9
    covered = sum(_simulated(seed, np.array(truth), confidence) for seed in range(n_toys))
    error = math.sqrt(confidence * (1 - confidence) / n_toys)
    assert covered / n_toys > confidence - 3 * error
    if truth[0] == truth[-1]:
        # Where nothing can be told, nearly all of the confidence is used up.
        assert covered / n_toys < confidence + 3 * error


def _board(n: int, replicas: dict[str, np.ndarray | None], **options: object) -> list[tuple[object, ...]]:
    entries = [entry(f"e{place}", scores=float(n - place), received=place) for place in range(n)]

    def look(one: BoardEntry, part: str) -> np.ndarray | None:
        assert part == "test"
        return replicas.get(one.submission.name)

    board = make_board(
        entries, challenge="c", metrics=METRICS, official_metric="auc", replicas=look, **options
    )
    return [(row.rank_interval, row.holds, row.tie) for row in board.rows]


def _noise(place: int, n: int = 400, width: float = 0.001) -> np.ndarray:
    return width * np.random.default_rng(place).normal(size=n)


def test_a_board_shows_what_replicas_say() -> None:
    rows = _board(3, {"e0": _noise(0), "e1": _noise(1, width=5), "e2": _noise(2)})
    assert rows[0][0] == (1, 2)
    assert rows[1][0] == (1, 3)
    assert [row[2] for row in rows] == [1, 1, None]
    assert 0.5 < rows[0][1] < 0.7
    assert rows[2][1] is None


def test_a_row_without_replicas_is_compared_with_none_and_leaves_others_room() -> None:
    rows = _board(3, {"e0": _noise(0), "e2": _noise(2)})
    # Two are ordered, and the one between may be anywhere.
    assert rows == [((1, 2), None, None), (None, None, None), ((2, 3), None, None)]
    few = _board(2, {"e0": _noise(0), "e1": _noise(1, n=99)})
    assert few == [((1, 2), None, None), (None, None, None)]
    assert _board(2, {}) == [(None, None, None)] * 2


def test_replicas_of_different_number_are_paired_from_the_first_on() -> None:
    common = 5 * _noise(0, width=1)
    rows = _board(2, {"e0": common, "e1": common[:200] - 1})
    assert rows[0] == ((1, 1), 1.0, None)


def test_replicas_that_are_not_finite_are_left_out() -> None:
    hurt = _noise(0)
    hurt[::3] = math.nan
    assert _board(2, {"e0": hurt, "e1": _noise(1)})[0] == ((1, 1), 1.0, None)
    hurt[::2] = math.nan
    assert _board(2, {"e0": hurt, "e1": _noise(1)})[0] == (None, None, None)


def test_only_the_first_rows_are_compared() -> None:
    n = MOST_COMPARED + 2
    rows = _board(n, {f"e{place}": _noise(place, n=100) for place in range(n)})
    assert rows[MOST_COMPARED - 1] == ((MOST_COMPARED, MOST_COMPARED), None, None)
    assert rows[MOST_COMPARED:] == [(None, None, None)] * 2


def test_the_confidence_of_a_board_is_that_of_its_rules() -> None:
    noise = {"e0": _noise(0, width=0.4), "e1": _noise(1, width=0.4)}
    assert _board(2, noise, rules=BoardRules(confidence=0.6))[0][0] == (1, 1)
    assert _board(2, noise, rules=BoardRules(confidence=0.999))[0][0] == (1, 2)


def test_a_board_of_the_ladder_tells_nothing_of_replicas() -> None:
    rules = BoardRules(ladder=True, ladder_step=0.1)
    assert _board(2, {"e0": _noise(0), "e1": _noise(1)}, rules=rules) == [(None, None, None)] * 2
