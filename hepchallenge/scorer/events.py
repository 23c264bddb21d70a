"""Scores of event challenges: event by event, each read, scored by every metric, and forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hepchallenge.exceptions import InvalidSubmission, OrganiserError
from hepchallenge.records import Scores
from hepchallenge.scorer.scorer import Scorer

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
    ) -> Scores:
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
        scores: Scores = {}
        if fold is not None and len(valid_is := truth.folds[fold][1]):
            table = self._event_scores("valid", valid_is, truth.y_train, predictions)
            self._combine("valid", table, self._seconds("valid", valid_is, seconds), scores)
        events = np.arange(len(truth.y_test))
        if len(events):
            table = self._event_scores("test", events, truth.y_test, predictions)
            times = self._seconds("test", events, seconds)
            self._combine("test", table, times, scores)
            for part, rows in truth.parts.items():
                self._combine(part, table[rows], None if times is None else times[rows], scores)
        return scores

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

    def errors(self, predictions: Sequence[Mapping[str, np.ndarray]]) -> Scores:
        """Return nothing: no metric of events tells an error yet."""
        return {}

    def score_bags(self, predictions: Sequence[Mapping[str, np.ndarray]], with_valid: bool) -> Scores:
        """Return nothing: groupings of hits are not combined."""
        return {}
