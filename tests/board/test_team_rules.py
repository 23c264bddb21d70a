"""Rules of a board: phases, quotas, which submissions stand for a team, and what moves at the reveal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import pytest
from board_entries import board, entry
from hypothesis import example, given
from hypothesis import strategies as st

from hepchallenge.board import Board
from hepchallenge.board.rules import Receipt, admit, team_key, team_of
from hepchallenge.contract import BoardRules, Phase
from hepchallenge.records import BoardEntry, Submission, Verdict

START = datetime(2026, 5, 4, 9, tzinfo=UTC)


def at(minutes: float) -> str:
    return (START + timedelta(minutes=minutes)).isoformat(timespec="microseconds")


def sent(
    name: str, team: str, minutes: float, public: float, private: float = 0.5, **more: Any
) -> BoardEntry:
    scores = {"auc": {"public": public, "private": private}}
    return replace(
        entry(name, scores, team=team, digest=name.encode().hex(), **more), received_at=at(minutes)
    )


def ranks(shown: Board) -> dict[str, int]:
    return {row.entry.submission.name: row.rank for row in shown.rows if row.rank is not None}


def reasons(shown: Board) -> dict[str, str]:
    return {row.entry.submission.name: row.reason for row in (*shown.unranked, *shown.gave_way)}


# Teams


@pytest.mark.parametrize(
    "variant",
    ["Team A", "TEAM A", " team  a", "te\u200bam a", "\uff34eam A", "team\u00a0a", "tea\u00adm a\ufe0f"],
)
def test_a_team_is_one_team_however_it_is_written(variant: str) -> None:
    assert team_key(variant) == "team a"


@given(st.text())
@example("\u0345")
@example("\u03d4\u0301")
@example("\u1e9e\u2028")
def test_the_key_of_a_key_is_that_key(team: str) -> None:
    assert team_key(team_key(team)) == team_key(team)


def test_a_name_stands_for_a_team_that_is_not_given_or_cannot_be_seen() -> None:
    def key(name: str, team: str) -> str:
        return team_of(Submission(name=name, digest="d", kind="code", team=team))

    assert key("Kit", "") == key("kit", "\u200b\u2800") == "kit"
    assert key("kit", "us") == "us"
    assert key("\u200b", "") == "\u200b"


# Quotas


def receipts(*minutes: float, team: str = "a", state: Any = "own") -> list[Receipt]:
    return [Receipt(team=team, received_at=at(minute), state=state) for minute in minutes]


def refusals(sent: list[Receipt], **phase: Any) -> list[str]:
    return [given.refusal for given in admit(sent, BoardRules(phases=(Phase(name="one", **phase),)))]


def test_a_phase_takes_so_many_of_each_team() -> None:
    found = refusals([*receipts(0, 1, 2), *receipts(3, team="b")], submissions=2)
    assert found == ["", "", "over quota in phase 'one': at most 2 of a team; no more in this phase", ""]


def test_days_are_those_of_utc_and_the_next_may_come_at_midnight() -> None:
    found = refusals(receipts(0, 14 * 60, 16 * 60), per_day=1)
    assert found[1].endswith(
        "at most 1 of a team on one day (UTC); the next may come from 2026-05-05 00:00:00 UTC"
    )
    assert [bool(refusal) for refusal in found] == [False, True, False]


def test_what_is_refused_does_not_lengthen_the_interval() -> None:
    found = refusals(receipts(0, 6, 10), interval=timedelta(minutes=10))
    assert found[1].endswith(
        "at least 10 min between two of a team; the next may come from 2026-05-04 09:10:00 UTC"
    )
    assert [bool(refusal) for refusal in found] == [False, True, False]


def test_the_next_moment_keeps_every_quota() -> None:
    late = receipts(15 * 60 - 5, 15 * 60 - 4)
    found = refusals(late, per_day=1, interval=timedelta(minutes=10))
    assert found[1].endswith("the next may come from 2026-05-05 00:05:00 UTC")


def test_a_next_moment_after_the_end_of_the_phase_is_not_promised() -> None:
    found = refusals(receipts(0, 1), interval=timedelta(hours=2), end=START + timedelta(hours=1))
    assert found[1].endswith("no more in this phase")


def test_quotas_begin_anew_with_every_phase() -> None:
    noon = START + timedelta(hours=3)
    phases = (Phase(name="one", end=noon, submissions=1), Phase(name="two", start=noon, submissions=1))
    given = admit(receipts(0, 179, 180), BoardRules(phases=phases))
    assert [(one.phase, one.over_quota) for one in given] == [("one", False), ("one", True), ("two", False)]


def test_what_the_host_failed_counts_against_nobody() -> None:
    sent = [*receipts(0, state="infrastructure"), *receipts(1), *receipts(2, state="waiting")]
    given = admit(sent, BoardRules(phases=(Phase(name="one", submissions=2),)))
    assert [one.over_quota for one in given] == [True, False, False]
    assert [one.counts for one in given] == [False, True, True]


def test_what_has_a_verdict_keeps_its_place_and_what_waits_takes_the_rest_in_order() -> None:
    sent = [*receipts(0, 1, state="waiting"), *receipts(2)]
    given = admit(sent, BoardRules(phases=(Phase(name="one", submissions=2),)))
    assert [one.over_quota for one in given] == [False, True, False]


def test_what_waits_keeps_its_distance_from_what_came_before_and_after() -> None:
    sent = [
        *receipts(0),
        *receipts(15, state="waiting"),
        *receipts(20),
        *receipts(24, 31, 39, state="waiting"),
        *receipts(60),
    ]
    phase = Phase(name="one", interval=timedelta(minutes=10))
    given = admit(sent, BoardRules(phases=(phase,)))
    assert [one.over_quota for one in given] == [False, True, False, True, False, True, False]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3000)), max_size=30),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 600),
)
def test_no_quota_is_ever_exceeded_and_none_is_refused_without_need(
    rows: list[tuple[str, int]], most: int, daily: int, apart: int
) -> None:
    rows.sort(key=lambda row: row[1])
    phase = Phase(name="one", submissions=most, per_day=daily, interval=timedelta(minutes=apart))
    all_given = admit(
        [Receipt(team=t, received_at=at(m), state="own") for t, m in rows], BoardRules(phases=(phase,))
    )
    for team in "ab":
        taken: list[datetime] = []
        for (whose, minute), found in zip(rows, all_given, strict=True):
            if whose != team:
                continue
            moment = START + timedelta(minutes=minute)
            fits = (
                len(taken) < most
                and sum(other.date() == moment.date() for other in taken) < daily
                and all(moment - other >= timedelta(minutes=apart) for other in taken)
            )
            assert found.counts == fits == (not found.refusal)
            if fits:
                taken.append(moment)
        assert all(after - before >= timedelta(minutes=apart) for before, after in pairwise(taken))


def test_what_comes_outside_all_phases_stands_apart_and_what_comes_late_is_marked() -> None:
    phases = (
        Phase(name="am", start=START, end=START + timedelta(hours=3), submissions=1),
        Phase(name="pm", start=START + timedelta(hours=4), end=START + timedelta(hours=5)),
    )
    shown = board(
        sent("before", "a", -1, 0.9),
        sent("first", "a", 0, 0.6),
        sent("lunch", "a", 200, 0.9),
        sent("second", "b", 240, 0.7),
        sent("after", "a", 300, 0.95),
        rules=BoardRules(phases=phases),
    )
    assert ranks(shown) == {"second": 1, "first": 2}
    assert reasons(shown) == {
        "before": "early: received before the start of phase 'am'",
        "lunch": "early: received before the start of phase 'pm'",
        "after": "late: received after the end of phase 'pm'",
    }
    by_name = {row.entry.submission.name: row for row in shown.rows}
    assert [name for name, row in by_name.items() if row.late] == ["after"]
    assert [by_name[name].phase for name in ("first", "second", "after")] == ["am", "pm", ""]
    assert by_name["first"].entries == 1


def test_a_failed_submission_over_quota_tells_both() -> None:
    rules = BoardRules(phases=(Phase(name="one", submissions=1),))
    failed = sent("b", "a", 1, 0.5, verdict=Verdict.RUNTIME_ERROR, message="it raised")
    found = reasons(board(sent("a", "a", 0, 0.5), failed, rules=rules))
    assert found["b"].startswith("over quota")
    assert found["b"].endswith("; it raised")


def test_a_board_counts_the_submissions_of_a_team_that_count() -> None:
    host = sent("host", "a", 2, 0.5, verdict=Verdict.INFRASTRUCTURE)
    failed = sent("failed", "A", 1, 0.5, verdict=Verdict.RUNTIME_ERROR)
    shown = board(sent("one", "a", 0, 0.6), failed, host, sent("other", "b", 0, 0.5))
    assert {row.entry.submission.name: row.entries for row in shown.ranked} == {"one": 2, "other": 1}


# Which submissions stand

MANY = (
    sent("a1", "A", 0, public=0.80, private=0.70),
    sent("b1", "B", 1, public=0.79, private=0.60),
    sent("a2", "a\u200b", 2, public=0.80, private=0.90),
    sent("a3", "A", 3, public=0.70, private=0.95),
    sent("b2", "B", 4, public=0.10, private=0.10),
)


@pytest.mark.parametrize(
    ("rule", "public", "private"),
    [
        ("all", {"a1": 1, "a2": 1, "b1": 3, "a3": 4, "b2": 5}, {"a3": 1, "a2": 2, "a1": 3, "b1": 4, "b2": 5}),
        ("best", {"a1": 1, "b1": 2}, {"a1": 1, "b1": 2}),
        ("last", {"a3": 1, "b2": 2}, {"a3": 1, "b2": 2}),
        # Nothing chosen: the best two by the public board, of which the better private one counts.
        ("chosen", {"a1": 1, "b1": 2}, {"a2": 1, "b1": 2}),
    ],
)
def test_of_each_team_stands_what_the_rule_says(
    rule: Literal["all", "best", "last", "chosen"], public: dict[str, int], private: dict[str, int]
) -> None:
    rules = BoardRules(entry=rule)
    assert ranks(board(*MANY, rules=rules)) == public
    assert ranks(board(*MANY, rules=rules, part="private")) == private


def test_of_what_a_team_chose_the_best_private_one_counts_and_variants_of_its_name_are_the_team() -> None:
    digests = {name: name.encode().hex() for name in ("a1", "a3", "b2")}
    arguments: dict[str, Any] = {
        "rules": BoardRules(entry="chosen"),
        "chosen": {" a": [digests["a1"], digests["a3"]], "b": [digests["b2"]]},
    }
    assert ranks(board(*MANY, **arguments)) == {"a1": 1, "b2": 2}
    private = board(*MANY, part="private", **arguments)
    assert ranks(private) == {"a3": 1, "b2": 2}
    assert reasons(private)["a2"] == "the team did not choose it"
    assert reasons(private)["a1"] == "another one that stands for the team is better"


def test_a_choice_of_which_nothing_can_be_ranked_counts_as_none() -> None:
    failed = sent("b3", "B", 5, 0.0, verdict=Verdict.RUNTIME_ERROR)
    chosen = {"b": [failed.submission.digest]}
    shown = board(*MANY, failed, rules=BoardRules(entry="chosen"), chosen=chosen)
    assert ranks(shown) == {"a1": 1, "b1": 2}


def test_the_best_is_never_chosen_by_the_private_part() -> None:
    shown = board(*MANY, rules=BoardRules(entry="best"), part="private")
    assert shown.rows[0].value == 0.70


def test_what_gives_way_is_told_from_what_failed() -> None:
    failed = sent("c1", "C", 5, 0.0, verdict=Verdict.RUNTIME_ERROR, message="it raised")
    shown = board(*MANY, failed, rules=BoardRules(entry="best"))
    assert [row.entry.submission.name for row in shown.unranked] == ["c1"]
    assert {row.entry.submission.name for row in shown.gave_way} == {"a2", "a3", "b2"}


def test_without_parts_a_team_is_judged_on_the_whole_test_set() -> None:
    entries = [entry("a1", 0.5, team="a", received=1), entry("a2", 0.6, team="a", received=2)]
    assert ranks(board(*entries, rules=BoardRules(entry="best"))) == {"a2": 1}


def test_a_board_of_validation_scores_judges_teams_by_these() -> None:
    one, other = sent("one", "a", 0, 0.9), sent("other", "a", 1, 0.1)
    one.scoring.scores["auc"]["valid"], other.scoring.scores["auc"]["valid"] = 0.3, 0.4
    rules = BoardRules(entry="best")
    assert ranks(board(one, other, rules=rules, part="cv")) == {"other": 1}
    assert ranks(board(one, other, rules=rules)) == {"one": 1}


def test_a_team_is_not_judged_by_a_test_set_that_is_private_as_a_whole() -> None:
    def only(name: str, private: float, valid: float, minutes: int) -> BoardEntry:
        scores = {"auc": {"private": private, "test": private, "valid": valid}}
        return replace(entry(name, scores, team="a"), received_at=at(minutes))

    entries = [only("one", 0.9, 0.3, 0), only("other", 0.1, 0.4, 1)]
    assert ranks(board(*entries, rules=BoardRules(entry="best"), part="private")) == {"other": 1}


# The reveal


def test_a_private_board_tells_how_teams_moved() -> None:
    private = board(*MANY, rules=BoardRules(entry="last"), part="private")
    assert [row.moved for row in private.ranked] == [0, 0]
    both = [sent("x", "x", 0, 0.9, 0.1), sent("y", "y", 1, 0.8, 0.3), sent("z", "z", 2, 0.7, 0.2)]
    moved = {row.entry.submission.name: row.moved for row in board(*both, part="private").ranked}
    assert moved == {"y": 1, "z": 1, "x": -2}
    assert {row.moved for row in board(*both).rows} == {None}


def test_a_team_moves_as_one_even_if_another_of_its_submissions_stands() -> None:
    private = board(*MANY, rules=BoardRules(entry="chosen"), part="private")
    assert {row.entry.submission.name: row.moved for row in private.ranked} == {"a2": 0, "b1": 0}


def test_a_board_says_when_the_private_part_is_revealed() -> None:
    rules = BoardRules(reveal=START)
    assert not board(*MANY, rules=rules, now=START - timedelta(seconds=1)).revealed
    assert board(*MANY, rules=rules, now=START).revealed
    assert board(*MANY, rules=rules).revealed == (datetime.now(UTC) >= START)
    assert not board(*MANY).revealed
