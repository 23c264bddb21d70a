"""Many processes, killed at any moment: nothing recorded is lost, doubled or damaged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import NullPool
from store_records import open_run, submission
from store_writer import expected, start

from hepchallenge.store import Store, schema

KILLS = 40


def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing(
    tmp_path: Path, database_url: str | None
) -> None:
    workspace = tmp_path / "workspace"
    moments = random.Random(20_140_512)
    told: list[list[str]] = []
    with start("killed", workspace, database_url) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for kill in range(KILLS):
            writer.stdin.write("go\n")
            line = writer.stdout.readline().split()
            while line[0] != "pid":
                told.append(line)
                line = writer.stdout.readline().split()
            child = int(line[1])
            # The first kills fall into the making of the database, the later ones into every other step.
            while kill >= 10 and line[0] != "fold":
                line = writer.stdout.readline().split()
                told.append(line)
            time.sleep(moments.uniform(0.0, 0.1))
            os.kill(child, signal.SIGKILL)
            while line[0] != "dead":
                line = writer.stdout.readline().split()
                told.append(line)
        writer.stdin.close()

    with Store(workspace, database_url) as store:
        run = open_run(store)
        found = store.fold_outcomes(run)
        folds_told = [int(words[1]) for words in told if words[0] == "fold"]
        scorings_told = [int(words[1]) for words in told if words[0] == "scoring"]
        assert len(folds_told) >= KILLS - 10
        assert {tuple(words[1:]) for words in told if words[0] == "run"} == {(str(run.id), "1")}
        assert set(folds_told) <= set(found)
        assert max(Counter(folds_told).values()) == 1
        assert sorted(found) == list(range(len(found)))
        for fold, outcome in found.items():
            np.testing.assert_array_equal(store.load_array(outcome.predictions["test"]), expected(fold))
            assert store.load_log(outcome.log) == b"log"
        scored = [scoring.scores["auc"]["test"] for scoring in store.scorings(run)]
        assert set(scorings_told) <= set(scored)
        assert max(Counter(scored).values()) == 1
    if database_url is None:
        with sqlite3.connect(workspace / "hepchallenge.sqlite") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


def test_processes_that_write_at_once_agree_on_one_record(tmp_path: Path, database_url: str | None) -> None:
    workspace = tmp_path / "workspace"
    writers = [start("together", workspace, database_url) for _ in range(3)]
    said: list[list[str]] = []
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
    for writer in writers:
        assert writer.stdout is not None
        said.append(list(iter(writer.stdout.readline, "done\n")))
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("rerun\n")
    attempts = sorted(writer.communicate()[0] for writer in writers)
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    # Who was there first differs by fold, but all were told the same winner.
    assert said[0] == said[1] == said[2]
    assert len(said[0]) == 25
    assert attempts == ["rerun 2\n", "rerun 3\n", "rerun 4\n"]
    engine = create_engine(
        database_url or f"sqlite:///{workspace / 'hepchallenge.sqlite'}", poolclass=NullPool
    )
    with engine.connect() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (schema.schema_version, schema.submissions, schema.runs, schema.folds)
        ]
    assert counts == [1, 1, 4, 25]


def test_threads_may_share_one_store(store: Store) -> None:
    ids: list[int] = []

    def add() -> None:
        ids.extend(store.add_submission("c", submission(f"kit {i}")) for i in range(10))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 40
    assert len(set(ids)) == 10
