"""What came in and for whom, and what teams chose."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from store_records import key, open_run, scored, submission

from hepchallenge.records import Scoring, Verdict
from hepchallenge.store import Store


def test_the_organiser_says_when_something_came_and_that_orders(store: Store) -> None:
    store.add_submission("higgsml", submission("by_clock"))
    earlier = datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    number = store.add_submission("higgsml", submission("by_mail"), earlier)
    assert store.submission(number)[1] == "2019-12-31T23:00:00.000000+00:00"
    assert [found.submission.name for found in store.received("higgsml")] == ["by_mail", "by_clock"]
    store.add_submission("higgsml", submission("by_clock"), earlier)
    assert store.received("higgsml")[1].received_at > "2026"


def test_the_organisers_word_on_a_team_counts_everywhere_and_can_be_corrected(store: Store) -> None:
    run = open_run(store)
    store.record_scoring(run, scored())
    assert [(one.submission.team, one.assigned) for one in store.received("higgsml")] == [("", False)]
    for team in ("thes\u0000e", "th\u00f6se"):
        store.assign_team(run.submission_id, team)
        assert store.submission(run.submission_id)[0].team == team
        assert [(one.submission.team, one.assigned) for one in store.received("higgsml")] == [(team, True)]
        assert [one.submission.team for one in store.entries("higgsml")] == [team]


def test_a_team_is_given_to_one_submission_and_not_to_its_copies(store: Store) -> None:
    run = open_run(store)
    store.record_scoring(run, scored())
    store.add_submission("higgsml", submission("copy"))
    store.assign_team(run.submission_id, "us")
    assert {one.submission.name: one.submission.team for one in store.entries("higgsml")} == {
        "kit": "us",
        "copy": "",
    }


def test_receipts_tell_what_waits_and_what_only_the_host_failed(store: Store) -> None:
    def state() -> list[str]:
        return [found.state for found in store.received("higgsml")]

    run = open_run(store)
    assert state() == ["waiting"]
    store.record_scoring(run, Scoring(verdict=Verdict.INFRASTRUCTURE))
    assert state() == ["infrastructure"]
    other_data = open_run(store, key(data_digest="0" * 64))
    store.record_scoring(other_data, Scoring(verdict=Verdict.WALL_LIMIT))
    store.record_scoring(run, Scoring(verdict=Verdict.INFRASTRUCTURE))
    assert state() == ["own"]
    assert store.received("anomaly") == []


def test_the_last_choice_of_a_team_counts(store: Store) -> None:
    store.add_choice("higgsml", "us", ["a", "b"])
    store.add_choice("higgsml", "them\u0000", ["c"])
    store.add_choice("higgsml", "us", ["b"])
    store.add_choice("anomaly", "us", ["d"])
    assert store.choices("higgsml") == {"us": ("b",), "them\u0000": ("c",)}
