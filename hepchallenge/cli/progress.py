"""Progress for people: a live display in a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from hepchallenge.records import BoardEntry, FoldOutcome
from hepchallenge.text import clean, safe_text

__all__ = ["ShownProgress"]

_SECONDS_BETWEEN_LINES = 5.0


class ShownProgress:
    """Shows how far folds and submissions are.

    Use as a context manager. In a terminal there is a bar for every submission that has folds to run;
    elsewhere one line is printed whenever a fold or a submission has ended.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._events: dict[tuple[str, int], TaskID] = {}
        self._started = self._last_event_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def _line(self, text: str) -> None:
        safe = " ".join(safe_text(text).split("\n"))
        if self._live:
            self._console.print(safe, markup=False)
        else:
            print(safe, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Show a remark."""
        self._line(text)

    def begin(self, folds: dict[str, int]) -> None:
        """Show a bar for every submission with folds to run."""
        for name, count in folds.items():
            if count:
                self._tasks[name] = self._bars.add_task(clean(name, 40), total=count)

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """Show a bar for the events of a fold, or print a line now and then."""
        if self._live:
            if (name, fold) not in self._events:
                self._events[name, fold] = self._bars.add_task(f"  {clean(name, 38)} events", total=total)
            task = self._events[name, fold]
            self._bars.update(task, completed=done, visible=done < total)
        elif time.monotonic() - self._last_event_line > _SECONDS_BETWEEN_LINES and done < total:
            self._last_event_line = time.monotonic()
            elapsed = time.monotonic() - self._started
            self._line(f"[{elapsed:6.1f} s] {name}: fold {fold}: {done} of {total} events")

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """Move a submission's bar on, or print a line."""
        if self._live:
            self._bars.advance(self._tasks[name])
            return
        used = f"{outcome.wall_seconds:.1f} s wall, {outcome.cpu_seconds:.1f} s CPU"
        elapsed = time.monotonic() - self._started
        self._line(f"[{elapsed:6.1f} s] {name}: fold {outcome.fold} {outcome.verdict.value} ({used})")

    def submission_done(self, entry: BoardEntry) -> None:
        """Print a submission's verdict."""
        reason = entry.scoring.message.strip().splitlines()
        shown = f": {reason[-1] if len(reason) > 1 else reason[0]}" if reason else ""
        self._line(f"{entry.submission.name}: {entry.scoring.verdict.value}{shown}")
