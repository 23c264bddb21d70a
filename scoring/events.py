"""Scores of event challenges: one number an event, then one number for all events.

An event is scored as soon as it is read and forgotten again, so that any number of events is scored in the
memory of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rampwf.score_types import BaseScoreType

__all__ = ["EventPredictions", "EventScore"]


class EventScore(BaseScoreType):  # type: ignore[misc]
    """A RAMP score type whose value is made of one number per event.

    Subclasses define `score_event`, and `combine` if they want another than the plain mean over events.

    Parameters
    ----------
    name : str
        Name on the board.
    precision : int
        Decimals shown.

    Attributes
    ----------
    needs_seconds : bool
        Whether the value depends on the time per event, which `ramp-test` does not measure.
    """

    is_lower_the_better = False
    minimum = 0.0
    maximum = 1.0
    needs_seconds = False

    def __init__(self, name: str, precision: int = 4) -> None:
        self.name = name
        self.precision = precision

    def score_event(self, truth: Any, prediction: NDArray[Any]) -> float:
        """Return the number of one event from its truth and its prediction, one row a hit."""
        raise NotImplementedError(f"{type(self).__name__}.score_event")

    def combine(self, event_scores: NDArray[np.float64], seconds: NDArray[np.float64] | None) -> float:
        """Return the value for all events: here the mean, every event counting the same.

        Parameters
        ----------
        event_scores : array of float64, shape (n_events,)
            What `score_event` gave; at least one.
        seconds : array of float64, shape (n_events,), or None
            Wall-clock seconds per event, None where they were not measured (prediction files, ramp-test).
        """
        return math.fsum(event_scores) / len(event_scores)

    def score_function(self, ground_truths: Any, predictions: Any) -> float:
        """Return the value as `ramp-test` asks for it, from sequences of events and without times."""
        return self(ground_truths.y_pred, predictions.y_pred)

    def __call__(self, y_true: Sequence[Any], y_pred: Sequence[NDArray[Any]]) -> float:
        """Return the value for a sequence of truths and one of predictions."""
        scores = [self.score_event(truth, pred) for truth, pred in zip(y_true, y_pred, strict=True)]
        return float(self.combine(np.array(scores, dtype=np.float64), None))


class EventPredictions:
    """Predictions of events, or their truth, as ramp-workflow's prediction types hold those of rows.

    Parameters
    ----------
    y_pred : array, or sequence of arrays, optional
        Prediction of one event, as a plain array, which is checked; or predictions of several events.
    y_true : sequence, optional
        Truth of events.
    n_samples : int, optional
        Makes room for so many events, none of which has a prediction yet.
    fold_is : array of int, optional
        Which events to keep.

    Attributes
    ----------
    y_pred : array
        The checked prediction of one event; otherwise one object per event, None where there is none.
    """

    def __init__(
        self, y_pred: Any = None, y_true: Any = None, n_samples: int | None = None, fold_is: Any = None
    ) -> None:
        self.y_pred: NDArray[Any]
        if isinstance(y_pred, np.ndarray) and y_pred.dtype != object:
            self.y_pred = self.checked(y_pred)
            return
        values = y_pred if y_pred is not None else y_true
        if values is None:
            values = [None] * int(n_samples or 0)
        rows = range(len(values)) if fold_is is None else np.asarray(fold_is)
        self.y_pred = np.empty(len(rows), dtype=object)
        for place, row in enumerate(rows):
            self.y_pred[place] = values[int(row)]

    @classmethod
    def checked(cls, prediction: NDArray[Any]) -> NDArray[Any]:
        """Return the prediction of one event, or raise an error that says what is wrong with it.

        Here anything is fine; subclasses say what a challenge takes. Number of rows and finiteness are
        checked by whoever runs the submission.
        """
        return prediction

    @property
    def valid_indexes(self) -> NDArray[np.bool_]:
        """Which events have a prediction."""
        return np.array([item is not None for item in self.y_pred], dtype=bool)

    def set_valid_in_train(self, predictions: EventPredictions, test_is: Any) -> None:
        """Fill in the events of a fold."""
        self.y_pred[test_is] = predictions.y_pred

    def set_slice(self, valid_indexes: Any) -> None:
        """Keep some events."""
        self.y_pred = self.y_pred[valid_indexes]

    @classmethod
    def combine(
        cls, predictions_list: Sequence[EventPredictions], index_list: Any = None
    ) -> EventPredictions:
        """Return, per event, the first prediction that there is: two ways to group hits have no mean."""
        numbers = range(len(predictions_list)) if index_list is None else index_list
        chosen = [predictions_list[number] for number in numbers]
        combined = cls(n_samples=len(chosen[0].y_pred))
        for member in reversed(chosen):
            known = member.valid_indexes
            combined.y_pred[known] = member.y_pred[known]
        return combined
