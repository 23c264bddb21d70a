"""Every trouble with the disk or the database is a StoreError with a name, never a traceback or a loss."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from required import missing
from sqlalchemy import create_engine, insert
from sqlalchemy.pool import NullPool
from store_records import open_run, outcome, submission

from hepchallenge.exceptions import StoreError, UsageError
from hepchallenge.store import Store, engine, open_workspace, schema


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_workspace_of_a_newer_release_is_refused(
    store: Store, tmp_path: Path, database_url: str | None
) -> None:
    url = database_url or f"sqlite:///{tmp_path / 'workspace' / 'hepchallenge.sqlite'}"
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(
            insert(schema.schema_version).values(version=schema.SCHEMA_VERSION + 1, created_at="later")
        )
    with pytest.raises(StoreError, match=r"expected schema version 2 or older, found 3; .*newer release"):
        Store(tmp_path / "workspace", database_url)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "hepchallenge.sqlite").write_bytes(b"somebody's notes\n" * 100)
    with pytest.raises(StoreError, match=r"hepchallenge\.sqlite: file is not a database"):
        Store(tmp_path)
    assert (tmp_path / "hepchallenge.sqlite").read_bytes().startswith(b"somebody")


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "hepchallenge.sqlite")) as connection:
        connection.execute("CREATE TABLE runs (distance)")
    with pytest.raises(StoreError, match="not a hepchallenge workspace"):
        Store(tmp_path)


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot make the workspace"):
        Store(tmp_path / "file")


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "postgresql+nodriver://host/name"])
def test_a_url_that_cannot_work_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="URL"):
        Store(tmp_path, url)


def test_an_absent_server_is_an_error_that_hides_the_password(tmp_path: Path) -> None:
    if find_spec("psycopg") is None:
        missing("postgresql", "psycopg is not installed (extra: farm)")
    with pytest.raises(StoreError) as caught:
        Store(tmp_path, f"postgresql://me:sesame@/name?host={tmp_path}")
    assert "sesame" not in str(caught.value)
    assert "postgresql+psycopg://me:***@" in str(caught.value)


def test_a_full_disk_is_an_error_and_what_was_recorded_stays(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        run = open_run(store)
        store.record_fold(run, outcome(0, message="before"))
        with files_no_larger_than(200_000):
            with pytest.raises(StoreError, match="cannot write"):
                store.save_array(np.ones(100_000))
            with pytest.raises(StoreError, match=r"hepchallenge\.sqlite: "):
                store.record_fold(run, outcome(1, message="x" * 1_000_000))
        assert not list(tmp_path.rglob("*.npy"))
        assert not list(tmp_path.rglob("*.part"))
        store.record_fold(run, outcome(2, message="after"))
        assert {fold: kept.message for fold, kept in store.fold_outcomes(run).items()} == {
            0: "before",
            2: "after",
        }


def test_a_workspace_without_the_right_to_write_is_an_error() -> None:
    program = (
        "import os, sys\n"
        "from hepchallenge.exceptions import StoreError\n"
        "from hepchallenge.records import Submission\n"
        "from hepchallenge.store import Store\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try:\n"
        "    Store(sys.argv[1]).add_submission('c', Submission(name='n', digest='d', kind='code'))\n"
        "except StoreError as error:\n"
        "    print('refused:', error)\n"
    )
    # Not below pytest's folders, which only their owner can enter.
    with tempfile.TemporaryDirectory(prefix="hepchallenge-") as folder:
        Store(folder)
        os.chmod(Path(folder, "hepchallenge.sqlite"), 0o444)
        os.chmod(folder, 0o555)
        done = subprocess.run(
            [sys.executable, "-c", program, folder], capture_output=True, text=True, check=True
        )
        os.chmod(folder, 0o755)
    assert done.stdout.startswith(f"refused: {folder}/hepchallenge.sqlite: ")


def test_a_database_that_stays_locked_is_an_error_after_bounded_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.01)
    monkeypatch.setattr(engine, "_BUSY_TRIES", 3)
    with Store(tmp_path) as store:
        blocker = sqlite3.connect(tmp_path / "hepchallenge.sqlite", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process; tried 3 times"):
            store.add_submission("c", submission())
        blocker.execute("ROLLBACK")
        blocker.close()
        assert store.add_submission("c", submission()) == 1


def test_a_database_that_is_locked_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", 0.01)
    with Store(tmp_path) as store:
        blocker = sqlite3.connect(
            tmp_path / "hepchallenge.sqlite", isolation_level=None, check_same_thread=False
        )
        blocker.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, lambda: blocker.execute("ROLLBACK"))
        release.start()
        assert store.add_submission("c", submission()) == 1
        release.join()
        blocker.close()


def test_a_server_that_goes_away_is_an_error_and_its_return_is_noticed(
    tmp_path: Path, postgresql_socket: str
) -> None:
    import psycopg

    url = f"postgresql+psycopg://tester@/away?host={postgresql_socket}"
    with psycopg.connect(host=postgresql_socket, user="tester", dbname="postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE away")
        with Store(tmp_path, url) as store:
            store.add_submission("c", submission())
            admin.execute("ALTER DATABASE away ALLOW_CONNECTIONS false")
            with pytest.raises(StoreError, match="not currently accepting connections"):
                store.add_submission("c", submission("other"))
            admin.execute("ALTER DATABASE away ALLOW_CONNECTIONS true")
            second = store.add_submission("c", submission("other"))
            assert store.submission(second)[0].name == "other"
        admin.execute("DROP DATABASE away")


def test_a_silent_server_is_waited_for_as_long_as_the_url_says_else_a_minute(
    tmp_path: Path, postgresql_url: str
) -> None:
    with (
        Store(tmp_path, f"{postgresql_url}&tcp_user_timeout=1234") as store,
        store._database.engine.connect() as connection,
    ):
        driver: Any = connection.connection.driver_connection
        used = driver.info.get_parameters()
    assert (used["tcp_user_timeout"], used["keepalives_idle"], used["connect_timeout"]) == (
        "1234",
        "30",
        "10",
    )


def test_opening_a_workspace_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEPCHALLENGE_DATABASE", raising=False)
    monkeypatch.delenv("HEPCHALLENGE_WORKSPACE", raising=False)
    with pytest.raises(UsageError, match="no workspace here"):
        open_workspace(must_exist=True)
    assert not list(tmp_path.iterdir())
    assert open_workspace().workspace == tmp_path / "hepchallenge-workspace"
    monkeypatch.setenv("HEPCHALLENGE_WORKSPACE", "elsewhere")
    assert open_workspace().workspace == tmp_path / "elsewhere"
    assert open_workspace("named").workspace == tmp_path / "named"
    monkeypatch.setenv("HEPCHALLENGE_DATABASE", "mysql://host/name")
    with pytest.raises(StoreError, match="found one for mysql"):
        open_workspace()
