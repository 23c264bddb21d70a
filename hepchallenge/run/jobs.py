"""What the runner is given for one fold, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hepchallenge.contract.events import EventInputs, EventTruths
from hepchallenge.records import HostFacts, PhaseUsage, Verdict

__all__ = ["EventJob", "FoldJob", "FoldResult"]


@dataclass(frozen=True, kw_only=True)
class EventJob:
    """What a fold of an event challenge is given; all of it is read when its turn has come.

    `truths` are those of the training events, of which only the fold's own are handed over. Predictions go to
    `keep` by key (`valid/3`, `test/0`) as they come, so that memory does not grow with the number of events.
    """

    train: EventInputs
    truths: EventTruths
    test: EventInputs
    n_rows: Callable[[str, int], int]
    """Number of rows that the prediction of an event must have, by part and number."""
    keep: Callable[[str, np.ndarray], None]
    heard: Callable[[int, int], None]
    """Told how many events are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class FoldJob:
    """One fold of one submission. `labels` are the training labels with all other rows masked.

    `predictions_class` is the challenge's `Predictions`, for the check of shapes; `n_test` is None where
    the test labels are unknown. With `events`, there are neither inputs on disk nor `labels`.
    """

    fold: int
    submission: Path
    train_is: np.ndarray
    valid_is: np.ndarray
    seed: int
    train_inputs: Path | None = None
    test_inputs: Path | None = None
    labels: Any = None
    n_train: int = 0
    n_test: int | None = None
    n_stream: int | None = None
    """Rows of the one shuffled stream that takes the place of all parts; then `test_inputs` holds it."""
    events: EventJob | None = None
    predictions_class: Any = None
    hidden: tuple[Path, ...] = ()
    """What must not be seen even if it lies in a place that is: the data, the workspace."""
    live_log: Path | None = None
    """Where the log is written as it comes, for `read_live_log`; the file stays."""


@dataclass(kw_only=True)
class FoldResult:
    """How a fold ended, with the arrays that passed the intake; those of events have gone to their keeper."""

    verdict: Verdict
    message: str = ""
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    phases: list[PhaseUsage] = field(default_factory=list)
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    gpus: tuple[str, ...] = ()
    gpu_seconds: float = 0.0
    gpu_peak_memory_bytes: int = 0
    event_seconds: dict[str, float] = field(default_factory=dict)
    """Wall-clock seconds of every event, by its key."""
    log: bytes = b""
    host: HostFacts | None = None
    """Where it ran; None if it did not get so far."""
