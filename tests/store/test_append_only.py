"""What is recorded once stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from store_records import key, open_run, outcome, scored, submission

from hepchallenge.exceptions import StoreError
from hepchallenge.records import DataInfo, Limits, Verdict
from hepchallenge.store import Store

TABLES = (
    *("schema_version", "submissions", "runs", "folds", "infrastructure_failures", "scorings"),
    *("teams", "choices"),
)


def test_a_submission_keeps_its_first_id_time_and_record(store: Store) -> None:
    first = store.add_submission("higgsml", submission(team="first"))
    again = store.add_submission("higgsml", submission(team="second"))
    assert again == first
    assert store.submission(first)[0].team == "first"
    before = store.submission(first)
    store.add_submission("higgsml", submission(team="third"))
    assert store.submission(first) == before


def test_another_name_digest_or_challenge_is_another_submission(store: Store) -> None:
    ids = {
        store.add_submission("higgsml", submission()),
        store.add_submission("higgsml", submission(name="other")),
        store.add_submission("higgsml", submission(digest="0" * 64)),
        store.add_submission("anomaly", submission()),
    }
    assert len(ids) == 4


def test_an_unknown_submission_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="no submission has the id 77"):
        store.submission(77)


def test_an_equal_key_goes_on_with_the_same_attempt(store: Store) -> None:
    first = open_run(store, key(limits=Limits(fit_wall=600.0)))
    assert open_run(store, key(limits=Limits(fit_wall=600))) == first
    assert first.attempt == 1


def test_any_other_key_is_another_run(store: Store) -> None:
    keys = [key(), key(seed=1), key(quick=True), key(limits=Limits(fit_wall=601)), key(challenge_version="v")]
    assert len({open_run(store, one).id for one in keys}) == len(keys)


def test_rerun_opens_a_new_attempt_that_later_commands_go_on_with(store: Store) -> None:
    open_run(store)
    second = open_run(store, rerun=True)
    assert second.attempt == 2
    assert open_run(store) == second


def test_an_unfinished_attempt_under_other_conditions_is_not_continued(store: Store) -> None:
    first = open_run(store, isolation="namespaces")
    second = open_run(store, isolation="none")
    third = open_run(store, isolation="none", versions={"numpy": "3.0"})
    assert [first.attempt, second.attempt, third.attempt] == [1, 2, 3]


def test_a_finished_attempt_counts_whatever_the_conditions(store: Store) -> None:
    first = open_run(store, isolation="namespaces")
    store.record_scoring(first, scored())
    assert open_run(store, isolation="none") == first


def test_data_that_the_key_does_not_name_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="the run key names the data"):
        open_run(store, data=DataInfo(kind="real", digest="other"))


def test_a_fold_is_recorded_once_and_the_first_outcome_stands(store: Store) -> None:
    run = open_run(store)
    first = outcome(verdict=Verdict.RUNTIME_ERROR, message="first")
    assert store.record_fold(run, first) == first
    assert store.record_fold(run, outcome(message="second")) == first
    assert store.fold_outcomes(run) == {0: first}


def test_an_infrastructure_failure_leaves_the_fold_open(store: Store) -> None:
    run = open_run(store)
    for message in ("disk", "power"):
        store.record_fold(run, outcome(verdict=Verdict.INFRASTRUCTURE, message=message))
    assert store.fold_outcomes(run) == {}
    assert store.infrastructure_failures(run)[0].message == "power"
    good = outcome(message="good")
    assert store.record_fold(run, good) == good
    assert store.fold_outcomes(run) == {0: good}
    assert store.infrastructure_failures(run) == {}


def test_an_infrastructure_failure_never_replaces_an_outcome(store: Store) -> None:
    run = open_run(store)
    good = store.record_fold(run, outcome())
    assert store.record_fold(run, outcome(verdict=Verdict.INFRASTRUCTURE)) == good
    assert store.fold_outcomes(run) == {0: good}


def test_scorings_are_appended_and_the_last_one_counts(store: Store) -> None:
    run = open_run(store)
    assert store.latest_scoring(run) is None
    scorings = [scored(0.1, scorer_version="1"), scored(0.2, scorer_version="2")]
    ids = [store.record_scoring(run, one) for one in scorings]
    assert ids == sorted(set(ids))
    assert store.scorings(run) == scorings
    assert store.latest_scoring(run) == scorings[1]


def test_a_failed_host_does_not_take_a_score_away(store: Store) -> None:
    run = open_run(store)
    store.record_scoring(run, scored(0.7))
    store.record_scoring(run, scored(0.7).__class__(verdict=Verdict.INFRASTRUCTURE))
    assert store.latest_scoring(run) == scored(0.7)


def test_a_second_opening_finds_everything(store: Store, tmp_path: Path, database_url: str | None) -> None:
    run = open_run(store)
    store.record_fold(run, outcome(message="kept"))
    with Store(tmp_path / "workspace", database_url) as other:
        assert other.fold_outcomes(open_run(other))[0].message == "kept"


@pytest.mark.parametrize("table", TABLES)
def test_the_database_itself_refuses_to_change_rows(
    store: Store, tmp_path: Path, database_url: str | None, table: str
) -> None:
    run = open_run(store)
    store.record_fold(run, outcome(0))
    store.record_fold(run, outcome(1, Verdict.INFRASTRUCTURE))
    store.record_scoring(run, scored())
    store.assign_team(run.submission_id, "us")
    store.add_choice("higgsml", "us", ["5d" * 32])
    column = "version" if table == "schema_version" else "id"
    statements = [f"UPDATE {table} SET {column} = 9", f"DELETE FROM {table}"]
    if database_url is None:
        statements.append(f"REPLACE INTO {table} SELECT * FROM {table}")
    else:
        statements.append(f"TRUNCATE {table} CASCADE")
    sqlite_url = f"sqlite:///{tmp_path / 'workspace' / 'hepchallenge.sqlite'}"
    engine = create_engine(database_url or sqlite_url, poolclass=NullPool)
    for statement in statements:
        with engine.connect() as connection:
            if database_url is None:
                connection.exec_driver_sql("PRAGMA recursive_triggers = ON")
            with pytest.raises(DBAPIError, match="is append-only"):
                connection.execute(text(statement))
