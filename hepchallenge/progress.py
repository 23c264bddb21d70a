"""What a command wants to hear while it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hepchallenge.records import BoardEntry, FoldOutcome

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Hears how far things are. Submissions go by their labels, no two of which are equal."""

    def say(self, text: str) -> None:
        """Show a remark."""

    def begin(self, jobs: Mapping[str, int]) -> None:
        """Submissions without a verdict, each with its number of jobs (folds, each as often as trained)."""

    def taken_over(self, name: str, jobs: int) -> None:
        """So many jobs of a submission are on record from an earlier command."""

    def job_started(self, name: str, fold: int, training: int, host: str) -> None:
        """A job starts, on a host of a farm or (an empty word) on this one; called from any thread."""

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """So many events of a fold are predicted, out of so many; called from any thread."""

    def try_failed(self, name: str, outcome: FoldOutcome) -> None:
        """The host failed a job, which is tried again."""

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """A job has ended."""

    def job_dropped(self, name: str, fold: int, training: int) -> None:
        """A job was not run, since another one of its submission had failed."""

    def submission_done(self, entry: BoardEntry) -> None:
        """A submission has its verdict; its name is the label."""


class Silent:
    """Hears everything and shows nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def begin(self, jobs: Mapping[str, int]) -> None:
        """Show nothing."""

    def taken_over(self, name: str, jobs: int) -> None:
        """Show nothing."""

    def job_started(self, name: str, fold: int, training: int, host: str) -> None:
        """Show nothing."""

    def event_done(self, name: str, fold: int, done: int, total: int) -> None:
        """Show nothing."""

    def try_failed(self, name: str, outcome: FoldOutcome) -> None:
        """Show nothing."""

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        """Show nothing."""

    def job_dropped(self, name: str, fold: int, training: int) -> None:
        """Show nothing."""

    def submission_done(self, entry: BoardEntry) -> None:
        """Show nothing."""
