"""The Ladder: what it answers, that a boosting attack does not lift it, and that it hides what it should."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from board_entries import board, entry, parts
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.board import to_csv, to_json, to_markdown
from hepchallenge.board.ladder import error_of_difference, fixed_ladder, free_ladder
from hepchallenge.contract import BoardRules
from hepchallenge.exceptions import UsageError
from hepchallenge.records import BoardEntry, StoredArray

FREE = BoardRules(entry="best", ladder=True)
FIXED = BoardRules(entry="best", ladder=True, ladder_step=0.05)


# What it answers


def test_a_fixed_ladder_moves_by_more_than_its_step_and_answers_multiples_of_it() -> None:
    rungs = fixed_ladder([0.52, 0.59, 0.61, 0.40, 0.93], 0.1, False)
    assert [rung.value for rung in rungs] == [0.5, 0.5, 0.6, 0.6, 0.9]
    assert [rung.moved for rung in rungs] == [True, False, True, False, True]


def test_a_free_ladder_compares_with_the_submission_that_moved_it_last() -> None:
    asked = []

    def error(best: int, number: int) -> float:
        asked.append((best, number))
        return 0.02

    rungs = free_ladder([0.501, 0.515, 0.53, 0.54, 0.50], error, 2, False)
    assert [rung.value for rung in rungs] == [0.5, 0.5, 0.53, 0.53, 0.53]
    assert asked == [(0, 1), (0, 2), (2, 3)]


@given(st.lists(st.floats(-10, 10), max_size=20), st.floats(0.01, 2), st.booleans())
def test_a_fixed_ladder_never_falls_and_never_lags_by_more_than_a_step_and_a_half(
    values: list[float], step: float, lower: bool
) -> None:
    sign = -1 if lower else 1
    rungs = fixed_ladder(values, step, lower)
    for number, rung in enumerate(rungs):
        best = max(sign * value for value in values[: number + 1])
        assert abs(best - sign * rung.value) <= 1.5 * step + 1e-9
        assert number == 0 or sign * rung.value >= sign * rungs[number - 1].value - 1e-9


@given(st.lists(st.floats(-10, 10), max_size=20), st.floats(0.01, 2))
def test_turning_the_direction_mirrors_a_ladder(values: list[float], step: float) -> None:
    up = fixed_ladder(values, step, False)
    down = fixed_ladder([-value for value in values], step, True)
    assert [(rung.value, rung.moved) for rung in up] == [(-rung.value, rung.moved) for rung in down]


def test_the_error_of_a_difference_is_paired_if_there_are_replicas() -> None:
    one, other = entry("one", errors={"auc": {"test": 3.0}}), entry("other", errors={"auc": {"test": 4.0}})
    shared = np.random.default_rng(0).normal(size=500)
    replicas = {"one": shared, "other": shared + np.tile([0.1, -0.1], 250)}

    def known(asked: BoardEntry, part: str) -> np.ndarray | None:
        return replicas.get(asked.submission.name) if part == "test" else None

    assert error_of_difference(one, other, "auc", "test", known) == pytest.approx(0.1, rel=0.01)
    assert error_of_difference(one, other, "auc", "test", None) == 5.0
    replicas["one"] = np.append(np.where(np.arange(500) % 3, shared, np.nan), 7.0)
    assert error_of_difference(one, other, "auc", "test", known) == pytest.approx(0.1, rel=0.01)
    del replicas["other"]
    assert error_of_difference(one, other, "auc", "test", known) == 5.0


def test_a_free_ladder_without_errors_says_what_to_do() -> None:
    entries = [entry("a", 0.5, team="t", received=1), entry("b", 0.6, team="t", received=2)]
    with pytest.raises(UsageError, match="`hepchallenge rescore`, or set ladder_step"):
        board(*entries, rules=FREE)
    assert len(board(*entries, rules=FIXED).ranked) == 1


# The attack


class Exam:
    """Labels by chance, which nobody can know: every true accuracy is one half."""

    def __init__(self, rows: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.truth = {part: self.random.integers(0, 2, rows) for part in ("public", "private")}
        self.sent: list[BoardEntry] = []
        self.right: dict[str, np.ndarray] = {}

    def send(self, predicted: np.ndarray) -> None:
        """Send predictions of the rows of both parts, one part after the other."""
        halves = dict(zip(self.truth, np.split(predicted, 2), strict=True))
        right = {part: halves[part] == truth for part, truth in self.truth.items()}
        number = len(self.sent)
        name = f"s{number}"
        self.right[name] = right["public"]
        scores = {"auc": {part: float(found.mean()) for part, found in right.items()}}
        self.sent.append(entry(name, scores, team="attacker", received=number, digest=f"{number:064x}"))

    def replicas(self, asked: BoardEntry, part: str) -> np.ndarray:
        """Resample the same rows for everybody."""
        right = self.right[asked.submission.name]
        rows = len(right)
        weights = np.random.default_rng(1).multinomial(rows, np.full(rows, 1 / rows), size=200)
        return weights @ right / rows

    def answers(self, rules: BoardRules) -> list[float]:
        """Return what the board answered to each submission when it came."""
        every = replace(rules, entry="all")
        rows = board(*self.sent, rules=every, replicas=self.replicas).ranked
        return [
            row.value for row in sorted(rows, key=lambda row: row.entry.received_at) if row.value is not None
        ]

    def standing(self, rules: BoardRules) -> float:
        """Return what the public board shows of the attacker in the end."""
        (row,) = board(*self.sent, rules=rules, replicas=self.replicas).ranked
        assert row.value is not None
        return row.value


def attack(rules: BoardRules, learn: Literal["above half", "moved"], seed: int) -> Exam:
    """Send 300 random submissions, then the majority vote of those that the board called good."""
    exam = Exam(rows=1000, seed=seed)
    guesses = exam.random.integers(0, 2, (300, 2000))
    for guess in guesses:
        exam.send(guess)
    answers = np.array(exam.answers(rules))
    good = answers > 0.5 if learn == "above half" else np.diff(answers, prepend=0.5) > 0
    exam.send((guesses[good].mean(axis=0) > 0.5).astype(int))
    return exam


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_majority_votes_of_random_submissions_lift_an_ordinary_board_and_no_ladder(seed: int) -> None:
    ordinary = attack(BoardRules(entry="best"), "above half", seed)
    assert ordinary.standing(BoardRules(entry="best")) > 0.60
    assert ordinary.sent[-1].scoring.scores["auc"]["private"] == pytest.approx(0.5, abs=0.06)
    for rules in (FREE, replace(FIXED, ladder_step=0.03)):
        for learn in ("above half", "moved"):
            attacked = attack(rules, learn, seed)
            assert attacked.standing(rules) < 0.56
            # What was learned is not even there: the vote itself scores as by chance.
            assert attacked.sent[-1].scoring.scores["auc"]["public"] < 0.56


# What it hides


def team(rules: BoardRules, part: Any = None, **more: Any) -> Any:
    secrets = {"bagged_public": 0.59871, "private": 0.12345, "valid": 0.7}
    entries = [
        entry(
            name,
            parts(public=value, **secrets),
            team="t",
            received=number,
            spread=parts(public=0.04871),
            errors=parts(public=0.03871),
            training_spread=parts(public=0.02871),
            digest=f"{number}" * 64,
        )
        for number, (name, value) in enumerate([("a", 0.51871), ("b", 0.53871), ("c", 0.69871)])
    ]
    stored = {"public": StoredArray(digest="0", path="0.npy", shape=(2,), dtype="float64")}
    entries = [replace(one, scoring=replace(one.scoring, replicas=stored)) for one in entries]
    more.setdefault("replicas", lambda asked, part: np.array([0.1, 0.2]))
    return board(*entries, rules=rules, part=part, **more)


def test_a_laddered_board_shows_what_the_ladder_answered_and_nothing_else_of_the_public_part() -> None:
    shown = team(FIXED)
    assert shown.laddered
    assert [(row.entry.submission.name, row.value) for row in shown.ranked] == [("c", 0.7)]
    for text in (to_csv(shown), to_json(shown), to_markdown(shown)):
        assert "871" not in text.replace(shown.data.digest, "")
        assert "12345" not in text
    assert not any(row.rank_interval or row.holds or row.entry.scoring.replicas for row in shown.rows)
    document = json.loads(to_json(shown))
    first = next(item for item in document["submissions"] if item["name"] == "c")
    assert first["scores"] == {"auc": {"public": 0.7, "valid": 0.7}, "nll": {"valid": 1.7}}


@pytest.mark.parametrize(
    ("rule", "names", "values"),
    [("all", ["c", "a", "b"], [0.7, 0.5, 0.5]), ("last", ["c"], [0.7]), ("chosen", ["c"], [0.7])],
)
def test_every_rule_has_its_ladder(rule: Any, names: list[str], values: list[float]) -> None:
    shown = team(replace(FIXED, entry=rule))
    assert [row.entry.submission.name for row in shown.ranked] == names
    assert [row.value for row in shown.ranked] == values


def test_a_laddered_board_does_not_tell_which_of_the_chosen_is_best() -> None:
    rules = replace(FIXED, entry="chosen", ladder_step=0.3)
    shown = team(rules, chosen={"t": ["1" * 64, "2" * 64]})
    assert [(row.entry.submission.name, row.value) for row in shown.ranked] == [("a", 0.6)]


def test_what_moved_the_ladder_last_stands_on_the_private_board_with_its_true_scores() -> None:
    rules = replace(FIXED, ladder_step=0.3)
    shown = team(rules, "private")
    assert [row.entry.submission.name for row in shown.ranked] == ["a"]
    assert shown.ranked[0].entry.scoring.scores["auc"]["public"] == 0.51871
    assert not shown.laddered


def test_late_submissions_tell_nothing_of_the_public_part_either() -> None:
    from datetime import UTC, datetime

    from hepchallenge.contract import Phase

    over = Phase(name="one", end=datetime(2025, 1, 1, tzinfo=UTC))
    shown = team(replace(FIXED, phases=(over,)))
    assert not shown.ranked
    assert "871" not in to_csv(shown).replace(shown.data.digest, "")


def test_a_board_of_validation_scores_has_no_ladder() -> None:
    shown = team(FIXED, "cv")
    assert not shown.laddered
    assert math.isclose(shown.ranked[0].value, 0.7)
