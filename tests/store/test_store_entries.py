"""What the store hands to the board."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_records import key, open_run, outcome, scored, submission

from hepchallenge.exceptions import StoreError
from hepchallenge.records import DataInfo, Limits, Scoring, Verdict
from hepchallenge.store import Store


def values(store: Store, *args: str | None, **kwargs: str | None) -> list[tuple[str, float]]:
    return [
        (entry.submission.name, entry.scoring.scores.get("auc", {}).get("test", -1.0))
        for entry in store.entries("higgsml", *args, **kwargs)
    ]


def test_an_empty_store_has_no_entries(store: Store) -> None:
    assert store.entries("higgsml") == []


def test_only_scored_runs_of_this_challenge_are_entries(store: Store) -> None:
    open_run(store, name="unscored")
    other = open_run(store, key(challenge="anomaly"))
    store.record_scoring(other, scored())
    assert store.entries("higgsml") == []
    assert len(store.entries("anomaly")) == 1


def test_an_entry_holds_all_that_was_recorded_with_folds_in_order(store: Store) -> None:
    run = open_run(store)
    for fold in (2, 0, 1):
        store.record_fold(run, outcome(fold, wall_seconds=1.5))
    scoring = scored(0.25, fold_scores=({"auc": {"test": 0.25}},) * 3)
    store.record_scoring(run, scoring)
    (entry,) = store.entries("higgsml")
    assert entry.submission == submission()
    assert entry.received_at == store.submission(run.submission_id)[1]
    assert (entry.run_key, entry.data, entry.run_at) == (run.key, run.data, run.created_at)
    assert (entry.isolation, entry.accounting, entry.versions) == ("none", "sampled", {"numpy": "2.0"})
    assert entry.scoring == scoring
    assert [fold.fold for fold in entry.folds] == [0, 1, 2]
    assert entry.wall_seconds == 4.5


def test_the_latest_scored_attempt_is_shown(store: Store) -> None:
    for value in (0.9, 0.1):
        store.record_scoring(open_run(store, rerun=True), scored(value))
    open_run(store, rerun=True)
    assert values(store) == [("kit", 0.1)]


def test_an_attempt_that_the_host_failed_gives_way_to_one_that_ended_well(store: Store) -> None:
    store.record_scoring(open_run(store, rerun=True), Scoring(verdict=Verdict.INFRASTRUCTURE, message="old"))
    assert store.entries("higgsml")[0].scoring.message == "old"
    store.record_scoring(open_run(store, rerun=True), scored(0.4))
    store.record_scoring(open_run(store, rerun=True), Scoring(verdict=Verdict.INFRASTRUCTURE, message="new"))
    assert values(store) == [("kit", 0.4)]


def test_a_failed_try_of_a_fold_is_shown_until_the_fold_has_an_outcome(store: Store) -> None:
    run = open_run(store)
    store.record_fold(run, outcome(0, Verdict.INFRASTRUCTURE, message="host"))
    store.record_fold(run, outcome(1, Verdict.INFRASTRUCTURE, message="host"))
    store.record_fold(run, outcome(1, message="fine"))
    store.record_scoring(run, Scoring(verdict=Verdict.INFRASTRUCTURE))
    (entry,) = store.entries("higgsml")
    assert [fold.message for fold in entry.folds] == ["host", "fine"]


def test_names_that_share_a_digest_share_the_run(store: Store) -> None:
    store.record_scoring(open_run(store, name="original"), scored(0.3))
    open_run(store, name="copy")
    assert values(store) == [("original", 0.3), ("copy", 0.3)]


def test_data_of_the_most_recent_scored_run_are_meant_unless_named(store: Store) -> None:
    real = DataInfo(kind="real", digest="4ea1" * 16)
    store.record_scoring(open_run(store, key(data_digest=real.digest), name="real", data=real), scored(0.8))
    store.record_scoring(open_run(store, name="toy"), scored(0.2))
    open_run(store, key(data_digest=real.digest, seed=5), data=real)
    assert {entry.data.kind for entry in store.entries("higgsml")} == {"toy"}
    assert {entry.data for entry in store.entries("higgsml", data_digest=real.digest)} == {real}
    assert store.entries("higgsml", data_digest="unknown") == []


def test_all_versions_of_a_challenge_are_entries_unless_one_is_named(store: Store) -> None:
    store.record_scoring(open_run(store, key(challenge_version="v1")), scored(0.1))
    store.record_scoring(open_run(store, key(challenge_version="v2")), scored(0.2))
    assert values(store) == [("kit", 0.1), ("kit", 0.2)]
    assert values(store, challenge_version="v1") == [("kit", 0.1)]


def test_an_entry_leads_back_to_its_own_attempt(store: Store) -> None:
    run = open_run(store)
    store.record_scoring(run, scored(0.1))
    open_run(store, rerun=True)
    (entry,) = store.entries("higgsml")
    assert store.run_of(entry) == run
    store.record_scoring(store.run_of(entry), scored(0.6))
    assert values(store) == [("kit", 0.6)]
    with pytest.raises(StoreError, match="was opened at never"):
        store.run_of(replace(entry, run_at="never"))


def test_every_run_key_of_a_submission_is_an_entry(store: Store) -> None:
    for seed, value in ((0, 0.1), (1, 0.2)):
        store.record_scoring(open_run(store, key(seed=seed, limits=Limits(fit_wall=9.0))), scored(value))
    assert values(store) == [("kit", 0.1), ("kit", 0.2)]
