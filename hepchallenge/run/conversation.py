"""The runner's end of the private channel: what it says to one fold, and every way in which that can end."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from hepchallenge.bundle import dump_whole, share_object, take_back
from hepchallenge.exceptions import InfrastructureError, InvalidSubmission
from hepchallenge.records import Limits, PhaseUsage, Verdict
from hepchallenge.run.frames import (
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Frame,
    FrameError,
    Kind,
    PayloadTooLarge,
    array_of,
)
from hepchallenge.run.freeze import freeze, thaw
from hepchallenge.run.intake import check_prediction
from hepchallenge.run.jobs import EventJob, FoldJob, FoldResult
from hepchallenge.run.watch import Ended, Watch
from hepchallenge.text import safe_text

__all__ = ["converse"]

_START_SECONDS = 120.0
_GRACE_SECONDS = 0.5
_MAX_MESSAGE = 128 * 1024


def converse(job: FoldJob, limits: Limits, channel: Channel, link: socket.socket, watch: Watch) -> FoldResult:
    """Speak with a fold until it has fitted and predicted, or is over.

    Parameters
    ----------
    job
        What to hand over and what to ask for.
    limits
        Of which this end watches the wall clock and the size of answers; the watch has the others.
    channel, link
        Private channel of the fold, and link to its warden.
    watch
        Has been told which process to watch.
    """
    if job.events is not None:
        return _OnEvents(job, job.events, limits, channel, link, watch).lead()
    return _OnRows(job, limits, channel, link, watch).lead()


class _Conversation(ABC):
    """What both kinds of challenge share; each has its own `fit` and `predict`."""

    def __init__(
        self, job: FoldJob, limits: Limits, channel: Channel, link: socket.socket, watch: Watch
    ) -> None:
        self.job = job
        self.limits = limits
        self.channel = channel
        self.link = link
        self.watch = watch
        self.result = FoldResult(verdict=Verdict.SCORED)

    @abstractmethod
    def fit(self) -> None:
        """Have the submission fitted."""

    @abstractmethod
    def predict(self) -> None:
        """Ask for predictions and check them."""

    def lead(self) -> FoldResult:
        """Go through all phases and return how they ended."""
        result, watch = self.result, self.watch
        try:
            self.expect((Kind.READY,), time.monotonic() + _START_SECONDS, "start")
            self.phase("fit", self.fit)
            self.predict()
        except Ended as end:
            result.verdict, result.message = end.verdict, end.message
        except (InvalidSubmission, FrameError) as error:
            result.verdict, result.message = Verdict.INVALID_SUBMISSION, safe_text(str(error))
        if result.verdict is not Verdict.SCORED and watch.broken is not None:
            # What a fold does when asked to end cannot change why it was asked.
            result.verdict, result.message = watch.broken.verdict, watch.broken.message
        if result.verdict is not Verdict.SCORED:
            result.predictions = {}
            result.event_seconds = {}
        return result

    def phase(self, name: Any, action: Any) -> None:
        """Do `action` as a phase of its own, whose use is noted and whose limits hold."""
        cpu = self.watch.begin(name)
        start = time.monotonic()
        try:
            action()
        finally:
            wall = time.monotonic() - start
            self.watch.gpu.end()
            used = self.watch.read_cpu() - cpu
            self.result.phases.append(PhaseUsage(phase=name, wall_seconds=wall, cpu_seconds=used))
        self.check()

    def check(self) -> None:
        """End the fold if a limit was passed: what was used since the last sample counts too."""
        self.watch.check()
        if self.watch.broken is not None:
            raise self.watch.broken

    def expect(self, kinds: tuple[Kind, ...], deadline: float, step: str) -> Frame:
        """Return the next frame of one of `kinds`; every other way in which a step can end raises `Ended`."""
        try:
            frame = self.channel.receive(deadline, self.limits.output_bytes)
        except ChannelTimeout:
            raise self.too_late(step) from None
        except PayloadTooLarge as error:
            raise Ended(Verdict.OUTPUT_LIMIT, f"{step}: {error}") from None
        except FrameError as error:
            raise Ended(Verdict.INVALID_SUBMISSION, f"{step}: {error}") from None
        except ChannelClosed:
            raise self._why_closed(step, self.link, self.watch) from None
        if frame.kind is Kind.ERROR:
            text = safe_text(bytes(frame.payload))
            where = safe_text(str(frame.header.get("step", step))[:80])
            if frame.header.get("fault") == "prediction":
                raise Ended(Verdict.INVALID_SUBMISSION, f"{where}: {text}")
            raise Ended(Verdict.RUNTIME_ERROR, f"{where} failed\n{text}")
        if frame.kind not in kinds:
            raise Ended(
                Verdict.INVALID_SUBMISSION,
                f"{step}: expected a {kinds[0].name} frame, found {frame.kind.name}",
            )
        return frame

    def too_late(self, step: str) -> Exception:
        """Return the error that ends a step which took too long, having asked the fold to end.

        If another limit was passed before, unseen as yet on a busy host, that one is the reason.
        """
        if step == "start":
            return InfrastructureError(f"a fold did not start within {_START_SECONDS:g} s")
        self.watch.check()
        if self.watch.broken is not None:
            return self.watch.broken
        limit = self.limits.fit_wall if step == "fit" else self.limits.predict_wall
        what = step if "/" in step else step.partition(" ")[0]
        message = f"{what} took more than the {limit:g} s of wall-clock time allowed"
        end = Ended(Verdict.WALL_LIMIT, message)
        self.watch.break_off(end, signal.SIGTERM)
        return end

    @staticmethod
    def _why_closed(step: str, link: socket.socket, watch: Watch) -> Ended:
        """Find out why a fold closed its channel before it had answered."""
        # A closed channel without an end would otherwise be waited for.
        link.settimeout(_GRACE_SECONDS)
        try:
            word = link.recv(_MAX_MESSAGE)
        except TimeoutError:
            word = b""
            watch.kill()
        except OSError:
            word = b""
        watch.check()
        if watch.broken is not None:
            return watch.broken
        message = json.loads(word) if word else {}
        if "error" in message:
            raise InfrastructureError(message["error"])
        how = "the private channel was closed before an answer came"
        if "signal" in message:
            number = message["signal"]
            name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            how = f"the process was ended by signal {name}"
        elif "exit" in message:
            how = f"the process ended early with exit code {message['exit']}"
        if step == "start":
            # Not a line of the submission has run yet.
            raise InfrastructureError(f"a fold did not start: {how}")
        return Ended(Verdict.RUNTIME_ERROR, f"{step}: {how}")


class _OnRows(_Conversation):
    """Labels of all rows, most of them masked, are handed over at once; each part is predicted as a whole."""

    def fit(self) -> None:
        job = self.job
        labels = dump_whole((job.labels, job.train_is, job.valid_is))
        self.channel.send(Kind.FIT, {}, labels)
        self.expect((Kind.FITTED,), time.monotonic() + self.limits.fit_wall, "fit")

    def predict(self) -> None:
        self.phase("predict", self._predict_parts)

    def _predict_parts(self) -> None:
        job = self.job
        deadline = time.monotonic() + self.limits.predict_wall
        parts = [("train", job.n_train)]
        if job.n_stream is not None:
            parts = [("stream", job.n_stream)]
        elif job.test_inputs is not None:
            parts.append(("test", -1 if job.n_test is None else job.n_test))
        for part, n_rows in parts:
            with contextlib.suppress(OSError):
                self.channel.send(Kind.PREDICT, {"part": part})
            frame = self.expect((Kind.PREDICTION,), deadline, f"predict on {part}")
            array = array_of(frame)
            rows = n_rows if n_rows >= 0 else len(array) if array.ndim else 0
            self.result.predictions[part] = check_prediction(array, part, rows, job.predictions_class)


class _OnEvents(_Conversation):
    """Events are handed over one by one, each when its turn has come, and timed one by one.

    Between two events all processes of the fold are stopped. What CPU time they get nevertheless (before they
    have stopped, or woken by a timer) is added to the time of the next event, so that it never pays. It never
    counts for more than the time that passed meanwhile, by which it could at most have shortened that event:
    threads of a pool spin on all cores until they are stopped.

    An object that is handed over lies in this process's memory. It is taken back when the fold says its next
    word, by which time an honest one has copied it.
    """

    def __init__(
        self,
        job: FoldJob,
        events: EventJob,
        limits: Limits,
        channel: Channel,
        link: socket.socket,
        watch: Watch,
    ) -> None:
        super().__init__(job, limits, channel, link, watch)
        self.events = events
        self._stopped: list[int] = []
        self._lent: int | None = None
        self._stolen = 0.0
        self._stopped_at = self._cpu_when_stopped = 0.0

    def lead(self) -> FoldResult:
        """Go through all phases, and take back what was handed over last."""
        try:
            return super().lead()
        finally:
            self._take_back()

    def fit(self) -> None:
        deadline = time.monotonic() + self.limits.fit_wall
        train = self.events.train
        setup = dump_whole((self.job.train_is, getattr(train, "event_ids", range(len(train)))))
        self._hand_over(Kind.FIT, {}, train.shared, deadline, "fit", setup)
        while True:
            frame = self.expect((Kind.FITTED, Kind.ASK), deadline, "fit")
            self._take_back()
            if frame.kind is Kind.FITTED:
                return
            number = frame.header.get("event")
            if type(number) is not int or number not in self.job.train_is:
                found = safe_text(repr(number)[:40])
                message = f"fit asked for event {found}, which is none of its training events"
                raise Ended(Verdict.INVALID_SUBMISSION, message)
            item = (self.events.train[number], self.events.truths[number])
            self._hand_over(Kind.EVENT, {"event": number}, item, deadline, "fit")

    def predict(self) -> None:
        events = self.events
        wanted = [("valid", int(number)) for number in self.job.valid_is]
        wanted += [("test", number) for number in range(len(events.test))]
        usage = PhaseUsage(phase="predict", wall_seconds=0.0, cpu_seconds=0.0)
        self._stop()
        try:
            for done, (part, number) in enumerate(wanted):
                inputs = (events.test if part == "test" else events.train)[number]
                key = f"{part}/{number}"
                array, seconds, cpu = self._predict_event(key, inputs)
                usage = PhaseUsage(
                    phase="predict",
                    wall_seconds=usage.wall_seconds + seconds,
                    cpu_seconds=usage.cpu_seconds + cpu,
                )
                array = check_prediction(array, key, events.n_rows(part, number), self.job.predictions_class)
                events.keep(key, array)
                self.result.event_seconds[key] = seconds
                events.heard(done + 1, len(wanted))
        finally:
            self.result.phases.append(usage)

    def _predict_event(self, key: str, inputs: Any) -> tuple[np.ndarray, float, float]:
        """Return the prediction of one event, the wall-clock seconds that it took, and the CPU seconds."""
        step = f"predict {key}"
        if self.channel.has_input():
            message = f"{step}: an answer came before the event was handed over"
            raise Ended(Verdict.INVALID_SUBMISSION, message)
        self._lent = descriptor = share_object(inputs)
        try:
            cpu = self.watch.begin("predict")
            start = time.monotonic()
            stolen = self._stolen + _charge(cpu - self._cpu_when_stopped, start - self._stopped_at)
            deadline = start + self.limits.predict_wall - stolen
            self._say(Kind.EVENT, {"event": key}, b"", descriptor, deadline, step)
            thaw(self._stopped)
            frame = self.expect((Kind.PREDICTION,), deadline, step)
            seconds = time.monotonic() - start + stolen
        finally:
            self.watch.gpu.end()
        used = self._stop() - cpu + stolen
        self._take_back()
        self.check()
        if (found := frame.header.get("event")) != key:
            message = f"{step}: expected the answer to {key}, found one to {safe_text(repr(found)[:40])}"
            raise Ended(Verdict.INVALID_SUBMISSION, message)
        return array_of(frame), seconds, used

    def _stop(self) -> float:
        """Stop all processes; return the CPU seconds used before."""
        began = time.monotonic()
        cpu = self.watch.read_cpu()
        self._stopped = freeze(self.watch.init)
        self._cpu_when_stopped = self.watch.read_cpu()
        self._stopped_at = time.monotonic()
        self._stolen = _charge(self._cpu_when_stopped - cpu, self._stopped_at - began)
        return cpu

    def _take_back(self) -> None:
        if self._lent is not None:
            take_back(self._lent)
            self._lent = None

    def _hand_over(
        self, kind: Kind, header: dict[str, Any], item: Any, deadline: float, step: str, payload: bytes = b""
    ) -> None:
        self._lent = descriptor = share_object(item)
        self._say(kind, header, payload, descriptor, deadline, step)

    def _say(
        self,
        kind: Kind,
        header: dict[str, Any],
        payload: bytes,
        descriptor: int,
        deadline: float,
        step: str,
    ) -> None:
        """Send a frame to a fold that need not be listening."""
        try:
            self.channel.send(kind, header, payload, descriptor, deadline)
        except TimeoutError:
            raise self.too_late(step) from None
        except ConnectionError:
            # The next thing that is read says why. Any other error is this side's.
            return


def _charge(cpu_seconds: float, wall_seconds: float) -> float:
    """Return by how much work of so much CPU time could at most shorten what follows."""
    return max(0.0, min(cpu_seconds, wall_seconds))
