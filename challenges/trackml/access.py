"""What the TrackML challenges share of the contract: the functions of `problem.py` that read events."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepchallenge.challenges.trackml.data import open_events, prepare_data, test_parts
from hepchallenge.challenges.trackml.events import Events, Truths
from hepchallenge.data import open_prepared

__all__ = ["EventReader", "get_cv", "get_hit_ids"]

StrPath = str | os.PathLike[str]


def get_cv(X: Any, y: Any) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return the one fold: the last quarter of the training events, rounded up, validates.

    A single training event is trained on and not validated. A tracker learns the same from any events, so
    more folds would only repeat the exercise.
    """
    events = np.arange(len(X))
    n_valid = 0 if len(events) < 2 else -(-len(events) // 4)
    return [(events[: len(events) - n_valid], events[len(events) - n_valid :])]


def get_hit_ids(X: Events, index: int) -> NDArray[np.int64]:
    """Return the ids of an event's hits, by which rows of a prediction file name them."""
    return X.hit_ids(index)


class EventReader:
    """Reads the events of one challenge.

    Parameters
    ----------
    challenge : str
        Its name, under which its data are prepared.
    make_toy_data : function
        Of its `problem.py`.
    """

    def __init__(self, challenge: str, make_toy_data: Callable[..., None]) -> None:
        self._challenge = challenge
        self._make_toy_data = make_toy_data

    def _prepared(self, path: StrPath) -> Path:
        return open_prepared(
            path, challenge=self._challenge, prepare=prepare_data, make_toy=self._make_toy_data
        )

    def _events(self, path: StrPath, part: str) -> tuple[Events, Truths]:
        events, truths = open_events(self._prepared(path), part)
        if os.environ.get("RAMP_TEST_MODE"):
            # A quick look: enough to see that a tracker fits, and what one event of each part takes.
            return events[:2], truths[:2]
        return events, truths

    def get_train_data(self, path: StrPath = ".") -> tuple[Events, Truths]:
        """Return the training events and their truth."""
        return self._events(path, "train")

    def get_test_data(self, path: StrPath = ".") -> tuple[Events, Truths]:
        """Return the test events and their truth."""
        return self._events(path, "test")

    def get_test_ids(self, path: StrPath = ".") -> NDArray[np.int64]:
        """Return the ids of the test events."""
        return self.get_test_data(path)[0].event_ids

    def get_test_parts(self, path: StrPath = ".") -> NDArray[np.str_]:
        """Return the part of every test event, `public` or `private`."""
        return test_parts(self._prepared(path))[: len(self.get_test_data(path)[0])]
