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

__all__ = ["EventScore"]


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
