"""Workspaces of earlier releases: as those made them, brought to the present schema, with all they hold.

`released/` holds what the code of each version of the schema made, as SQL.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from store_writer import start

from hepchallenge.exceptions import StoreError
from hepchallenge.records import Verdict
from hepchallenge.store import Store, schema

RELEASED = Path(__file__).with_name("released")
VERSIONS = range(1, schema.SCHEMA_VERSION + 1)


def make_old_workspace(version: int, workspace: Path, url: str | None) -> None:
    """Make what the release with this version of the schema made."""
    workspace.mkdir()
    flavour = "sqlite" if url is None else "postgresql"
    script = (RELEASED / f"version_{version}.{flavour}.sql").read_text("ascii")
    if url is None:
        with contextlib.closing(sqlite3.connect(workspace / "hepchallenge.sqlite")) as connection:
            connection.executescript(script)
    else:
        engine = create_engine(url, poolclass=NullPool)
        raw = engine.raw_connection()
        raw.driver_connection.execute(script)
        raw.commit()
        raw.close()


@contextlib.contextmanager
def connected(workspace: Path, url: str | None):  # type: ignore[no-untyped-def]
    engine = create_engine(url or f"sqlite:///{workspace / 'hepchallenge.sqlite'}", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def shape(connection: Connection) -> dict[str, object]:
    """Return all that tells one schema from another."""
    seen = inspect(connection)
    if connection.dialect.name == "sqlite":
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    else:
        # Without the name of the schema, which is another one for each test.
        triggers = (
            "SELECT tgname, replace(pg_get_triggerdef(oid), current_schema() || '.', '') FROM pg_trigger "
            "WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class "
            "WHERE relnamespace = current_schema()::regnamespace) ORDER BY tgname"
        )
    return {
        "triggers": [tuple(row) for row in connection.execute(text(triggers))],
        "tables": {
            table: {
                "columns": [
                    {**column, "type": str(column["type"]), "default": bool(column["default"])}
                    for column in seen.get_columns(table)
                ],
                "key": seen.get_pk_constraint(table),
                "foreign": seen.get_foreign_keys(table),
                "indexes": sorted(seen.get_indexes(table), key=str),
                "unique": sorted(seen.get_unique_constraints(table), key=str),
            }
            for table in seen.get_table_names()
        },
    }


@pytest.fixture
def fresh_shape(
    tmp_path: Path, database_url: str | None, request: pytest.FixtureRequest
) -> dict[str, object]:
    """What a new workspace looks like."""
    if database_url is not None:
        # A schema of its own, beside the one of the test.
        name = database_url.rsplit("%3D", 1)[1]
        fresh = database_url.replace(name, f"{name}_fresh")
        with connected(tmp_path, database_url) as connection:
            connection.execute(text(f'CREATE SCHEMA "{name}_fresh"'))
            connection.commit()
    else:
        fresh = None
    with Store(tmp_path / "fresh", fresh), connected(tmp_path / "fresh", fresh) as connection:
        return shape(connection)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_released_workspace_gets_the_schema_of_a_new_one(
    tmp_path: Path, database_url: str | None, version: int, fresh_shape: dict[str, object]
) -> None:
    workspace = tmp_path / "workspace"
    make_old_workspace(version, workspace, database_url)
    for _ in range(2):
        Store(workspace, database_url).close()
    with connected(workspace, database_url) as connection:
        assert shape(connection) == fresh_shape
        found = connection.execute(text("SELECT version FROM schema_version ORDER BY version")).scalars()
        assert list(found) == [*range(version, schema.SCHEMA_VERSION + 1)]
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_a_released_workspace_holds_can_be_read_and_added_to(
    tmp_path: Path, database_url: str | None, version: int
) -> None:
    make_old_workspace(version, tmp_path / "workspace", database_url)
    with Store(tmp_path / "workspace", database_url) as store:
        first, second = store.received("higgsml")
        assert (first.submission.name, first.submission.title) == ("first", "café \0\ud800")
        assert (first.state, second.state) == ("own", "own")
        ran, crashed = store.entries("higgsml")
        assert (ran.run_key.seed, ran.run_key.limits.fit_wall, ran.isolation) == (3, 60.0, "namespaces")
        assert ran.scoring.scores["auc"]["test"] == 0.75
        assert math.isnan(ran.scoring.scores["auc"]["bagged_test"])
        assert ran.scoring.gates == {"agreement": {"passed": True, "value": 0.05}}
        assert {outcome.verdict for outcome in ran.folds} == {Verdict.SCORED, Verdict.INFRASTRUCTURE}
        (succeeded,) = (outcome for outcome in ran.folds if outcome.succeeded)
        assert (succeeded.phases[0].cpu_seconds, succeeded.predictions["test"].shape) == (2.25, (3,))
        assert crashed.scoring.verdict is Verdict.RUNTIME_ERROR
        run = store.latest_run("higgsml", "first")
        assert len(store.scorings(run)) == 2
        if version >= 2:
            assert first.submission.team == "them"
            assert store.choices("higgsml") == {"them": ("5d" * 32,)}
        store.record_scoring(run, crashed.scoring)
        store.assign_team(first.id, "others")
        store.add_choice("higgsml", "others", ["6e" * 32])
        assert store.received("higgsml")[0].submission.team == "others"
        assert store.choices("higgsml")["others"] == ("6e" * 32,)
        assert len(store.scorings(run)) == 3


def test_processes_that_open_an_old_workspace_at_once_upgrade_it_once(
    tmp_path: Path, database_url: str | None
) -> None:
    make_old_workspace(1, tmp_path / "workspace", database_url)
    openers = [start("opening", tmp_path / "workspace", database_url) for _ in range(3)]
    assert [opener.communicate("go\n")[0] for opener in openers] == ["opened 2\n"] * 3
    with connected(tmp_path / "workspace", database_url) as connection:
        versions = connection.execute(text("SELECT version FROM schema_version ORDER BY version")).scalars()
        assert list(versions) == [*VERSIONS]


def test_an_upgrade_that_fails_leaves_the_workspace_as_it_was(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_workspace(1, tmp_path / "workspace", database_url)
    with connected(tmp_path / "workspace", database_url) as connection:
        before = shape(connection)
    # The last step of the last script.
    monkeypatch.setattr(schema, "append_only_statements", lambda dialect, names: ["no such statement"])
    with pytest.raises(StoreError):
        Store(tmp_path / "workspace", database_url)
    monkeypatch.undo()
    with connected(tmp_path / "workspace", database_url) as connection:
        assert shape(connection) == before
    with Store(tmp_path / "workspace", database_url) as store:
        assert store.choices("higgsml") == {}


def test_an_upgrade_makes_the_database_refuse_changes(tmp_path: Path, database_url: str | None) -> None:
    make_old_workspace(1, tmp_path / "workspace", database_url)
    with Store(tmp_path / "workspace", database_url) as store:
        store.assign_team(1, "us")
        store.add_choice("higgsml", "us", ["5d" * 32])
    for table in schema.metadata.tables:
        with (
            connected(tmp_path / "workspace", database_url) as connection,
            pytest.raises(DBAPIError, match="append-only"),
        ):
            connection.execute(text(f"DELETE FROM {table}"))


def test_somebody_elses_table_is_not_taken_over_by_an_upgrade(
    tmp_path: Path, database_url: str | None
) -> None:
    make_old_workspace(1, tmp_path / "workspace", database_url)
    with connected(tmp_path / "workspace", database_url) as connection:
        connection.execute(text("CREATE TABLE teams (player INTEGER)"))
        connection.commit()
    with pytest.raises(StoreError, match=r"version 1 has no tables \['teams'\], yet the database has"):
        Store(tmp_path / "workspace", database_url)


def test_a_workspace_is_made_and_opened_without_importing_what_upgrades_need(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from hepchallenge.store import Store\n"
        "for _ in range(2): Store(sys.argv[1]).close()\n"
        "assert not [name for name in sys.modules if name.startswith(('alembic', 'mako'))]"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
