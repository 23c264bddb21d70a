"""The TrackML workflow: a tracker sees one event at a time and labels its hits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.submitted import load_class
from hepchallenge.challenges.trackml.events import Event, TrainingEvents
from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.scoring.events import EventPredictions

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TrackPredictions", "TrackerWorkflow"]


class TrackerWorkflow:
    """Makes and applies a submission's `tracker.py`, which holds a class `Tracker` with

    `fit(events)`, optional
        `events` can be gone through any number of times and gives, per training event, a tuple
        `(event_id, hits, cells, particles, truth)` of DataFrames with the columns of the published files;
        `events.detectors` are the modules. What takes time once (tables, compilation, training) belongs here:
        it is not timed with the events.
    `predict_event(hits, cells, detectors)`
        One track id per hit, in the order of the rows of `hits`: whole numbers from 0. Hits with equal ids
        are a track. Hits that belong to no track may share an id or have one each.

    Parameters
    ----------
    element_names : list of str
        Names of the submission's files without `.py`; ramp-workflow reads this attribute.
    """

    def __init__(self, element_names: list[str] | None = None) -> None:
        self.element_names = ["tracker"] if element_names is None else element_names

    def train_submission(self, module_path: str, X: Any, y: Any, train_is: Any = None) -> Any:
        """Return the submission's tracker, fitted on the training events if it can be."""
        tracker = load_class(module_path, self.element_names[0], "Tracker", sanitize=True)()
        if hasattr(tracker, "fit"):
            rows = np.arange(len(X)) if train_is is None else np.asarray(train_is)
            tracker.fit(TrainingEvents(X, y, rows))
        return tracker

    def predict_event(self, model: Any, event: Event, shared: pd.DataFrame) -> NDArray[np.int64]:
        """Return the track ids of one event.

        Raises
        ------
        InvalidSubmission
            If they are not whole numbers from 0, one per hit.
        """
        found = np.asarray(model.predict_event(event.hits, event.cells, shared))
        if found.shape != (len(event.hits),):
            expected = f"{len(event.hits)} track ids, one per hit"
            raise InvalidSubmission(f"predict_event: expected {expected}, found shape {found.shape}")
        if found.dtype.kind not in "iu":
            raise InvalidSubmission(f"predict_event: expected whole numbers, found dtype {found.dtype}")
        # Checked again where the submission cannot reach.
        return TrackPredictions.checked(found)

    def test_submission(self, trained_model: Any, X: Any) -> list[NDArray[np.int64]]:
        """Return the track ids of all events, as `ramp-test` asks for them."""
        return [self.predict_event(trained_model, X[row], X.shared) for row in range(len(X))]


class TrackPredictions(EventPredictions):
    """Track ids of events: whole numbers from 0, one per hit."""

    @classmethod
    def checked(cls, prediction: NDArray[Any]) -> NDArray[np.int64]:
        """Return the track ids of one event as int64, or raise InvalidSubmission."""
        if prediction.ndim != 1 or prediction.dtype.kind not in "iu":
            found = f"{prediction.dtype} of shape {prediction.shape}"
            raise InvalidSubmission(f"expected one whole number per hit, found {found}")
        if not prediction.size:
            return prediction.astype(np.int64)
        low, high = int(prediction.min()), int(prediction.max())
        if low < 0:
            row = int(np.argmax(prediction < 0))
            raise InvalidSubmission(f"expected track ids from 0, found {low} (the first in row {row})")
        if high > np.iinfo(np.int64).max:
            raise InvalidSubmission(f"expected track ids below 2^63, found {high}")
        return prediction.astype(np.int64, copy=False)
