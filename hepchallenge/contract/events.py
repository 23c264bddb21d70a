"""Challenges whose inputs are events instead of rows: what their `problem.py` has to give.

A challenge has events if its workflow can predict one: `predict_event(model, event, shared)`. Inputs and
labels are then sequences with one item per event, read when asked for, so that no step needs the memory of
more than a few events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hepchallenge.contract.challenge import Challenge
from hepchallenge.contract.checks import each_fold
from hepchallenge.exceptions import ContractError

__all__ = ["EventInputs", "EventTruths", "check_event_folds", "check_events"]

Indices = NDArray[np.int64]


class EventInputs(Protocol):
    """What `get_train_data` and `get_test_data` give as inputs.

    Attributes
    ----------
    shared : object
        What all events have in common, such as the detector; handed over once, before anything else. None
        if there is no such thing.
    event_ids : sequence of int, optional
        Ids of the events, which submissions see of training events; by default their numbers.
    """

    @property
    def shared(self) -> Any:
        """What all events have in common."""

    def __len__(self) -> int:
        """Return the number of events."""

    def __getitem__(self, index: int, /) -> Any:
        """Return what a submission sees of one event. May be called from several threads at once."""


class EventTruths(Protocol):
    """What `get_train_data` and `get_test_data` give as labels; the length of an item is its number of rows.

    A prediction of an event has one value (or row) for each of them.
    """

    def __len__(self) -> int:
        """Return the number of events."""

    def __getitem__(self, index: int, /) -> Any:
        """Return the truth of one event. May be called from several threads at once."""


def check_events(challenge: Challenge, name: str, X: Any, y: Any) -> None:
    """Check what a data function of an event challenge gave.

    Parameters
    ----------
    name : str
        `get_train_data` or `get_test_data`, for the message.

    Raises
    ------
    ContractError
        If inputs or truths are not sequences, differ in length, or there is no `shared`.
    """
    file = challenge.problem.file
    for word, value in (("inputs", X), ("truths", y)):
        if not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
            expected = f"{word} as a sequence with one item per event"
            raise ContractError(file, name, expected, type(value).__name__)
    if len(X) != len(y):
        raise ContractError(file, name, f"truths of {len(X)} events", f"truths of {len(y)}")
    if not hasattr(X, "shared"):
        expected = "inputs with an attribute shared (what all events have in common, or None)"
        raise ContractError(file, name, expected, f"{type(X).__name__} without it")


def check_event_folds(
    challenge: Challenge, folds: Iterable[Any], n_train: int
) -> list[tuple[Indices, Indices]]:
    """Check the folds of an event challenge and return them as pairs of int64 arrays.

    As `check_folds`, except that either side of a fold may be empty: a tracker need not be trained, and a
    data set of one event has nothing to validate on. Negative numbers are out of range.

    Raises
    ------
    ContractError
        If there is no fold, a fold is not a pair of whole numbers in range, or an event is twice in one.
    """
    file = challenge.problem.file
    checked = []
    for number, fold in enumerate(each_fold(challenge, folds)):
        where = f"get_cv: fold {number}"
        try:
            sides = [np.asarray(side) for side in fold]
        except (TypeError, ValueError):
            sides = []
        if len(sides) != 2 or any(side.ndim != 1 for side in sides):
            raise ContractError(file, where, "a pair (train indices, valid indices)", type(fold).__name__)
        for side in sides:
            if side.size and (side.dtype.kind not in "iu" or side.min() < 0 or side.max() >= n_train):
                expected = f"whole numbers from 0 to {n_train - 1}"
                raise ContractError(file, where, expected, f"{side.dtype} from {side.min()} to {side.max()}")
        events = np.concatenate([side.astype(np.int64) for side in sides])
        values, counts = np.unique(events, return_counts=True)
        if (counts > 1).any():
            twice = values[counts > 1][0]
            raise ContractError(file, where, "every event once", f"event {twice} twice")
        checked.append((sides[0].astype(np.int64), sides[1].astype(np.int64)))
    if not checked:
        raise ContractError(file, "get_cv", "at least one fold", "none")
    return checked
