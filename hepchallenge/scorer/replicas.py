"""Replicas of scores: the errors that a finite number of events gives, and what ranks are compared by.

A score is the mean over folds and trainings; so is every replica of it, with the same counts of the same
events in all of them. Means over folds and trainings are therefore as correlated as they are.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hepchallenge.records import Scores
from hepchallenge.scoring.bootstrap import Counts, Kernel, at_least_one_row, standard_error

__all__ = ["VERSION", "Cell", "ScoredReplicas", "enough", "errors_of", "run_kernels"]

VERSION = "bootstrap 1"
"""Changes whenever replicas of the same predictions would."""

# Seconds of a run's scoring, and the fewest replicas.
_OFFICIAL_BY_KERNEL = (5.0, 200)
_OFFICIAL_BY_SCORE = (1.0, 100)
_OTHER = (0.2, 30)

# Kernels keep a sorted copy of what they are made from; so many rows of them are kept at once.
_ROWS_AT_ONCE = 5_000_000

Replicas = dict[str, dict[str, np.ndarray]]
"""`replicas[metric][part]`, arrays of shape (n_replicas,)."""


@dataclass(frozen=True)
class Cell:
    """One metric of one job on one part."""

    metric: str
    part: str
    rows: np.ndarray | None
    """Rows of the training or test table; None for all."""
    n_rows: int
    kernel: Kernel

    @property
    def seconds(self) -> float:
        """What one replica costs, roughly."""
        return self.kernel.nanoseconds * self.n_rows * 1e-9


class ScoredReplicas(Kernel):
    """Replicas of a metric without a kernel: rows are repeated as often as they count, and scored.

    Parameters
    ----------
    n_rows : int
    score : callable
        Returns the score of some rows, given by their places from 0 on; each may be there several times.
    """

    def __init__(self, n_rows: int, score: Callable[[np.ndarray], float]) -> None:
        self._score = score
        # Of a metric of the usual kind; and what a call costs besides.
        self.nanoseconds = 300.0 + 200_000.0 / max(1, n_rows)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Return the values on replicas, NaN where the metric fails."""
        places = np.arange(len(counts))
        values = np.full(counts.shape[1], math.nan)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # A replica without one of the classes is nothing that anybody could help.
            warnings.simplefilter("ignore")
            for number in range(counts.shape[1]):
                # Whatever a stranger's metric raises, here it means that there is no value.
                try:
                    values[number] = self._score(np.repeat(places, counts[:, number]))
                except Exception:
                    continue
        return values


def agrees(kernel: Kernel, n_rows: int, value: float | None) -> bool:
    """Tell whether a kernel gives the score itself if every row counts once."""
    found = float(kernel(np.ones((n_rows, 1), dtype=np.uint8))[0])
    return value is not None and math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-12)


def enough(cells: Sequence[Cell], n_jobs: int, official: str, most: int) -> dict[str, int]:
    """Return how many replicas of each metric are computed, from the cells of one of so many jobs.

    As many as are done within a time that is expected of the number of rows, never measured, so that numbers
    are the same everywhere; but never fewer than some. Of the official metric 5 s and 200 if it has a kernel,
    1 s and 100 if it has none; of other metrics 0.2 s and 30.
    """
    seconds: dict[str, float] = {}
    slow = set()
    for cell in cells:
        seconds[cell.metric] = seconds.get(cell.metric, 0.0) + cell.seconds * n_jobs
        if isinstance(cell.kernel, ScoredReplicas):
            slow.add(cell.metric)
    numbers = {}
    for metric, one in seconds.items():
        limit, fewest = _OTHER
        if metric == official:
            limit, fewest = _OFFICIAL_BY_SCORE if metric in slow else _OFFICIAL_BY_KERNEL
        numbers[metric] = min(most, max(fewest, int(limit / one)))
    return numbers


def run_kernels(
    cells_of: Callable[[int], Sequence[Cell]], n_jobs: int, n_rows: int, seed: int, numbers: Mapping[str, int]
) -> Replicas:
    """Return the replicas of all metrics on the parts of one table, means over the jobs.

    Parameters
    ----------
    cells_of
        Gives the cells of a job.
    n_jobs : int
    n_rows : int
        Of the table.
    seed : int
        Of the counts of its rows.
    numbers
        How many replicas of which metric.
    """
    replicas: Replicas = {}
    waiting: list[Cell] = []

    def run() -> None:
        for start, block in Counts(seed, max(numbers.values())).blocks(n_rows):
            chosen: tuple[np.ndarray | None, np.ndarray] = (None, at_least_one_row(block))
            for cell in waiting:
                stop = min(start + block.shape[1], numbers[cell.metric])
                if stop <= start:
                    continue
                if cell.rows is not chosen[0]:
                    taken = block if cell.rows is None else block.take(cell.rows, axis=0)
                    chosen = (cell.rows, at_least_one_row(taken))
                values = cell.kernel(chosen[1][:, : stop - start])
                replicas[cell.metric][cell.part][start:stop] += values
        waiting.clear()

    for job in range(n_jobs):
        for cell in cells_of(job):
            waiting.append(cell)
            of_metric = replicas.setdefault(cell.metric, {})
            of_metric.setdefault(cell.part, np.zeros(numbers[cell.metric]))
        if sum(cell.n_rows for cell in waiting) > _ROWS_AT_ONCE:
            run()
    if waiting:
        run()
    return {
        metric: {part: values / n_jobs for part, values in of_metric.items()}
        for metric, of_metric in replicas.items()
    }


def errors_of(replicas: Replicas) -> Scores:
    """Return the standard deviations of replicas; no entry where fewer than half are finite."""
    errors: Scores = {}
    for metric, of_metric in replicas.items():
        for part, values in of_metric.items():
            error = standard_error(values)
            if error is not None:
                errors.setdefault(metric, {})[part] = error
    return errors
