"""One command at a time for a run key, on one host or on many; who dies lets go."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.pool import NullPool
from store_records import key, open_run
from store_writer import SHARED, expected, start

from hepchallenge.exceptions import StoreError
from hepchallenge.store import Store, schema


def test_a_lock_makes_others_wait_say_so_and_is_freed_by_a_kill(
    tmp_path: Path, database_url: str | None
) -> None:
    holder = start("holding", tmp_path, database_url)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    said: list[str] = []

    def free() -> None:
        said.append("waiting")
        holder.kill()

    with Store(tmp_path, database_url) as store:
        with store.lock(key(seed=1), lambda: said.append("another key")):
            pass
        with store.lock(key(), free):
            said.append("mine")
        with store.lock(key(), lambda: said.append("again")):
            pass
    holder.communicate()
    assert said == ["waiting", "mine"]


def test_a_lock_excludes_threads_and_is_freed_by_an_error(store: Store) -> None:
    said: list[str] = []

    def other() -> None:
        with store.lock(key(), lambda: said.append("waits")):
            said.append("other")

    thread = threading.Thread(target=other)

    def hold_and_fail() -> None:
        with store.lock(key()):
            thread.start()
            while said != ["waits"]:
                time.sleep(0.01)
            said.append("first")
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        hold_and_fail()
    thread.join()
    assert said == ["waits", "first", "other"]


def test_trying_a_lock_never_waits_and_tells_whether_somebody_has_it(
    tmp_path: Path, database_url: str | None
) -> None:
    holder = start("holding", tmp_path, database_url)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with Store(tmp_path, database_url) as store:
        assert store.try_lock(key()) is None
        mine = store.try_lock(key(seed=1))
        assert mine is not None
        with mine:
            assert store.try_lock(key(seed=1)) is None
        again = store.try_lock(key(seed=1))
        assert again is not None
        with again:
            holder.communicate()
            freed = store.try_lock(key())
            assert freed is not None
            with freed:
                pass


def test_hundreds_of_locks_can_be_held_at_once(tmp_path: Path, database_url: str | None) -> None:
    keys = [key(seed=seed) for seed in range(400)]
    with Store(tmp_path, database_url) as store, Store(tmp_path, database_url) as other:
        held = [store.try_lock(one) for one in keys]
        assert None not in held
        assert other.try_lock(keys[399]) is None
        for lock in held:
            assert lock is not None
            with lock:
                pass
        free = other.try_lock(keys[399])
        assert free is not None
        with free:
            pass


def test_a_closed_store_holds_no_lock_on_the_server(tmp_path: Path, postgresql_url: str) -> None:
    with Store(tmp_path, postgresql_url) as other:
        with Store(tmp_path, postgresql_url) as store:
            held = store.try_lock(key())
            assert held is not None
            assert other.try_lock(key()) is None
        freed = other.try_lock(key())
        assert freed is not None
        with freed, held:
            pass


def test_locks_survive_the_connection_that_held_them(tmp_path: Path, postgresql_url: str) -> None:
    engine = create_engine(postgresql_url, poolclass=NullPool)
    with Store(tmp_path, postgresql_url) as store, Store(tmp_path, postgresql_url) as other:
        held = store.try_lock(key())
        assert held is not None
        with held, engine.connect() as connection:
            mine = select(func.pg_terminate_backend(text("pid"))).select_from(text("pg_stat_activity"))
            connection.execute(mine.where(text("query LIKE '%pg_try_advisory_lock%' AND state = 'idle'")))
            with store.lock(key(seed=1)):
                assert other.try_lock(key()) is None
        with other.lock(key()):
            pass


def test_a_lock_that_cannot_be_had_is_an_error(tmp_path: Path, postgresql_socket: str) -> None:
    import psycopg

    url = f"postgresql+psycopg://tester@/lockless?host={postgresql_socket}"
    with psycopg.connect(host=postgresql_socket, user="tester", dbname="postgres", autocommit=True) as admin:
        admin.execute("CREATE DATABASE lockless")
        with Store(tmp_path, url) as store:
            admin.execute("ALTER DATABASE lockless ALLOW_CONNECTIONS false")
            with pytest.raises(StoreError, match=r"cannot lock: .*not currently accepting connections"):
                store.try_lock(key())
        admin.execute("DROP DATABASE lockless")
    (tmp_path / "sqlite").mkdir()
    (tmp_path / "sqlite" / "locks").touch()
    with Store(tmp_path / "sqlite") as store, pytest.raises(StoreError, match="cannot lock: File exists"):
        store.try_lock(key())


def test_two_workspaces_on_one_server_do_not_wait_for_each_other(
    tmp_path: Path, postgresql_url: str, request: pytest.FixtureRequest
) -> None:
    name = postgresql_url.rsplit("%3D", 1)[1]
    with create_engine(postgresql_url, poolclass=NullPool).begin() as connection:
        connection.execute(text(f'CREATE SCHEMA "{name}_other"'))
    other_url = postgresql_url.replace(name, f"{name}_other")
    with (
        Store(tmp_path / "one", postgresql_url) as one,
        Store(tmp_path / "other", other_url) as other,
        one.lock(key()),
    ):
        held = other.try_lock(key())
        assert held is not None
        with held:
            pass


def test_organisers_share_the_work_one_of_them_is_killed_and_every_fold_is_recorded_once(
    tmp_path: Path, database_url: str | None
) -> None:
    workspace = tmp_path / "workspace"
    victim, *others = (start("sharing", workspace, database_url) for _ in range(3))
    for organiser in (victim, *others):
        assert organiser.stdin is not None
        organiser.stdin.write("go\n")
    assert victim.stdout is not None
    said = [victim.stdout.readline() for _ in range(3)]
    # Within a run, with its lock.
    os.kill(victim.pid, signal.SIGKILL)
    said += victim.stdout.readlines()
    for organiser in others:
        said += organiser.communicate()[0].splitlines(keepends=True)
    assert [organiser.returncode for organiser in others] == [0, 0]
    victim.communicate()
    words = [line.split() for line in said]
    assert len({word[1] for word in words if word[0] == "secret"}) == 1
    assert sum(word[0] == "done" for word in words) == 2
    folds = Counter(tuple(word[1:]) for word in words if word[0] == "fold")
    assert max(folds.values()) == 1
    # What the victim recorded last it may not have said.
    assert len(folds) >= 3 * len(SHARED) - 1
    engine = create_engine(
        database_url or f"sqlite:///{workspace / 'hepchallenge.sqlite'}", poolclass=NullPool
    )
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(schema.runs)).scalar_one() == len(SHARED)
        assert connection.execute(select(func.count()).select_from(schema.folds)).scalar_one() == 60
    with Store(workspace, database_url) as store:
        for one in SHARED:
            for fold, recorded in store.fold_outcomes(open_run(store, one)).items():
                np.testing.assert_array_equal(store.load_array(recorded.predictions["test"]), expected(fold))
