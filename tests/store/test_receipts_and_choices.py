"""What came in and for whom, what teams chose, and workspaces from before these were recorded."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from store_records import key, open_run, scored, submission

from hepchallenge.exceptions import StoreError
from hepchallenge.records import Scoring, Verdict
from hepchallenge.store import Store, schema


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


def make_version_1(tmp_path: Path, url: str | None) -> str:
    """Make the tables of version 1, with a submission and its scoring, and return the database's URL."""
    (tmp_path / "workspace").mkdir()
    url = url or f"sqlite:///{tmp_path / 'workspace' / 'hepchallenge.sqlite'}"
    tables = [
        schema.metadata.tables[name]
        for name in ("schema_version", "submissions", "runs", "folds", "infrastructure_failures", "scorings")
    ]
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        schema.metadata.create_all(connection, tables=tables)
        names = [table.name for table in tables]
        for statement in schema.append_only_statements(connection.dialect.name, names):
            connection.exec_driver_sql(statement)
        connection.execute(insert(schema.schema_version).values(version=1, created_at="before"))
        connection.execute(
            insert(schema.submissions).values(
                identity="1" * 64,
                challenge="higgsml",
                name="old",
                digest="5d" * 32,
                record='{"digest":"' + "5d" * 32 + '","kind":"code","name":"old"}',
                received_at="2025-01-01T00:00:00.000000+00:00",
            )
        )
    return url


def test_a_workspace_of_version_1_is_upgraded_once_and_keeps_what_it_holds(
    tmp_path: Path, database_url: str | None
) -> None:
    url = make_version_1(tmp_path, database_url)
    for _ in range(2):
        with Store(tmp_path / "workspace", database_url) as store:
            (old,) = store.received("higgsml")
            assert old.submission.name == "old"
    with Store(tmp_path / "workspace", database_url) as store:
        store.assign_team(old.id, "us")
        store.add_choice("higgsml", "us", [old.submission.digest])
        assert store.received("higgsml")[0].submission.team == "us"
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        versions = connection.execute(text("SELECT version FROM schema_version ORDER BY version")).scalars()
        assert list(versions) == [1, 2]
        assert {*inspect(connection).get_table_names()} == {*schema.metadata.tables}
    for table in ("teams", "choices", "submissions"):
        with engine.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text(f"DELETE FROM {table}"))


def test_an_upgrade_that_fails_leaves_the_workspace_as_it_was(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_version_1(tmp_path, database_url)
    monkeypatch.setattr(schema, "append_only_statements", lambda dialect, names: ["no such statement"])
    with pytest.raises(StoreError):
        Store(tmp_path / "workspace", database_url)
    monkeypatch.undo()
    with create_engine(url, poolclass=NullPool).connect() as connection:
        assert "choices" not in inspect(connection).get_table_names()
    with Store(tmp_path / "workspace", database_url) as store:
        assert store.choices("higgsml") == {}


def test_somebody_elses_table_is_not_taken_over_by_an_upgrade(
    tmp_path: Path, database_url: str | None
) -> None:
    url = make_version_1(tmp_path, database_url)
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE teams (player INTEGER)"))
    with pytest.raises(StoreError, match=r"version 1 has no tables \['teams'\], yet the database has"):
        Store(tmp_path / "workspace", database_url)
