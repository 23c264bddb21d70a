"""What travels between the organiser's process and the nodes: jobs one way, results the other.

Bulk is known by the SHA-256 of its bytes and travels once to every node, apart from the jobs that need it:
staged inputs, the labels that a fold is fitted with, submissions and the challenge's code as archives. No
label of a test row, no validation label of a fold and no truth of a predicted event is ever read for it.

Results come back as plain numbers, text and arrays; nothing that a node says is ever unpickled here.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hepchallenge.bundle import dump_bundle
from hepchallenge.contract import EventInputs, EventTruths, builtin_folder
from hepchallenge.exceptions import InfrastructureError, InvalidSubmission
from hepchallenge.farm.packing import pack_challenge, pack_submission
from hepchallenge.records import Verdict
from hepchallenge.run.frames import Frame, FrameError, Kind, array_header, array_of
from hepchallenge.run.intake import check_prediction
from hepchallenge.run.jobs import EventJob, FoldJob, FoldResult
from hepchallenge.text import safe_text

__all__ = [
    "EncodedJob",
    "JobEncoder",
    "JobSpec",
    "Listing",
    "Setup",
    "decode_listing",
    "decode_parcel",
    "decode_result",
    "decode_setup",
    "encode_parcel",
    "encode_result",
    "encode_setup",
]

_KEPT_BYTES = 16 << 20
"""How much of what was made last is kept, since the first node asks for it at once."""

_MOST_KNOWN = 100_000
"""How many submissions' archives can be made again on demand."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Setup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all jobs of one command have in common."""

    session: str
    """Random id of the command."""
    name: str
    """Of the challenge: `JobEncoder.name`."""
    challenge: str
    """Digest of the archive of its code: `JobEncoder.challenge`."""
    builtin: bool
    """Whether it comes with hepchallenge: `JobEncoder.builtin`. Then the node must have the same code:
    parts are imported from there."""
    isolation: str
    accounting: str
    limits: dict[str, float | int | None]
    """As `Limits.to_dict` gives them."""
    seed: int
    test_mode: bool
    gpus: int
    """Devices for each fold."""
    modules: list[str]
    """Installed modules that submissions will import."""
    cache_bytes: int
    """How large the node's cache may become."""
    shared: str
    """Path of a folder that organiser and nodes share, or nothing."""
    cores: int | None
    """How many cores of its host one worker process may take in all; None for every one that is free."""


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fold of one submission, with digests of the objects in the place of what they hold."""

    submission: str
    """Of the archive."""
    submission_digest: str
    """Of its files, as the store knows it; checked on the node."""
    fold: int
    seed: int
    labels: str
    """Of the bundle of (labels, train_is, valid_is); the labels are None where the challenge has events."""
    train_inputs: str | None
    test_inputs: str | None
    n_train: int
    n_test: int | None
    n_stream: int | None
    events: str | None
    """Of the `Listing` of the fold's events."""
    bytes: int
    """Of all objects that it needs: a node whose cache is smaller says so at once."""


class Listing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The events of one fold, by digest: for what is predicted inputs only, and how many rows there are."""

    shared: str
    """Of the bundle of (what all events share, ids of the training events or None)."""
    n_events: int
    """How many training events the data have, in this fold or not."""
    train: dict[int, tuple[str, str]]
    """By number of the event: its inputs and its truth."""
    valid: dict[int, tuple[str, int]]
    """By number of the event: its inputs and the rows of its prediction."""
    test: list[tuple[str, int]]

    @property
    def objects(self) -> tuple[str, ...]:
        """The digests of all objects that it names."""
        pairs = [digest for pair in self.train.values() for digest in pair]
        inputs = [digest for digest, _ in (*self.valid.values(), *self.test)]
        return tuple(dict.fromkeys([self.shared, *pairs, *inputs]))


def encode_setup(setup: Setup) -> bytes:
    """Return the bytes of a setup."""
    return msgspec.msgpack.encode(setup)


def encode_parcel(jobs: Sequence[JobSpec]) -> bytes:
    """Return the bytes of jobs that travel together."""
    return msgspec.msgpack.encode(list(jobs))


def _decoded(data: bytes, decoder: msgspec.msgpack.Decoder[Any], what: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, FrameError) as error:
        raise InfrastructureError(f"{what} that was damaged on its way: {error!s:.200}") from None


_SETUP = msgspec.msgpack.Decoder(Setup)
_PARCEL = msgspec.msgpack.Decoder(list[JobSpec])
_LISTING = msgspec.json.Decoder(Listing)


def decode_setup(data: bytes) -> Setup:
    """Return what `encode_setup` was given; InfrastructureError if the bytes are damaged."""
    setup: Setup = _decoded(data, _SETUP, "a setup")
    return setup


def decode_parcel(data: bytes) -> list[JobSpec]:
    """Return what `encode_parcel` was given; InfrastructureError if the bytes are damaged."""
    jobs: list[JobSpec] = _decoded(data, _PARCEL, "a parcel of jobs")
    return jobs


def decode_listing(data: bytes) -> Listing:
    """Return the listing in an object; InfrastructureError if the bytes are none."""
    try:
        return _LISTING.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InfrastructureError(f"a listing of events that was damaged: {error!s:.200}") from None


# Results


def _plain(value: object) -> Any:
    """Return an array as dtype, shape and bytes, which is how it came out of the sandbox."""
    if not isinstance(value, np.ndarray):
        raise InfrastructureError(f"a result with a {type(value).__name__}, which cannot travel")
    header = array_header(value)
    return header["dtype"], header["shape"], np.ascontiguousarray(value).tobytes()


def _array(kind: type, value: Any) -> Any:
    """Undo `_plain`, with the checks of an array that comes out of the sandbox."""
    if kind is not np.ndarray or not isinstance(value, list) or len(value) != 3:
        raise FrameError("an array without dtype, shape and bytes")
    dtype, shape, data = value
    if not isinstance(data, bytes):
        raise FrameError("an array whose content is no bytes")
    # In memory that can be written to, as locally.
    return array_of(Frame(Kind.PREDICTION, {"dtype": dtype, "shape": shape}, bytearray(data)))


_RESULT = msgspec.msgpack.Decoder(FoldResult, dec_hook=_array)


def encode_result(result: FoldResult) -> bytes:
    """Return the bytes of a result; those of a fold on events carry its arrays too."""
    result.message = result.message.encode("utf-8", "replace").decode()
    return msgspec.msgpack.encode(result, enc_hook=_plain)


def decode_result(data: bytes) -> FoldResult:
    """Return what `encode_result` was given.

    Raises
    ------
    InfrastructureError
        If the bytes are damaged, an array is not of plain numbers or text, or a figure is impossible.
    """
    result: FoldResult = _decoded(data, _RESULT, "a result")
    figures = [
        result.wall_seconds,
        result.cpu_seconds,
        result.gpu_seconds,
        result.peak_memory_bytes,
        result.gpu_peak_memory_bytes,
        *result.event_seconds.values(),
        *(value for phase in result.phases for value in (phase.wall_seconds, phase.cpu_seconds)),
    ]
    if not all(math.isfinite(figure) and figure >= 0 for figure in figures):
        raise InfrastructureError("a result that was damaged on its way: a time or a size that cannot be")
    return result


# Jobs


@dataclass(frozen=True)
class EncodedJob:
    """A job as it travels: the few bytes of its own, and the digests of all that its node must have."""

    spec: JobSpec
    needs: tuple[str, ...]


@dataclass(frozen=True)
class _Fold:
    """What all jobs of a fold share."""

    labels: str
    events: str | None
    needs: tuple[str, ...]
    bytes: int


class _Spool:
    """Bytes on disk without a name: nobody can open them, and they are gone with this process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with its owner
        self._size = 0

    def add(self, data: bytes) -> int:
        """Return the place of the bytes."""
        place = self._size
        done = 0
        while done < len(data):
            done += os.pwrite(self._file.fileno(), memoryview(data)[done:], place + done)
        self._size += len(data)
        return place

    def get(self, place: int, size: int) -> bytes:
        """Return bytes that were added."""
        data = bytearray()
        while len(data) < size and (
            piece := os.pread(self._file.fileno(), size - len(data), place + len(data))
        ):
            data += piece
        return bytes(data)

    def close(self) -> None:
        """Let go of everything."""
        self._file.close()


@dataclass(frozen=True)
class _Object:
    """Something that travels: how its bytes are to be had, how many they are, whether all may see them."""

    make: Callable[[], Path | bytes]
    size: int
    public: bool = False


class JobEncoder:
    """Turns the jobs of one command into what travels, and results back; used from any thread.

    Nothing large is kept: staged inputs are files, submissions are packed again and events read again when
    they are asked for. The labels of folds lie in a file without a name.

    Parameters
    ----------
    challenge_folder
        Folder with `problem.py`. Of it only Python code and `external_imports/` travel, which every
        submission can see.

    Attributes
    ----------
    name, challenge, builtin : str, str, bool
        As for `Setup`.
    """

    def __init__(self, challenge_folder: Path) -> None:
        folder = challenge_folder.resolve()
        self.name = folder.name
        self.builtin = folder.parent == builtin_folder()
        self._lock = threading.RLock()
        self._spool = _Spool()
        self._objects: dict[str, _Object] = {}
        # By digest of the archive, the one used last at the end; and the digests by folder.
        self._archives: OrderedDict[str, tuple[Path, _Object]] = OrderedDict()
        self._submissions: dict[Path, tuple[str, str]] = {}
        self._files: dict[Path, str] = {}
        self._events: dict[tuple[str, int], str] = {}
        self._folds: dict[int, _Fold] = {}
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._kept_bytes = 0
        self.challenge = self._new(lambda: pack_challenge(folder), public=True)

    def __enter__(self) -> JobEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the labels; no job can be encoded afterwards."""
        self._spool.close()

    def encode(self, job: FoldJob) -> EncodedJob:
        """Return what travels of a job.

        Raises
        ------
        InfrastructureError
            If its files cannot be read, or are not what they were.
        """
        try:
            with self._lock:
                return self._encode(job)
        except OSError as error:
            raise InfrastructureError(f"cannot read what a job needs: {error}") from error

    def _encode(self, job: FoldJob) -> EncodedJob:
        fold = self._folds.get(job.fold)
        if fold is None:
            fold = self._folds[job.fold] = self._new_fold(job)
        archive, files = self._submission(job.submission)
        train_inputs, test_inputs = map(self._file, (job.train_inputs, job.test_inputs))
        own = dict.fromkeys(digest for digest in (archive, train_inputs, test_inputs) if digest is not None)
        spec = JobSpec(
            submission=archive,
            submission_digest=files,
            fold=job.fold,
            seed=job.seed,
            labels=fold.labels,
            train_inputs=train_inputs,
            test_inputs=test_inputs,
            n_train=job.n_train,
            n_test=job.n_test,
            n_stream=job.n_stream,
            events=fold.events,
            bytes=fold.bytes + sum(self._known(digest).size for digest in own),
        )
        return EncodedJob(spec, (*own, *fold.needs))

    def _new_fold(self, job: FoldJob) -> _Fold:
        labels = self._spooled(dump_bundle((job.labels, job.train_is, job.valid_is)))
        needs, listing = [labels], None
        if job.events is not None:
            listed = self._listing(job, job.events)
            listing = self._spooled(msgspec.json.encode(listed))
            needs += [listing, *listed.objects]
        return _Fold(labels, listing, tuple(needs), sum(self._known(digest).size for digest in needs))

    def _listing(self, job: FoldJob, events: EventJob) -> Listing:
        """List the events of a fold; of what it predicts no truth is read but for the number of its rows."""
        train, test = events.train, events.test
        train_is, valid_is = job.train_is.tolist(), job.valid_is.tolist()

        def shared() -> bytes:
            return dump_bundle((train.shared, getattr(train, "event_ids", None)))

        return Listing(
            shared=self._new(shared, public=True),
            n_events=len(train),
            train={
                number: (self._event("train", train, number), self._event("truth", events.truths, number))
                for number in train_is
            },
            valid={
                number: (self._event("train", train, number), events.n_rows("valid", number))
                for number in valid_is
            },
            test=[
                (self._event("test", test, number), events.n_rows("test", number))
                for number in range(len(test))
            ],
        )

    def _event(self, side: str, items: EventInputs | EventTruths, number: int) -> str:
        """Return the digest of one item of a sequence of events, which is read for it once."""
        if (side, number) not in self._events:
            digest = self._new(lambda: dump_bundle(items[number]), public=side != "truth")
            self._events[side, number] = digest
        return self._events[side, number]

    def _submission(self, folder: Path) -> tuple[str, str]:
        """Return the digests of a submission's archive and of its files."""
        if folder in self._submissions:
            archive, files = self._submissions[folder]
            self._archives.move_to_end(archive)
            return archive, files
        packed, files = pack_submission(folder)
        if _DIGEST.fullmatch(folder.name) and folder.name != files:
            raise InfrastructureError(f"{folder}: expected files of digest {folder.name}, found {files}")
        archive = hashlib.sha256(packed).hexdigest()
        self._keep(archive, packed)
        self._archives[archive] = folder, _Object(lambda: pack_submission(folder)[0], len(packed))
        self._submissions[folder] = archive, files
        if len(self._archives) > _MOST_KNOWN:
            _, (oldest, _) = self._archives.popitem(last=False)
            del self._submissions[oldest]
        return archive, files

    def _file(self, path: Path | None) -> str | None:
        if path is None:
            return None
        if path not in self._files:
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = os.fstat(file.fileno()).st_size
            self._objects[digest] = _Object(lambda: path, size, public=True)
            self._files[path] = digest
        return self._files[path]

    def _new(self, make: Callable[[], bytes], *, public: bool) -> str:
        """Make an object for its digest and size; it is made again when it is asked for."""
        data = make()
        digest = hashlib.sha256(data).hexdigest()
        # What anybody may see stays so, even if something secret should look exactly like it.
        self._objects.setdefault(digest, _Object(make, len(data), public))
        self._keep(digest, data)
        return digest

    def _spooled(self, data: bytes) -> str:
        size = len(data)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._objects:
            place = self._spool.add(data)
            self._objects[digest] = _Object(lambda: self._spool.get(place, size), size)
        return digest

    def _keep(self, digest: str, data: bytes) -> None:
        """Keep what was made last: the first node will ask for it."""
        if len(data) > _KEPT_BYTES // 8 or digest in self._kept:
            return
        self._kept[digest] = data
        self._kept_bytes += len(data)
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def _known(self, digest: str) -> _Object:
        if digest in self._archives:
            return self._archives[digest][1]
        try:
            return self._objects[digest]
        except KeyError:
            raise InfrastructureError(f"no job of this command has an object {digest:.80}") from None

    def object(self, digest: str) -> Path | bytes:
        """Return the bytes of an object, or the file that holds them.

        Raises
        ------
        InfrastructureError
            If no job needed it, it cannot be read, or it is not what it was. For a submission's archive that
            was not used for long: encode one of its jobs again.
        """
        with self._lock:
            known = self._known(digest)
            if digest in self._kept:
                return self._kept[digest]
            try:
                data = known.make()
            except OSError as error:
                raise InfrastructureError(f"cannot read what a job needs: {error}") from error
            if isinstance(data, bytes):
                if (found := hashlib.sha256(data).hexdigest()) != digest:
                    raise InfrastructureError(
                        f"what a job needs was changed: expected SHA-256 {digest}, found {found}"
                    )
                self._keep(digest, data)
            return data

    def size(self, digest: str) -> int:
        """Return the number of bytes of an object; InfrastructureError if no job needed it."""
        with self._lock:
            return self._known(digest).size

    def is_public(self, digest: str) -> bool:
        """Whether an object may lie in a folder that others can read: staged inputs and the challenge's code.

        Not labels, not truths of training events, not submissions.
        """
        with self._lock:
            return digest in self._objects and self._objects[digest].public

    def receive(self, job: FoldJob, result: FoldResult) -> FoldResult:
        """Check a result on this side; predictions of events go to the job's keeper, as locally.

        The node has checked it before, so what is wrong here is the node's fault: the verdict is
        `infrastructure` then.
        """
        result.message = safe_text(result.message)
        if result.verdict is not Verdict.SCORED:
            result.predictions, result.event_seconds = {}, {}
            return result
        expected = _expected_rows(job)
        try:
            if set(result.predictions) != set(expected):
                found = f"{len(result.predictions)}, {', '.join(sorted(result.predictions))[:100] or 'none'}"
                raise InvalidSubmission(f"expected predictions of {len(expected)} parts, found {found}")
            if job.events is not None and set(result.event_seconds) != set(expected):
                raise InvalidSubmission(f"expected times of {len(expected)} events")
            for part, n_rows in expected.items():
                array = result.predictions[part]
                rows = n_rows if n_rows is not None else len(array) if array.ndim else 0
                check_prediction(array, part, rows, job.predictions_class)
        except InvalidSubmission as error:
            message = f"a node sent what it should have refused: {safe_text(str(error))}"
            return FoldResult(
                verdict=Verdict.INFRASTRUCTURE, message=message, log=result.log, host=result.host
            )
        if job.events is not None:
            for done, part in enumerate(expected):
                job.events.keep(part, result.predictions[part])
                job.events.heard(done + 1, len(expected))
            result.predictions = {}
        return result


def _expected_rows(job: FoldJob) -> dict[str, int | None]:
    """Return the parts that a job predicts, in the order of a conversation, with their numbers of rows."""
    if job.events is not None:
        wanted = [("valid", int(number)) for number in job.valid_is]
        wanted += [("test", number) for number in range(len(job.events.test))]
        return {f"{part}/{number}": job.events.n_rows(part, number) for part, number in wanted}
    if job.n_stream is not None:
        return {"stream": job.n_stream}
    parts: dict[str, int | None] = {"train": job.n_train}
    if job.test_inputs is not None:
        parts["test"] = job.n_test
    return parts
