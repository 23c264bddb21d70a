"""Progress on stderr: a live view in a terminal, plain lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from hepchallenge.cli.tally import Tally
from hepchallenge.cli.view import bar, lines, most_rows, summary
from hepchallenge.records import BoardEntry, FoldOutcome
from hepchallenge.text import safe_text

if TYPE_CHECKING:
    from hepchallenge.blend import Step

__all__ = ["JsonProgress", "ShownProgress", "progress_for"]

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_OBJECTS = 1.0
_MANY = 50
"""With more submissions than this, lines tell of every submission, no longer of every fold."""


class _Counting:
    """Counts what it hears, whichever thread tells it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tally = Tally()
        self._started = time.monotonic()

    def begin(self, jobs: Mapping[str, int]) -> None:
        """Count the jobs of submissions that have no verdict."""
        with self._lock:
            self._tally.begin(jobs)

    def taken_over(self, name: str, jobs: int) -> None:
        """Count jobs that are on record."""
        with self._lock:
            self._tally.taken_over(name, jobs)

    def job_started(self, name: str, fold: int, training: int, host: str) -> None:
        """Count a job as running."""
        with self._lock:
            self._tally.job_started(name, (fold, training), host, time.monotonic())

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """Note how many events of a fold are predicted."""
        with self._lock:
            self._tally.events(name, fold, done, total)

    def try_failed(self, name: str, outcome: FoldOutcome) -> None:
        """Count a try that the host failed."""
        with self._lock:
            self._tally.try_failed(name, (outcome.fold, outcome.training), time.monotonic())

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """Count a job that has ended."""
        job = outcome.fold, outcome.training
        with self._lock:
            self._tally.job_done(name, job, succeeded=outcome.succeeded, now=time.monotonic())

    def job_dropped(self, name: str, fold: int, training: int) -> None:
        """Count a job that is not run."""
        with self._lock:
            self._tally.job_dropped(name, (fold, training), time.monotonic())

    def submission_done(self, entry: BoardEntry) -> None:
        """Count a verdict."""
        with self._lock:
            self._tally.submission_done(entry.submission.name, time.monotonic())

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started


class ShownProgress(_Counting):
    """Shows people how far things are. Use as a context manager.

    In a terminal there are a bar over all jobs and a row for every submission that runs, as many as there is
    room for; what has a verdict scrolls by as a line. Elsewhere there is a line whenever a fold or a
    submission has ended; with many submissions a line every few seconds takes the place of those of folds.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        # A dumb terminal cannot take back what was drawn.
        shown = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(self, console=self._console, transient=True) if shown else None
        self._many = False
        self._last_line = self._started
        self._step: Step | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the view as large as the terminal is now."""
        now = time.monotonic()
        with self._lock:
            totals = self._tally.totals
            left = self._tally.seconds_left(now)
            rows, more = self._tally.rows(now, most_rows(console.height))
            step = self._step
        # The last column is left free: terminals differ in where the cursor is after it.
        width = options.max_width - 1
        if totals.submissions > totals.submissions_done:
            yield from lines(totals, left, rows, more, width, ascii_only=options.ascii_only)
        elif step is not None:
            drawn = bar(step.fold + step.done, step.n_folds, min(24, width), ascii_only=options.ascii_only)
            drawn.append(f" {_step_text(step)}").truncate(width, overflow="ellipsis")
            yield drawn

    def _line(self, text: str) -> None:
        safe = " ".join(safe_text(text).split("\n"))
        if self._live:
            self._console.print(safe, markup=False)
        else:
            with self._lock:
                _write(safe)

    def _timed_line(self, text: str) -> None:
        self._line(f"[{self._elapsed:6.1f} s] {text}")

    def _is_time(self) -> bool:
        """Whether it is time for another line; then that is the last one."""
        now = time.monotonic()
        with self._lock:
            if now - self._last_line < _SECONDS_BETWEEN_LINES:
                return False
            self._last_line = now
            return True

    def _line_now_and_then(self) -> None:
        if self._many and self._is_time():
            with self._lock:
                totals, left = self._tally.totals, self._tally.seconds_left(time.monotonic())
            self._timed_line(summary(totals, left))

    def say(self, text: str) -> None:
        """Show a remark."""
        self._line(text)

    def begin(self, jobs: Mapping[str, int]) -> None:
        """Show from now on how far submissions are."""
        super().begin(jobs)
        self._many = self._live is None and len(jobs) > _MANY

    def taken_over(self, name: str, jobs: int) -> None:
        """Count jobs that are on record, or print a line."""
        super().taken_over(name, jobs)
        if not self._live and not self._many:
            word = "job is" if jobs == 1 else "jobs are"
            self._line(f"{name}: {jobs} {word} on record from before")

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """Note how many events of a fold are predicted, or print a line now and then."""
        super().event_done(name, fold, done, total)
        if not self._live and not self._many and done < total and self._is_time():
            self._timed_line(f"{name}: fold {fold}: {done} of {total} events")

    def try_failed(self, name: str, outcome: FoldOutcome) -> None:
        """Count a try that the host failed, or print a line."""
        super().try_failed(name, outcome)
        if not self._live and not self._many:
            reason = _last(outcome.message)
            self._timed_line(f"{name}: {_where(outcome)}: the host failed it, it is tried again{reason}")
        self._line_now_and_then()

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """Count a job that has ended, or print a line."""
        super().fold_done(name, outcome)
        if not self._live and not self._many:
            used = f"{outcome.wall_seconds:.1f} s wall, {outcome.cpu_seconds:.1f} s CPU"
            self._timed_line(f"{name}: {_where(outcome)} {outcome.verdict.value} ({used})")
        self._line_now_and_then()

    def submission_done(self, entry: BoardEntry) -> None:
        """Print a submission's verdict."""
        super().submission_done(entry)
        reason = _last(entry.scoring.message)
        self._line(f"{entry.submission.name}: {entry.scoring.verdict.value}{reason}")
        self._line_now_and_then()

    def step(self, step: Step) -> None:
        """Show how far ensembles have grown; elsewhere than in a terminal a line a fold, and now and then."""
        with self._lock:
            self._step = step
        if not self._live and (step.done or self._is_time()):
            self._timed_line(_step_text(step))


class JsonProgress(_Counting):
    """Tells programs how far things are: a JSON object a line, as `schemas/progress-1.schema.json` says.

    Use as a context manager. The event `progress`, with all numbers, follows others at most once a second,
    and closes what was begun.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last_object = float("-inf")
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun:
            self._tell_progress()

    def _tell(self, event: str, **facts: Any) -> None:
        # All but ASCII is escaped, so that no name can do anything to a terminal.
        told = {"event": event, "seconds": round(self._elapsed, 3), **facts}
        line = json.dumps(told, allow_nan=False)
        with self._lock:
            _write(line)

    def _tell_progress(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._last_object = now
            totals, left = self._tally.totals, self._tally.seconds_left(now)
        left = None if left is None else round(left, 1)
        self._tell("progress", **asdict(totals), waiting=totals.waiting, seconds_left=left)

    def _now_and_then(self) -> None:
        if self._begun and time.monotonic() - self._last_object >= _SECONDS_BETWEEN_OBJECTS:
            self._tell_progress()

    def say(self, text: str) -> None:
        """Tell a remark."""
        self._tell("remark", text=text)

    def begin(self, jobs: Mapping[str, int]) -> None:
        """Tell which submissions have no verdict."""
        super().begin(jobs)
        self._begun = True
        self._tell("begin", submissions=dict(jobs))
        self._tell_progress()

    def taken_over(self, name: str, jobs: int) -> None:
        """Tell of jobs that are on record."""
        super().taken_over(name, jobs)
        self._tell("taken_over", submission=name, jobs=jobs)
        self._now_and_then()

    def job_started(self, name: str, fold: int, training: int, host: str) -> None:
        """Tell of a job that starts."""
        super().job_started(name, fold, training, host)
        self._tell("job_started", submission=name, fold=fold, training=training, host=host)
        self._now_and_then()

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """Tell of events, as often as of progress: there may be thousands a second."""
        super().event_done(name, fold, done, total)
        if self._begun and time.monotonic() - self._last_object >= _SECONDS_BETWEEN_OBJECTS:
            self._tell("events", submission=name, fold=fold, done=done, total=total)
            self._tell_progress()

    def try_failed(self, name: str, outcome: FoldOutcome) -> None:
        """Tell of a try that the host failed."""
        super().try_failed(name, outcome)
        self._tell("try_failed", **_ended(name, outcome), message=outcome.message)
        self._now_and_then()

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """Tell of a job that has ended."""
        super().fold_done(name, outcome)
        seconds = {"wall_seconds": outcome.wall_seconds, "cpu_seconds": outcome.cpu_seconds}
        self._tell("job_done", **_ended(name, outcome), **seconds)
        self._now_and_then()

    def job_dropped(self, name: str, fold: int, training: int) -> None:
        """Tell of a job that is not run."""
        super().job_dropped(name, fold, training)
        self._tell("job_dropped", submission=name, fold=fold, training=training)
        self._now_and_then()

    def submission_done(self, entry: BoardEntry) -> None:
        """Tell a verdict."""
        super().submission_done(entry)
        verdict = {"verdict": entry.scoring.verdict.value, "message": entry.scoring.message}
        self._tell("submission", submission=entry.submission.name, digest=entry.submission.digest, **verdict)
        self._now_and_then()

    def step(self, step: Step) -> None:
        """Tell how far an ensemble has grown."""
        facts = {"fold": step.fold, "folds": step.n_folds, "taken": step.taken, "done": step.done}
        self._tell("blend_step", **facts, score=step.score if math.isfinite(step.score) else None)


def progress_for(as_json: bool) -> ShownProgress | JsonProgress:
    """Return what shows the progress of a command, for programs or for people."""
    return JsonProgress() if as_json else ShownProgress()


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _ended(name: str, outcome: FoldOutcome) -> dict[str, Any]:
    return {
        "submission": name,
        "fold": outcome.fold,
        "training": outcome.training,
        "verdict": outcome.verdict.value,
    }


def _where(outcome: FoldOutcome) -> str:
    training = f", training {outcome.training}" if outcome.training else ""
    return f"fold {outcome.fold}{training}"


def _last(message: str) -> str:
    """Return the line of a message that says most, to follow something."""
    reason = message.strip().splitlines()
    return f": {reason[-1] if len(reason) > 1 else reason[0]}" if reason else ""


def _step_text(step: Step) -> str:
    return f"fold {step.fold}: {step.taken} taken, {step.score:.6g}"
