"""Jobs on this host: how many at once, how often, and what becomes of them when the command ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from hepchallenge.exceptions import OrganiserError
from hepchallenge.records import Verdict
from hepchallenge.run.accounting import Accounting
from hepchallenge.run.backend import DoneJob, QueuedJob
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import EventJob, FoldJob, FoldResult
from hepchallenge.run.local import LocalBackend
from hepchallenge.run.runner import Runner

SCORED = FoldResult(verdict=Verdict.SCORED)
BROKEN = FoldResult(verdict=Verdict.INFRASTRUCTURE, message="the disk is full")


class Stage:
    """Takes a runner's place: calls a function instead of running a submission."""

    isolation = Isolation.NONE
    accounting = Accounting.SAMPLED

    def __init__(self, jobs: int, run: Callable[[int], FoldResult]) -> None:
        self.jobs = jobs
        self.closed = False
        self._run = run

    def run_fold(self, job: FoldJob) -> FoldResult:
        return self._run(job.fold)

    def close(self) -> None:
        self.closed = True


def queued(number: int, *, wanted: bool = True, events: Any = None, **more: Any) -> QueuedJob:
    def make() -> FoldJob:
        empty = np.arange(0)
        return FoldJob(
            fold=number, submission=Path("."), train_is=empty, valid_is=empty, seed=0, events=events
        )

    return QueuedJob(
        **{"digest": "d", "number": number, "label": "x", "make": make, "wanted": lambda: wanted, **more}
    )


@contextlib.contextmanager
def backend_of(stage: Stage, **more: Any) -> Any:
    backend = LocalBackend(cast(Runner, stage), **{"heard": lambda job, host: None, **more})
    try:
        yield backend
    finally:
        backend.close()


def run_all(backend: LocalBackend, *jobs: QueuedJob) -> list[DoneJob]:
    return [done for batch in backend.run(iter(jobs)) for done in batch]


def test_every_job_ends_once_and_no_more_run_at_once_than_there_are_slots() -> None:
    lock, running, most = threading.Lock(), 0, 0

    def run(fold: int) -> FoldResult:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return SCORED

    with backend_of(Stage(3, run)) as backend:
        ended = run_all(backend, *map(queued, range(40)))
    assert Counter(done.job.number for done in ended) == Counter(range(40))
    assert all(done.final for done in ended)
    assert most == 3


def test_jobs_are_taken_only_when_there_is_room_for_them() -> None:
    go = threading.Event()
    taken = 0

    def jobs() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield queued(number)

    def run(fold: int) -> FoldResult:
        assert go.wait(60)
        return SCORED

    def open_the_gate(job: QueuedJob, host: str) -> None:
        seen.append(taken)
        go.set()

    seen: list[int] = []
    with backend_of(Stage(2, run), heard=open_the_gate) as backend:
        for _ in backend.run(jobs()):
            break
    # Two run, two wait; what follows is taken when one has ended.
    assert max(seen[:2]) <= 4


def test_what_the_host_fails_is_tried_once_more_and_both_tries_are_told() -> None:
    tries: Counter[int] = Counter()

    def run(fold: int) -> FoldResult:
        tries[fold] += 1
        return SCORED if fold == 1 and tries[fold] == 2 else BROKEN

    with backend_of(Stage(1, run)) as backend:
        ended = run_all(backend, queued(0), queued(1))
    told = [(done.job.number, done.result, done.final) for done in ended]
    assert told == [(0, BROKEN, False), (0, BROKEN, True), (1, BROKEN, False), (1, SCORED, True)]


def test_what_is_not_wanted_any_more_is_not_run() -> None:
    def run(fold: int) -> FoldResult:
        raise AssertionError("it was run")

    with backend_of(Stage(1, run)) as backend:
        (done,) = run_all(backend, queued(0, wanted=False))
    assert (done.result, done.final) == (None, True)


def test_a_prediction_file_is_read_here_and_not_by_the_runner() -> None:
    def run(fold: int) -> FoldResult:
        raise AssertionError("it was run")

    with backend_of(Stage(1, run)) as backend:
        (done,) = run_all(backend, queued(0, here=lambda: SCORED))
    assert done.result is SCORED


def test_a_mistake_of_the_organiser_ends_the_command() -> None:
    def make() -> FoldJob:
        raise OrganiserError("labels cannot be masked")

    with (
        backend_of(Stage(2, lambda fold: SCORED)) as backend,
        pytest.raises(OrganiserError, match="labels cannot be masked"),
    ):
        run_all(backend, *(queued(number, make=make) for number in range(9)))


def test_nothing_starts_after_the_iterator_was_closed() -> None:
    started: list[int] = []

    def run(fold: int) -> FoldResult:
        started.append(fold)
        return SCORED

    stage = Stage(1, run)
    with backend_of(stage) as backend:
        batches = backend.run(map(queued, range(1000)))
        next(batches)
        batches.close()
    assert stage.closed
    # Those that had been handed out, at most.
    assert len(started) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("job ") and t.is_alive()]


def test_while_something_is_scored_no_event_is_timed() -> None:
    overlaps: list[int] = []
    running: set[int] = set()

    def run(fold: int) -> FoldResult:
        running.add(fold)
        time.sleep(0.01)
        running.discard(fold)
        return SCORED

    events = EventJob(
        train=(), truths=(), test=(), n_rows=lambda *_: 0, keep=lambda *_: None, heard=lambda *_: None
    )  # type: ignore[arg-type]
    with backend_of(Stage(2, run)) as backend:
        batches = backend.run(queued(number, events=events) for number in range(12))
        for _ in batches:
            with backend.quiet():
                overlaps.append(len(running))
                time.sleep(0.01)
                overlaps.append(len(running))
    assert set(overlaps) == {0}
