"""The untrusted end: one fold of one submission, inside its sandbox.

This process holds the participant's code together with what it may know: the features, and the labels
of its own training rows (all other rows masked). It speaks frames on the private channel and
nothing else leaves it.
"""

from __future__ import annotations

import errno
import os
import pickle
import sys
import traceback
from abc import ABC, abstractmethod
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from hepchallenge.bundle import load_bundle
from hepchallenge.exceptions import InvalidSubmission
from hepchallenge.run.event_fold import TrainingSet, received
from hepchallenge.run.frames import Channel, Frame, Kind

__all__ = ["FoldTask", "serve_fold"]

_MAX_TRACEBACK = 12_000
_OUT_OF_REACH = (
    "(A submission runs apart from the challenge's data files. It can count on its own files, the "
    "challenge's Python files, and the inputs that it is given.)"
)
_SCRATCH_IS_FULL = (
    "(What a submission may write is limited: see `scratch` among the challenge's limits, shown by "
    "`hepchallenge info`. It is taken from the memory allowed.)"
)


@dataclass(frozen=True)
class FoldTask:
    """Where a fold finds its public inputs; paths are valid inside the sandbox.

    Without `train_inputs` the challenge has events, which are handed over one by one.
    """

    submission: str
    train_inputs: str | None
    test_inputs: str | None
    seed: int
    gpus: str = ""
    """The value of CUDA_VISIBLE_DEVICES."""


def _seed_everything(seed: int) -> None:
    import random

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - RAMP submissions draw from the global generator
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def _own_traceback(error: BaseException, submission: str) -> str:
    """Return the traceback from the first frame of the submission on; ours would not help its author."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((i for i, f in enumerate(frames) if f.filename.startswith(submission)), None)
    shown = frames[first:] if first is not None else frames[-1:]
    for frame in shown:
        frame.filename = frame.filename.removeprefix(submission + os.sep)
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(shown)]
    lines += traceback.format_exception_only(error)
    return "".join(lines)[-_MAX_TRACEBACK:]


def _plain_array(value: Any) -> np.ndarray:
    """Return a prediction as a plain ndarray, or raise InvalidSubmission saying what came instead."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidSubmission(
            f"predictions must be plain numbers or text in rows of equal length: {error}"
        ) from None
    if type(array) is not np.ndarray:
        array = np.array(array, subok=False)
    if array.dtype.kind in "OT":
        array = _plain_items(array)
    if array.dtype.kind not in "biufU":
        raise InvalidSubmission(
            f"predictions must be plain numbers or text; predict returned {type(value).__name__} "
            f"with dtype {array.dtype} and shape {array.shape}"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return array


def _plain_items(array: np.ndarray) -> np.ndarray:
    """Return an array of objects that are all text or all numbers as text or numbers, others as they are."""
    items = array.ravel().tolist()
    if all(isinstance(item, str) for item in items):
        return array.astype(np.str_)
    if all(isinstance(item, bool | int | float | np.bool_ | np.number) for item in items):
        return np.array(items).reshape(array.shape)
    return array


def _predict(workflow: Any, model: Any, inputs: Any, fold: Any) -> Any:
    """Call `test_submission` as ramp-test does: with the fold if its third argument is called so."""
    parameters = list(signature(workflow.test_submission).parameters)
    if len(parameters) == 3 and parameters[2] == "fold":
        return workflow.test_submission(model, inputs, fold)
    return workflow.test_submission(model, inputs)


def serve_fold(channel: Channel, task: FoldTask, workflow: Any) -> None:
    """Answer the runner's frames until it says DONE: fit once, then predict what is asked for."""
    # Before anything can ask for a device; the warm interpreter never does.
    os.environ["CUDA_VISIBLE_DEVICES"] = task.gpus
    fold = (_OnRows if task.train_inputs is not None else _OnEvents)(channel, task, workflow)
    channel.send(Kind.READY)
    frame, descriptor = channel.receive_with_descriptor()
    try:
        _seed_everything(task.seed)
        if task.submission not in sys.path:
            # Last, so that no file of a submission can stand in for a library's module.
            sys.path.append(task.submission)
        fold.fit(frame, descriptor)
        channel.send(Kind.FITTED)
        fold.predict()
    except InvalidSubmission as error:
        # Also from a challenge's workflow, which knows no label that its participant does not know.
        channel.send(Kind.ERROR, {"step": fold.step, "fault": "prediction"}, str(error).encode())
    except BaseException as error:
        # Also SystemExit and KeyboardInterrupt: a submission that ends itself is told so.
        if isinstance(error, FileNotFoundError):
            error.add_note(_OUT_OF_REACH)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            error.add_note(_SCRATCH_IS_FULL)
        text = _own_traceback(error, task.submission)
        channel.send(Kind.ERROR, {"step": fold.step}, text.encode("utf-8", "replace"))


class _Fold(ABC):
    """What both kinds of challenge share; `step` is what the participant is told when it fails."""

    def __init__(self, channel: Channel, task: FoldTask, workflow: Any) -> None:
        self.channel = channel
        self.task = task
        self.workflow = workflow
        self.step = "fit"

    @abstractmethod
    def fit(self, frame: Frame, descriptor: int | None) -> None:
        """Fit the submission with what came in the first frame."""

    @abstractmethod
    def predict(self) -> None:
        """Predict what is asked for until nothing more is."""


class _OnRows(_Fold):
    """Serves a challenge whose inputs are rows: all of them lie ready from the start."""

    def fit(self, frame: Frame, descriptor: int | None) -> None:
        y, train_is, self._valid_is = pickle.loads(frame.payload)
        self._train_is = train_is
        assert self.task.train_inputs is not None, "rows are served from staged inputs"
        self._train_inputs = load_bundle(self.task.train_inputs)
        self._model = self.workflow.train_submission(self.task.submission, self._train_inputs, y, train_is)

    def predict(self) -> None:
        while (frame := self.channel.receive()).kind is Kind.PREDICT:
            part = frame.header["part"]
            self.step = f"predict on {part}"
            if part == "train":
                fold = (self._train_is, self._valid_is)
                prediction = _predict(self.workflow, self._model, self._train_inputs, fold)
            else:
                assert self.task.test_inputs is not None, "a test part was asked for that was not staged"
                inputs = load_bundle(self.task.test_inputs)
                prediction = _predict(self.workflow, self._model, inputs, None)
            self.channel.send_array(Kind.PREDICTION, {"part": part}, _plain_array(prediction))


class _OnEvents(_Fold):
    """Serves a challenge whose inputs are events: nothing of one is here before its turn."""

    def fit(self, frame: Frame, descriptor: int | None) -> None:
        train_is, event_ids = pickle.loads(frame.payload)
        self._shared = received(descriptor)
        events = TrainingSet(self.channel, train_is, event_ids, self._shared)
        self._model = self.workflow.train_submission(
            self.task.submission, events.inputs, events.truths, train_is
        )
        events.close()

    def predict(self) -> None:
        while True:
            frame, descriptor = self.channel.receive_with_descriptor()
            if frame.kind is not Kind.EVENT:
                return
            self.step = f"predict {frame.header['event']}"
            prediction = self.workflow.predict_event(self._model, received(descriptor), self._shared)
            self.channel.send_array(Kind.PREDICTION, frame.header, _plain_array(prediction))
