"""Scores of event challenges: event by event, each read, scored by every metric, and forgotten."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hepchallenge.exceptions import InvalidSubmission, OrganiserError
from hepchallenge.records import Scores
from hepchallenge.scorer.replicas import Cell, ScoredReplicas
from hepchallenge.scorer.scorer import JobScores, Scorer

__all__ = ["EventScorer"]


class EventScorer(Scorer):
    """Scores predictions whose keys name part and event (`valid/3`, `test/0`).

    The parts are `valid` and `test`, the latter also by its `public` and `private` events. Training events
    are not scored, and folds are not combined: there is no mean of two ways to group hits.
    """

    def prepare(self) -> None:
        """There is nothing that all events share."""

    def score_fold(
        self,
        fold: int | None,
        predictions: Mapping[str, np.ndarray],
        seconds: Mapping[str, float] | None = None,
    ) -> JobScores:
        """Return the scores of one fold on every part.

        Parameters
        ----------
        fold
            Number of the fold; None for a prediction file, which is scored on test events only.
        predictions
            One array an event by key; read one at a time.
        seconds
            Wall-clock seconds by the same keys; metrics that need them are refused without.

        Raises
        ------
        InvalidSubmission
            If a metric cannot be computed or is not finite.
        """
        truth = self._truth
        job = JobScores({})
        if fold is not None and len(valid_is := truth.folds[fold][1]):
            self._take_part(job, "valid", valid_is, truth.y_train, predictions, seconds)
        events = np.arange(len(truth.y_test))
        if len(events):
            self._take_part(job, "test", events, truth.y_test, predictions, seconds)
            for part, rows in truth.parts.items():
                job.by_event[part] = job.by_event["test"][rows]
                if "test" in job.seconds:
                    job.seconds[part] = job.seconds["test"][rows]
        for part, table in job.by_event.items():
            self._combine(part, table, job.seconds.get(part), job.scores)
        return job

    def _take_part(
        self,
        job: JobScores,
        part: str,
        events: Iterable[int],
        truths: Any,
        predictions: Mapping[str, np.ndarray],
        seconds: Mapping[str, float] | None,
    ) -> None:
        job.by_event[part] = self._event_scores(part, events, truths, predictions)
        times = self._seconds(part, events, seconds)
        if times is not None:
            job.seconds[part] = times

    def _event_scores(
        self, part: str, events: Iterable[int], truths: Any, predictions: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Return one row an event, one column a metric."""
        rows = []
        for number in events:
            truth, prediction = truths[int(number)], predictions[f"{part}/{number}"]
            rows.append([self._one(metric, part, number, truth, prediction) for metric in self._score_types])
        return np.array(rows, dtype=np.float64)

    @staticmethod
    def _one(metric: Any, part: str, number: int, truth: Any, prediction: np.ndarray) -> float:
        try:
            return float(metric.score_event(truth, prediction))
        except InvalidSubmission:
            raise
        except OrganiserError:
            # Of the truth, and nobody but the organiser is told.
            raise
        except Exception as error:
            # The text of this error may hold labels; only its kind is shown.
            what = f"metric {metric.name} cannot be computed on {part}/{number}: {type(error).__name__}"
            raise InvalidSubmission(what) from error

    @staticmethod
    def _seconds(part: str, events: Iterable[int], seconds: Mapping[str, float] | None) -> np.ndarray | None:
        if not seconds:
            return None
        return np.array([seconds[f"{part}/{number}"] for number in events], dtype=np.float64)

    def _combine(self, part: str, table: np.ndarray, seconds: np.ndarray | None, scores: Scores) -> None:
        for column, metric in enumerate(self._score_types):
            if metric.needs_seconds and seconds is None:
                raise InvalidSubmission(f"metric {metric.name} needs the time per event; submit code")
            value = float(metric.combine(table[:, column], seconds))
            if not math.isfinite(value):
                raise InvalidSubmission(f"metric {metric.name} is {value} on {part}, not a finite number")
            scores.setdefault(str(metric.name), {})[part] = value

    def _cells(
        self, which: str, job: int, predictions: Mapping[str, np.ndarray], known: JobScores
    ) -> list[Cell]:
        """Return what has to be computed for a job on training or test events."""
        truth = self._truth
        cells = []
        for part, table in known.by_event.items():
            if (part == "valid") != (which == "train"):
                continue
            rows = truth.folds[job % len(truth.folds)][1] if part == "valid" else truth.parts.get(part)
            times = known.seconds.get(part)
            for column, metric in enumerate(self._score_types):
                kernel = ScoredReplicas(len(table), self._score_of_some(metric, table[:, column], times))
                # Combining the numbers of some events is quick, whatever it took to get them.
                kernel.nanoseconds = 5e4 / len(table)
                cells.append(Cell(str(metric.name), part, rows, len(table), kernel))
        return cells

    @staticmethod
    def _score_of_some(
        metric: Any, values: np.ndarray, times: np.ndarray | None
    ) -> Callable[[np.ndarray], float]:
        return lambda places: float(metric.combine(values[places], None if times is None else times[places]))

    def score_bags(self, predictions: Sequence[Mapping[str, np.ndarray]], with_valid: bool) -> Scores:
        """Return nothing: groupings of hits are not combined."""
        return {}
