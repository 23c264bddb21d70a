"""How far a command is: what it heard so far, as numbers. Knows no terminal, and no clock of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = ["Row", "Tally", "Totals", "span"]

_LATELY = 60.0
"""Seconds over which it is averaged how many jobs run at once."""

Job = tuple[int, int]
"""Fold and training."""


@dataclass(kw_only=True, slots=True)
class Totals:
    """Numbers of jobs and submissions; only of submissions that had no verdict when the command began."""

    jobs: int = 0
    """All that there are."""
    recorded: int = 0
    """On record from earlier commands."""
    done: int = 0
    """Ended in this command, with predictions or without."""
    failed: int = 0
    """Of those done: without predictions."""
    dropped: int = 0
    """Not run, since another one of their submission had failed."""
    running: int = 0
    failed_tries: int = 0
    """Tries that the host failed and that are tried again."""
    submissions: int = 0
    submissions_done: int = 0
    """With a verdict since."""

    @property
    def settled(self) -> int:
        """Jobs for which nothing is to be done any more."""
        return self.recorded + self.done + self.dropped

    @property
    def waiting(self) -> int:
        """Jobs that have not started, or that are to be tried again."""
        return self.jobs - self.settled - self.running


@dataclass(frozen=True, kw_only=True)
class Row:
    """A submission of which jobs run now."""

    name: str
    settled: int
    total: int
    running: int
    hosts: tuple[str, ...]
    """Where, each once; empty on this host."""
    seconds: float
    """Since when the oldest of the running jobs runs."""
    failed_tries: int
    events: tuple[int, int] | None
    """Events that are predicted in the running folds, and how many there are; None if none were told of."""


@dataclass(slots=True)
class _Started:
    host: str
    since: float
    more: int = 0
    """Starts of which it is not known yet that the try before had failed."""


@dataclass(slots=True)
class _Open:
    """A submission without a verdict."""

    total: int
    recorded: int = 0
    done: int = 0
    failed: int = 0
    dropped: int = 0
    failed_tries: int = 0
    timed: int = 0
    """Jobs whose time is in `seconds`."""
    seconds: float = 0.0
    running: dict[Job, _Started] = field(default_factory=dict)
    events: dict[int, tuple[int, int]] | None = None

    @property
    def settled(self) -> int:
        return self.recorded + self.done + self.dropped

    @property
    def left(self) -> int:
        return self.total - self.settled

    @property
    def free(self) -> int:
        """How many of those left do not run."""
        return self.left - len(self.running)


class Tally:
    """Counts what a command tells of its jobs.

    Every event costs the same time however many submissions there are, and a submission that waits or is done
    costs little memory or none. What is heard of submissions that are unknown is not counted. Times are
    seconds of any clock that does not go back.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        # In the order of their first start, so that rows keep their places.
        self._active: dict[str, None] = {}
        self._reset()

    def _reset(self) -> None:
        self._totals = Totals()
        self._timed = 0
        self._seconds = 0.0
        self._dropped = 0
        # Seconds of work left where a submission's own jobs tell how long one takes; jobs left elsewhere.
        self._known_work = 0.0
        self._unknown_jobs = 0
        self._busy = self._weight = 0.0
        self._counted_at: float | None = None

    @property
    def totals(self) -> Totals:
        """All numbers, as they are now."""
        return replace(self._totals)

    # What is heard

    def begin(self, jobs: Mapping[str, int]) -> None:
        """Add submissions that have no verdict; when all before have theirs, counting starts anew."""
        if not self._open:
            self._reset()
        for name, total in jobs.items():
            if name in self._open:
                continue
            self._open[name] = one = _Open(total)
            self._totals.submissions += 1
            self._totals.jobs += total
            self._weigh(one, 1)

    def taken_over(self, name: str, jobs: int) -> None:
        """Count jobs as on record."""
        if one := self._open.get(name):
            jobs = min(jobs, one.free)
            self._weigh(one, -1)
            one.recorded += jobs
            self._totals.recorded += jobs
            self._weigh(one, 1)

    def job_started(self, name: str, job: Job, host: str, now: float) -> None:
        """Count a job as running."""
        one = self._open.get(name)
        if one is None:
            return
        self._active[name] = None
        before = one.running.get(job)
        if before is None:
            if one.free:
                self._count_running(now, 1)
                one.running[job] = _Started(host, now)
        else:
            one.running[job] = _Started(host, now, before.more + 1)

    def events(self, name: str, fold: int, done: int, total: int) -> None:
        """Note how many events of a fold are predicted."""
        if one := self._open.get(name):
            one.events = one.events or {}
            one.events[fold] = (done, total)

    def try_failed(self, name: str, job: Job, now: float) -> None:
        """Count a try that the host failed; its job waits again, unless its next try was heard of first."""
        if one := self._open.get(name):
            one.failed_tries += 1
            self._totals.failed_tries += 1
            started = one.running.get(job)
            if started is not None and started.more:
                started.more -= 1
            else:
                self._stop(one, job, now)

    def job_done(self, name: str, job: Job, *, succeeded: bool, now: float) -> None:
        """Count a job that has ended."""
        one = self._open.get(name)
        if one is None or not (job in one.running or one.free):
            return
        started = self._stop(one, job, now)
        self._weigh(one, -1)
        one.done += 1
        self._totals.done += 1
        if not succeeded:
            one.failed += 1
            self._totals.failed += 1
        if started is not None:
            self._timed += 1
            taken = max(0.0, now - started.since)
            one.timed += 1
            one.seconds += taken
            self._seconds += taken
        self._weigh(one, 1)

    def job_dropped(self, name: str, job: Job, now: float) -> None:
        """Count a job that is not run."""
        one = self._open.get(name)
        if one is not None and (job in one.running or one.free):
            self._stop(one, job, now)
            self._drop(one, 1)

    def submission_done(self, name: str, now: float) -> None:
        """Let go of a submission; whatever of it was not heard to end needed not be run."""
        one = self._open.get(name)
        if one is None:
            return
        for job in list(one.running):
            self._stop(one, job, now)
        self._drop(one, one.left)
        self._totals.submissions_done += 1
        self._active.pop(name, None)
        del self._open[name]

    def _drop(self, one: _Open, jobs: int) -> None:
        self._weigh(one, -1)
        one.dropped += jobs
        self._totals.dropped += jobs
        if one.done:
            # Else they were dropped for what was on record, and tell nothing of jobs to come.
            self._dropped += jobs
        self._weigh(one, 1)

    def _stop(self, one: _Open, job: Job, now: float) -> _Started | None:
        started = one.running.pop(job, None)
        if started is not None:
            self._count_running(now, -1)
            if one.events:
                one.events.pop(job[0], None)
        return started

    # Time left

    def _weigh(self, one: _Open, sign: int) -> None:
        """Add what is left of a submission to the work left, or take it off before it changes."""
        if one.timed:
            self._known_work += sign * one.seconds / one.timed * one.left
        else:
            self._unknown_jobs += sign * one.left

    def _average(self, now: float) -> tuple[float, float]:
        """Return the integral over how many jobs ran, and that over time, both fading into the past."""
        if self._counted_at is None:
            return 0.0, 0.0
        passed = max(0.0, now - self._counted_at)
        fade = math.exp(-passed / _LATELY)
        fresh = _LATELY * -math.expm1(-passed / _LATELY)
        return self._busy * fade + self._totals.running * fresh, self._weight * fade + fresh

    def _count_running(self, now: float, change: int) -> None:
        self._busy, self._weight = self._average(now)
        self._counted_at = now if self._counted_at is None else max(now, self._counted_at)
        self._totals.running += change

    def seconds_left(self, now: float) -> float | None:
        """Return how many seconds everything that is left may take; None while nobody can know.

        The work left is the number of jobs left of every submission times the mean time of its jobs so far
        (of all jobs, where none of its own has ended); it goes on as many slots as were busy on average
        lately. The time of a job that runs counts as far as it has run; one that outlives the mean is
        expected to go on for as long as it did beyond. Jobs that were dropped take no time, so that
        submissions that fail early make it shorter.
        """
        totals = self._totals
        if totals.settled == totals.jobs:
            return 0.0
        if not self._timed or self._counted_at is None:
            return None
        if not totals.running and now - self._counted_at > _LATELY:
            # Whether anything ever runs again, its past does not tell.
            return None
        mean = self._seconds / (self._timed + self._dropped)
        work = max(0.0, self._known_work) + mean * self._unknown_jobs
        longest = 0.0
        for name in self._active:
            one = self._open[name]
            expected = one.seconds / one.timed if one.timed else mean
            for started in one.running.values():
                rest = abs(expected - max(0.0, now - started.since))
                work += rest - expected
                longest = max(longest, rest)
        busy, weight = self._average(now)
        if busy <= 0.0:
            return None
        return max(longest, max(0.0, work) * weight / busy)

    # Rows

    def rows(self, now: float, most: int) -> tuple[list[Row], int]:
        """Return at most so many submissions that run now, and how many more there are."""
        running = ((name, self._open[name]) for name in self._active if self._open[name].running)
        shown = [_row(name, one, now) for name, one in itertools.islice(running, max(0, most))]
        return shown, sum(1 for _ in running)


def _row(name: str, one: _Open, now: float) -> Row:
    counts = [one.events[fold] for fold, _ in one.running if fold in one.events] if one.events else []
    return Row(
        name=name,
        settled=one.settled,
        total=one.total,
        running=len(one.running),
        hosts=tuple(dict.fromkeys(started.host for started in one.running.values() if started.host)),
        seconds=max(0.0, *(now - started.since for started in one.running.values())),
        failed_tries=one.failed_tries,
        events=(sum(done for done, _ in counts), sum(total for _, total in counts)) if counts else None,
    )


def span(seconds: float | None) -> str:
    """Return a length of time in few words, as nobody needs it more exactly; `?` for None.

    Examples
    --------
    >>> span(42), span(250), span(12_345), span(400_000), span(None)
    ('42 s', '4 min', '3 h 26 min', '5 days', '?')
    """
    if seconds is None:
        return "?"
    if seconds <= 59:
        return f"{math.ceil(seconds)} s"
    if (minutes := round(seconds / 60)) < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{round(minutes / 60 / 24)} days"
