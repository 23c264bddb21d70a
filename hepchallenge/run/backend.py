"""Where jobs run: what the pipeline asks of this host, or of a farm."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from hepchallenge.run.accounting import Accounting
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import FoldJob, FoldResult

__all__ = ["Backend", "DoneJob", "Heard", "QueuedJob"]


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """A job that waits for its turn: one fold of one submission, trained once.

    What it needs is made when its turn has come, so that any number of jobs can wait in little memory.
    """

    digest: str
    """Of the submission."""
    number: int
    """Of the job, as `records.job_number` counts."""
    label: str
    """What its submission is called."""
    make: Callable[[], FoldJob]
    """Called when its turn has come, and again for another try; from any thread."""
    wanted: Callable[[], bool]
    """False once its submission needs no more jobs; from any thread."""
    here: Callable[[], FoldResult] | None = None
    """Takes the place of `make` where nothing of the submission is executed: a prediction file is read in
    this process, wherever other jobs run."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from all other jobs of a command."""
        return self.digest, self.number


@dataclass(frozen=True, kw_only=True)
class DoneJob:
    """How a job ended, or one try of it."""

    job: QueuedJob
    result: FoldResult | None
    """None: it was not wanted any more, and was not run."""
    final: bool = True
    """False: the host failed it, and it is tried again."""


Heard = Callable[[QueuedJob, str], None]
"""Told which job starts, and on which host (an empty word for this one); called from any thread."""


class Backend(Protocol):
    """Runs jobs under the conditions that it was made with."""

    @property
    def isolation(self) -> Isolation:
        """The level at which all jobs run."""

    @property
    def accounting(self) -> Accounting:
        """How all jobs are counted."""

    def run(self, jobs: Iterator[QueuedJob]) -> Generator[list[DoneJob], None, None]:
        """Run jobs, taken as there is room for them; yield what has ended, in any order.

        Every job is yielded once with `final`, in whatever way it ended; before that once for every try
        that the host failed. To close the iterator early gives up what runs.

        Raises
        ------
        InfrastructureError
            If no job can be run any more. What was yielded is done; the others can be run later.
        """

    def quiet(self) -> AbstractContextManager[None]:
        """Keep this host quiet for events that are timed on it: work that can wait is done within."""

    def close(self) -> None:
        """End everything that runs, as nobody's fault."""
