"""Training events as a submission sees them: sequences whose items come from the runner when asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hepchallenge.bundle import load_shared
from hepchallenge.run.frames import Channel, Kind

__all__ = ["TrainingSet", "received"]


def received(descriptor: int | None) -> Any:
    """Return the object that came as a descriptor, which is closed."""
    if descriptor is None:
        raise ConnectionError("the runner's frame came without the object that belongs to it")
    try:
        return load_shared(descriptor)
    finally:
        os.close(descriptor)


class TrainingSet:
    """The training events of one fold; every other event is out of reach.

    Only the event that was asked for last is kept here, so that any number of them can be gone through.

    Attributes
    ----------
    inputs, truths
        Sequences over all events of the training data; asking for one that is not in `train_is`, or for any
        after `close`, is an IndexError.
    """

    def __init__(self, channel: Channel, train_is: np.ndarray, event_ids: Sequence[int], shared: Any) -> None:
        self._channel = channel
        self._known = {int(number) for number in train_is}
        self.event_ids = event_ids
        self._last: tuple[int, Any] = (-1, None)
        self._closed = False
        self._process = os.getpid()
        self._one_at_a_time = threading.Lock()
        self.inputs = _Inputs(self, shared)
        self.truths = _Side(self, 1)

    def __len__(self) -> int:
        return len(self.event_ids)

    def close(self) -> None:
        """Let go of the last event; from here on no more are handed out."""
        self._last = (-1, None)
        self._closed = True

    def pair(self, number: int) -> Any:
        """Return inputs and truth of an event."""
        if os.getpid() != self._process:
            # Two processes that read from one channel would take each other's events.
            raise RuntimeError(
                f"event {number}: only the process in which fit runs can ask for training events; ask there, "
                "and give them to its child processes"
            )
        with self._one_at_a_time:
            return self._pair(number)

    def _pair(self, number: int) -> Any:
        if self._closed:
            raise IndexError(f"event {number}: training events are handed out while fit runs, not later")
        if number not in self._known:
            raise IndexError(f"event {number} is none of the {len(self._known)} training events of this fold")
        if self._last[0] != number:
            self._last = (-1, None)
            self._channel.send(Kind.ASK, {"event": number})
            _, descriptor = self._channel.receive_with_descriptor()
            self._last = (number, received(descriptor))
        return self._last[1]


class _Side(Sequence[Any]):
    """Inputs or truths of the training events."""

    def __init__(self, events: TrainingSet, side: int) -> None:
        self._events = events
        self._side = side

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return self._events.pair(number)[self._side]

    def __iter__(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))


class _Inputs(_Side):
    """Inputs, with what all events share, and the ids of the events."""

    def __init__(self, events: TrainingSet, shared: Any) -> None:
        super().__init__(events, 0)
        self.shared = shared
        self.event_ids = events.event_ids
