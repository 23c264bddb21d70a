"""Ranks: competition ranks on unrounded scores, and nothing broken ever before something whole."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from random import Random

import pytest
from board_entries import REAL, TOY, board, entry, parts
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.board import RankedRow, rank
from hepchallenge.exceptions import UsageError
from hepchallenge.records import BoardEntry, Verdict

values = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, math.nan, math.inf, -math.inf]),
    st.floats(),
)
verdicts = st.sampled_from([Verdict.SCORED, Verdict.SCORED, Verdict.SCORED, *Verdict])
entry_lists = st.lists(st.tuples(values, verdicts, st.integers(0, 5)), max_size=12).map(
    lambda rows: [
        entry(f"kit{i}", value, verdict=verdict, received=received)
        for i, (value, verdict, received) in enumerate(rows)
    ]
)


def score(item: BoardEntry) -> float | None:
    value = item.scoring.scores.get("auc", {}).get("test")
    rankable = item.scoring.verdict is Verdict.SCORED and value is not None and math.isfinite(value)
    return value if rankable else None


def by_name(rows: list[RankedRow]) -> dict[str, int | None]:
    return {row.entry.submission.name: row.rank for row in rows}


@given(entry_lists, st.booleans())
def test_a_rank_is_one_more_than_the_number_of_better_ones(entries: list[BoardEntry], lower: bool) -> None:
    expected: dict[str, int | None] = {}
    for one in entries:
        mine = score(one)
        others = [other for other in map(score, entries) if other is not None]
        expected[one.submission.name] = (
            None if mine is None else 1 + sum((other < mine) if lower else (other > mine) for other in others)
        )
    assert by_name(rank(entries, "auc", "test", lower)) == expected


@given(entry_lists, st.booleans())
def test_whatever_cannot_be_ranked_comes_after_whatever_can(entries: list[BoardEntry], lower: bool) -> None:
    rows = rank(entries, "auc", "test", lower)
    assert len(rows) == len(entries)
    ranked = [row.rank is not None for row in rows]
    assert ranked == sorted(ranked, reverse=True)
    assert ranked == [score(row.entry) is not None for row in rows]


@given(entry_lists)
def test_turning_the_direction_mirrors_the_order_of_scores(entries: list[BoardEntry]) -> None:
    up = [row.value for row in rank(entries, "auc", "test", False) if row.value is not None]
    down = [row.value for row in rank(entries, "auc", "test", True) if row.value is not None]
    assert up == down[::-1]


def received_one_after_the_other(entries: list[BoardEntry]) -> list[BoardEntry]:
    return [
        replace(one, received_at=f"2026-01-01T00:00:{number:02d}+00:00") for number, one in enumerate(entries)
    ]


@given(entry_lists.map(received_one_after_the_other), st.booleans(), st.randoms())
def test_the_order_of_the_entries_does_not_matter(
    entries: list[BoardEntry],
    lower: bool,
    random: Random,
) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)
    names = [
        [row.entry.submission.name for row in rank(e, "auc", "test", lower)] for e in (entries, shuffled)
    ]
    assert names[0] == names[1]


@given(entry_lists, st.booleans())
def test_within_a_tie_the_earliest_received_stands_first(entries: list[BoardEntry], lower: bool) -> None:
    rows = rank(entries, "auc", "test", lower)
    for before, after in itertools.pairwise(rows):
        if before.rank is not None and before.rank == after.rank:
            assert before.entry.received_at <= after.entry.received_at


def test_within_a_tie_that_was_received_at_one_moment_the_order_of_the_store_stays_whatever_the_names() -> (
    None
):
    rows = board(entry("z", 0.5, received=1), entry("a", 0.5, received=1)).rows
    assert [row.entry.submission.name for row in rows] == ["z", "a"]


def test_ranks_are_one_two_two_four() -> None:
    rows = rank([entry("a", 0.9), entry("b", 0.5), entry("c", 0.5), entry("d", 0.1)], "auc", "test", False)
    assert [row.rank for row in rows] == [1, 2, 2, 4]


def test_scores_that_only_look_equal_when_rounded_are_no_tie() -> None:
    rows = rank([entry("a", 0.50001), entry("b", 0.50002)], "auc", "test", False)
    assert by_name(rows) == {"b": 1, "a": 2}


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_broken_score_never_ranks_and_says_why(value: float | None, lower: bool) -> None:
    rows = rank([entry("broken", value), entry("fine", 0.5)], "auc", "test", lower)
    assert by_name(rows) == {"fine": 1, "broken": None}
    assert "auc on test" in rows[1].reason


def test_a_score_without_the_scored_verdict_never_ranks() -> None:
    (row,) = rank([entry("x", 1.0, verdict=Verdict.GATE_FAILED, message="mass")], "auc", "test", False)
    assert (row.rank, row.value, row.reason) == (None, None, "mass")


@pytest.mark.parametrize(
    ("have", "part", "resolved"),
    [
        (("valid", "test", "public", "private"), None, "public"),
        (("valid", "test", "public", "private"), "public", "public"),
        (("valid", "test", "public", "private"), "private", "private"),
        (("valid", "test", "public", "private"), "cv", "valid"),
        (("valid", "test"), None, "test"),
        (("valid", "test"), "public", "test"),
        (("valid", "test"), "private", "test"),
        (("valid", "test"), "cv", "valid"),
        (("valid",), None, "valid"),
        ((), "public", "test"),
    ],
)
def test_the_part_to_rank_by_is_the_nearest_that_the_challenge_has(
    have: tuple[str, ...], part: str | None, resolved: str
) -> None:
    assert board(entry("x", parts(*have)), part=part).part == resolved


def test_a_test_part_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="there is no private part"):
        board(entry("x", parts("valid")), part="private")


def test_an_empty_board_mixed_data_and_an_unknown_metric_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="nothing is scored yet"):
        board()
    with pytest.raises(UsageError, match="different data"):
        board(entry("a", 1.0, data=TOY), entry("b", 1.0, data=REAL))
    with pytest.raises(UsageError, match="no metric is called 'f1'"):
        board(entry("a", 1.0), official_metric="f1")


def test_a_submission_has_one_row_its_latest_full_run() -> None:
    early, late = (f"2026-02-0{day}T00:00:00.000000+00:00" for day in (1, 2))
    full = [entry("x", value, run_at=at) for value, at in ((0.2, late), (0.9, early))]
    rows = board(*full, entry("x", 0.7, quick=True, run_at="2027"), entry("y", 0.1)).rows
    assert [(row.entry.submission.name, row.value) for row in rows] == [("x", 0.2), ("y", 0.1)]


def test_a_host_that_failed_later_does_not_take_the_row_away() -> None:
    failed = entry("x", verdict=Verdict.INFRASTRUCTURE, run_at="2027")
    assert board(entry("x", 0.4), failed).rows[0].value == 0.4


def test_one_name_with_another_digest_is_another_row() -> None:
    assert len(board(entry("x", 0.4, digest="a"), entry("x", 0.5, digest="b")).ranked) == 2


def test_rows_by_different_scorers_are_noted() -> None:
    assert not board(entry("a", 0.1), entry("b", 0.2)).notes
    assert "rescore" in board(entry("a", 0.1), entry("b", 0.2, scorer_version="s2")).notes[0]
