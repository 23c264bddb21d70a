"""A program that writes to a store from a process of its own, for the tests that watch or kill it.

usage: store_writer.py MODE WORKSPACE [URL]

`killed`   for every line on stdin, fork a child that records folds one after the other, until it is killed;
           each recorded fact is printed after the store returned.
`together` wait for a line, then record folds of one run without any lock, and print what stands.
`opening`  wait for a line, then open the store and print the version of its schema.
`sharing`  wait for a line, then record folds of many runs, those last that somebody else has locked.
`holding`  hold a run's lock and say so until stdin ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from store_records import key, open_run, outcome, scored

from hepchallenge.records import RunKey
from hepchallenge.store import Store
from hepchallenge.store.schema import SCHEMA_VERSION

SHARED = [key(seed=seed) for seed in range(20)]


def start(mode: str, workspace: Path, url: str | None) -> subprocess.Popen[str]:
    """Start this program in a process of its own and wait until it is ready."""
    writer = subprocess.Popen(
        [sys.executable, __file__, mode, workspace, *([url] if url else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def say(*words: object) -> None:
    # One write a line, so that a kill never leaves half of one.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def expected(fold: int) -> np.ndarray:
    return np.random.default_rng(fold).random((500, 2))


def record_until_killed(workspace: Path, url: str | None) -> None:
    with Store(workspace, url) as store, store.lock(key()):
        run = open_run(store)
        say("run", run.id, run.attempt)
        done = store.fold_outcomes(run)
        for fold in range(10_000):
            if fold in done:
                continue
            stored = store.save_array(expected(fold))
            store.record_fold(run, outcome(fold, predictions={"test": stored}, log=store.save_log(b"log")))
            say("fold", fold)
            store.record_scoring(run, scored(float(fold)))
            say("scoring", fold)


def share(workspace: Path, url: str | None) -> None:
    with Store(workspace, url) as store:
        say("secret", store.secret().hex())
        aside = []
        for one in SHARED:
            held = store.try_lock(one)
            if held is None:
                aside.append(one)
                continue
            with held:
                record_missing(store, one)
        for one in aside:
            with store.lock(one):
                record_missing(store, one)
        say("done", len(aside))


def record_missing(store: Store, one: RunKey) -> None:
    run = open_run(store, one)
    done = store.fold_outcomes(run)
    for fold in range(3):
        if fold not in done:
            # As long as a fold takes; else nobody would find anything locked.
            time.sleep(0.02)
            stored = store.save_array(expected(fold))
            store.record_folds([(run, outcome(fold, message=str(os.getpid()), predictions={"test": stored}))])
            say("fold", one.seed, fold)


def main(mode: str, workspace: Path, url: str | None) -> None:
    if url:
        import psycopg  # noqa: F401  # once, not in every child
    say("ready")
    if mode == "killed":
        for _ in sys.stdin:
            child = os.fork()
            if child == 0:
                record_until_killed(workspace, url)
            say("pid", child)
            os.waitpid(child, 0)
            say("dead")
    elif mode == "together":
        sys.stdin.readline()
        with Store(workspace, url) as store:
            run = open_run(store)
            for fold in range(25):
                stands = store.record_fold(run, outcome(fold, message=f"{os.getpid()}"))
                say(run.id, fold, stands.message)
            say("done")
            sys.stdin.readline()
            say("rerun", open_run(store, rerun=True).attempt)
    elif mode == "sharing":
        sys.stdin.readline()
        share(workspace, url)
    elif mode == "opening":
        sys.stdin.readline()
        with Store(workspace, url):
            say("opened", SCHEMA_VERSION)
    elif mode == "holding":
        with Store(workspace, url) as store, store.lock(key()):
            say("held")
            sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
