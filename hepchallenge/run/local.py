"""Jobs on this host: threads around one `Runner`."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager

from hepchallenge.records import Verdict
from hepchallenge.run.accounting import Accounting
from hepchallenge.run.backend import DoneJob, Heard, QueuedJob
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import FoldResult
from hepchallenge.run.runner import Runner

__all__ = ["LocalBackend"]

_TRIES = 2
"""How often a job is tried when the host fails it."""

_END_SECONDS = 10.0


class _Turns:
    """Keeps this process quiet while events are timed: any number of jobs run, or one thing is scored."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._scoring = False
        self._wanting_to_score = 0

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Be one of the jobs that run."""
        with self._changed:
            # Who waits for a score goes first, so that results are shown as they come.
            self._changed.wait_for(lambda: not self._scoring and not self._wanting_to_score)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def score(self) -> Iterator[None]:
        """Do what costs time while no job runs."""
        with self._changed:
            self._wanting_to_score += 1
            self._changed.wait_for(lambda: not self._scoring and not self._running)
            self._wanting_to_score -= 1
            self._scoring = True
        try:
            yield
        finally:
            with self._changed:
                self._scoring = False
                self._changed.notify_all()


class LocalBackend:
    """Runs jobs on this host; see `hepchallenge.run.backend.Backend`.

    Parameters
    ----------
    runner
        Runs one job a slot; it is closed with this.
    heard
        Told which job starts.
    afterwards
        Called when the runner is closed: what it leased is given back.
    """

    def __init__(
        self, runner: Runner, *, heard: Heard, afterwards: Callable[[], object] = lambda: None
    ) -> None:
        self._runner = runner
        self._turns = _Turns()
        self._heard = heard
        self._afterwards = afterwards
        self._given_up = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def isolation(self) -> Isolation:
        """The level at which all jobs run."""
        return self._runner.isolation

    @property
    def accounting(self) -> Accounting:
        """How all jobs are counted."""
        return self._runner.accounting

    @property
    def has_own_cores(self) -> bool:
        """Whether every job has its cores for itself, as far as other runs of ours go."""
        return self._runner.has_own_cores

    def quiet(self) -> AbstractContextManager[None]:
        """Wait until no event is timed, and let none be meanwhile."""
        return self._turns.score()

    def run(self, jobs: Iterator[QueuedJob]) -> Generator[list[DoneJob], None, None]:
        """Run jobs, as many at once as the runner has slots."""
        waiting: queue.SimpleQueue[QueuedJob | None] = queue.SimpleQueue()
        ended: queue.SimpleQueue[DoneJob | BaseException] = queue.SimpleQueue()
        stop = threading.Event()
        n_threads = self._runner.jobs
        # Daemons: a command that is interrupted does not wait for one that is stuck.
        threads = [
            threading.Thread(
                target=self._work, args=(waiting, ended, stop), name=f"job {number}", daemon=True
            )
            for number in range(n_threads)
        ]
        self._threads += threads
        for thread in threads:
            thread.start()
        open_jobs = 0
        more = True
        try:
            while True:
                # As many again wait, so that one starts while another's result is recorded.
                while more and open_jobs < 2 * n_threads:
                    job = next(jobs, None)
                    if job is None:
                        more = False
                    else:
                        waiting.put(job)
                        open_jobs += 1
                if not open_jobs:
                    return
                batch = [_done(ended.get())]
                with contextlib.suppress(queue.Empty):
                    while True:
                        batch.append(_done(ended.get_nowait()))
                open_jobs -= sum(done.final for done in batch)
                yield batch
        finally:
            stop.set()
            for _ in threads:
                waiting.put(None)

    def _work(
        self,
        waiting: queue.SimpleQueue[QueuedJob | None],
        ended: queue.SimpleQueue[DoneJob | BaseException],
        stop: threading.Event,
    ) -> None:
        """Run what waits until there is no more."""
        while (job := waiting.get()) is not None:
            if stop.is_set() or self._given_up.is_set():
                return
            try:
                for attempt in range(1, _TRIES + 1):
                    result = self._run_one(job)
                    failed = result is not None and result.verdict is Verdict.INFRASTRUCTURE
                    final = not failed or attempt == _TRIES or self._given_up.is_set()
                    ended.put(DoneJob(job=job, result=result, final=final))
                    if final:
                        break
            except BaseException as error:
                # A mistake of the organiser, or ours: it ends the command, in the thread that leads.
                ended.put(error)
                return

    def _run_one(self, job: QueuedJob) -> FoldResult | None:
        if not job.wanted():
            return None
        if job.here is not None:
            self._heard(job, "")
            return job.here()
        made = job.make()
        # Only events are timed one by one, so that nothing else in this process may disturb them.
        with self._turns.run() if made.events is not None else contextlib.nullcontext():
            self._heard(job, "")
            return self._runner.run_fold(made)

    def close(self) -> None:
        """End everything that runs, as nobody's fault."""
        self._given_up.set()
        self._runner.close()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        self._afterwards()


def _done(ended: DoneJob | BaseException) -> DoneJob:
    if isinstance(ended, BaseException):
        raise ended
    return ended
