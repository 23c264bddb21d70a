"""What runs in a worker process of the farm: plain functions, called from any of its threads.

The organiser's process calls them as tasks. A node keeps what it was sent in its cache, and runs jobs with a
`Runner` of its own, as they are run locally: same isolation, same limits, same checks. One command is served
at a time, until it says that it has ended, or another one says that it is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from hepchallenge.bundle import load_bundle
from hepchallenge.contract import builtin_folder, load_problem
from hepchallenge.exceptions import HepChallengeError, InfrastructureError
from hepchallenge.farm.cache import Missing, NodeCache, default_folder, shared_path
from hepchallenge.farm.packing import pack_challenge, unpack_challenge
from hepchallenge.farm.wire import (
    JobSpec,
    Listing,
    Setup,
    decode_listing,
    decode_parcel,
    decode_setup,
    encode_result,
)
from hepchallenge.records import Limits, Verdict
from hepchallenge.run.accounting import Accounting, choose_accounting
from hepchallenge.run.host import cpu_model, library_versions
from hepchallenge.run.intake import narrowed
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import EventJob, FoldJob, FoldResult
from hepchallenge.run.logs import read_live_log
from hepchallenge.run.runner import Runner
from hepchallenge.stage.stage import ramp_test_mode
from hepchallenge.stage.submission import take_in

__all__ = [
    "BUSY",
    "ERROR",
    "LATER",
    "MISSING",
    "NO_SESSION",
    "OK",
    "fetch",
    "greet",
    "prepare",
    "put",
    "run_parcel",
    "serve",
    "stop_session",
]

OK = b"ok"
MISSING = b"missing:"
"""Behind it a JSON list of the digests that have to be put first."""
NO_SESSION = b"setup:"
"""The process has another session or none, since it was started again: prepare it first."""
BUSY = b"busy:"
"""Behind it the session that is served, of a command that has not said that it has ended."""
LATER = b"later:"
"""The jobs before it in its parcel took longer than was thought: it may run elsewhere sooner."""
ERROR = b"error:"
"""Behind it, in UTF-8, why this node cannot run jobs of the session."""

DEFAULT_CACHE_BYTES = 20 << 30
"""How large the cache may be before a session has said it."""

_PARCEL_SECONDS = 5.0
_PROBE_SECONDS = 60.0
# In a process of its own: a fork of one with many threads may never come to its end.
_PROBE = """
import json, sys
sys.path[:] = json.load(sys.stdin)
from hepchallenge.run.isolation import Isolation, probe
print(json.dumps({level.value: probe(level) for level in Isolation}))
"""


@cache
def _lacking() -> dict[str, str]:
    """Return for every isolation level, from strong to weak, why it is not to be had here, or nothing."""
    try:
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-c", _PROBE],
            input=json.dumps([entry for entry in sys.path if entry]),
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
            cwd="/",
        )
        said: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        words = (getattr(error, "stderr", None) or str(error))[-500:]
        raise InfrastructureError(f"cannot find out which isolation this host offers: {words}") from None
    return said


def _slots() -> int:
    """Return how many jobs this process can run at once."""
    told = int(os.environ.get("HEPCHALLENGE_NODE_SLOTS", 0))
    return _THREADS[-1] if _THREADS else told or len(os.sched_getaffinity(0))


class _Events:
    """Inputs or truths of events, each read from the cache when it is asked for.

    Attributes
    ----------
    event_ids
        As those of the organiser's; absent where those have none.
    """

    def __init__(
        self, files: Mapping[int, Path], count: int, shared: Any = None, event_ids: Any = None
    ) -> None:
        self._files = files
        self._count = count
        self.shared = shared
        if event_ids is not None:
            self.event_ids = event_ids

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Any:
        return load_bundle(self._files[int(number)])


def _event_job(listing: Listing, files: Mapping[str, Path], kept: dict[str, np.ndarray]) -> EventJob:
    shared, event_ids = load_bundle(files[listing.shared])
    inputs = {number: files[digest] for number, (digest, _) in listing.train.items()}
    inputs |= {number: files[digest] for number, (digest, _) in listing.valid.items()}
    truths = {number: files[digest] for number, (_, digest) in listing.train.items()}
    test = {number: files[digest] for number, (digest, _) in enumerate(listing.test)}

    def keep(key: str, array: np.ndarray) -> None:
        kept[key] = narrowed(array)

    return EventJob(
        train=_Events(inputs, listing.n_events, shared, event_ids),
        truths=_Events(truths, listing.n_events),
        test=_Events(test, len(listing.test), shared),
        n_rows=lambda part, number: (listing.test if part == "test" else listing.valid)[number][1],
        keep=keep,
        heard=lambda done, total: None,
    )


class _Session:
    """One organiser's command on this node: its challenge is loaded, its interpreter is warm.

    Raises
    ------
    Missing
        If the challenge's code has to be put into the cache first.
    InfrastructureError, ContractError
        If jobs of it cannot be run here.
    """

    def __init__(self, setup: Setup, cache: NodeCache, slots: int) -> None:
        self.setup = setup
        self.cache = cache
        self._imported = set(sys.modules)
        self._path = list(sys.path)
        with contextlib.ExitStack() as stack:
            isolation = Isolation(setup.isolation)
            if reason := _lacking()[isolation]:
                raise InfrastructureError(f"isolation {isolation.value!r} is not to be had here: {reason}")
            accounting = Accounting(setup.accounting)
            if accounting is Accounting.CGROUP and choose_accounting() is not accounting:
                raise InfrastructureError("accounting by cgroups is not to be had here")
            folder = stack.enter_context(self._challenge())
            self._scratch = stack.enter_context(cache.scratch())
            pool = None
            if setup.gpus:
                from hepchallenge.run.gpu import GpuPool, open_devices

                pool = GpuPool(setup.gpus, open_devices())
                stack.callback(pool.close)
            self._runner = stack.enter_context(
                Runner(
                    challenge_folder=folder,
                    isolation=isolation,
                    accounting=accounting,
                    limits=Limits(**setup.limits),  # type: ignore[arg-type]
                    jobs=slots,
                    seed=setup.seed,
                    warm_modules=setup.modules,
                    test_mode=setup.test_mode,
                    gpus=pool,
                    cores=setup.cores,
                )
            )
            stack.callback(self._forget_modules, folder)
            with ramp_test_mode(setup.test_mode):
                self._predictions_class = load_problem(folder).Predictions
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End what runs, as nobody's fault."""
        self._stack.close()

    @contextlib.contextmanager
    def _challenge(self) -> Iterator[Path]:
        """Give the folder of the challenge's code."""
        setup = self.setup
        if setup.builtin:
            folder = builtin_folder() / setup.name
            if not folder.is_dir() or hashlib.sha256(pack_challenge(folder)).hexdigest() != setup.challenge:
                raise InfrastructureError(
                    f"the hepchallenge that is installed here has another challenge {setup.name!a:.100}"
                )
            yield folder
            return
        if os.sep in setup.name or setup.name in ("", ".", ".."):
            raise InfrastructureError(f"expected the name of a folder, found {setup.name!a:.100}")

        def unpack(work: Path) -> Path:
            with self.cache.pin([setup.challenge]) as files:
                target = work / "made" / setup.name
                target.mkdir(parents=True)
                unpack_challenge(files[setup.challenge], target)
                return target.parent

        # Two folders may hold the same code, and what it is called matters to some.
        digest = hashlib.sha256(f"{setup.challenge} {setup.name}".encode()).hexdigest()
        with self.cache.tree(f"challenge-{digest}", unpack) as tree:
            yield tree / setup.name

    def _forget_modules(self, folder: Path) -> None:
        """Let the next session import its own modules: those of another challenge may be called the same."""
        sys.path[:] = [entry for entry in sys.path if entry in self._path]
        for name in set(sys.modules) - self._imported:
            file = getattr(sys.modules[name], "__file__", None)
            if file and folder in Path(file).parents and not self.setup.builtin:
                del sys.modules[name]

    def run(self, spec: JobSpec) -> bytes:
        """Run one job; return its result, or what is missing for it."""
        try:
            return encode_result(self._run(spec))
        except Missing as error:
            return MISSING + json.dumps(error.digests).encode()
        except HepChallengeError as error:
            message = str(error)
        except Exception as error:
            # A mistake of ours must not take the other jobs down with it.
            message = f"the node failed unexpectedly: {type(error).__name__}: {error}"
        return encode_result(FoldResult(verdict=Verdict.INFRASTRUCTURE, message=message))

    def _run(self, spec: JobSpec) -> FoldResult:
        if spec.bytes > self.cache.cap_bytes:
            raise InfrastructureError(
                f"a job needs {spec.bytes} bytes, and the cache of a node may have {self.cache.cap_bytes}"
            )
        name = f"submission-{spec.submission_digest}"
        archive = None if self.cache.has_tree(name) else spec.submission
        needs = [archive, spec.labels, spec.train_inputs, spec.test_inputs, spec.events]
        with contextlib.ExitStack() as stack:
            files = stack.enter_context(self.cache.pin(digest for digest in needs if digest is not None))
            labels, train_is, valid_is = load_bundle(files[spec.labels])
            kept: dict[str, np.ndarray] = {}
            events = None
            if spec.events is not None:
                listing = decode_listing(files[spec.events].read_bytes())
                files |= stack.enter_context(self.cache.pin(listing.objects))
                events = _event_job(listing, files, kept)
            submission = stack.enter_context(self.cache.tree(name, partial(self._take_in, spec)))
            live_log = self._scratch / f"{secrets.token_hex(8)}.log"
            result = self._runner.run_fold(
                FoldJob(
                    fold=spec.fold,
                    submission=submission,
                    train_inputs=files[spec.train_inputs] if spec.train_inputs else None,
                    test_inputs=files[spec.test_inputs] if spec.test_inputs else None,
                    labels=labels,
                    train_is=train_is,
                    valid_is=valid_is,
                    n_train=spec.n_train,
                    n_test=spec.n_test,
                    n_stream=spec.n_stream,
                    seed=spec.seed,
                    predictions_class=self._predictions_class,
                    hidden=(self.cache.folder,),
                    live_log=live_log,
                    events=events,
                )
            )
        result.log = result.log or read_live_log(live_log)
        live_log.unlink(missing_ok=True)
        if result.verdict is Verdict.SCORED and events is not None:
            result.predictions = kept
        return result

    def _take_in(self, spec: JobSpec, work: Path) -> Path:
        """Unpack a submission as if it came from its author, and check that it is the one that was meant."""
        archive = work / "packed.tar"
        with self.cache.pin([spec.submission]) as files:
            os.link(files[spec.submission], archive)
        taken = take_in(archive, work / "taken", (), takes_predictions=False)
        if taken.record.digest != spec.submission_digest:
            raise InfrastructureError(
                f"expected a submission of digest {spec.submission_digest}, found {taken.record.digest}"
            )
        return taken.folder


class Node:
    """This process as a node: its cache, and the command that it serves.

    The functions of this module speak to the one node of the process; see there.

    Parameters
    ----------
    folder
        Of the cache.
    slots
        Jobs at the same time; None: as many as the Dask worker has threads.
    """

    def __init__(self, folder: Path, slots: int | None = None) -> None:
        self._slots = slots
        self._cache = NodeCache(folder, DEFAULT_CACHE_BYTES)
        self._session: _Session | None = None
        self._lock = threading.Lock()

    def greet(self) -> bytes:
        """See `greet`."""
        lacking = _lacking()
        host = socket.gethostname()
        return json.dumps(
            {
                "node": f"{host}:{self._cache.id}",
                "host": host,
                "pid": os.getpid(),
                "versions": library_versions(),
                "isolation": next(level for level, reason in lacking.items() if not reason),
                "offers": [level for level, reason in lacking.items() if not reason],
                "accounting": choose_accounting().value,
                "cpu": cpu_model(),
                "cores": len(os.sched_getaffinity(0)),
                "slots": self._slots or _slots(),
            }
        ).encode()

    def prepare(self, setup: bytes, instead_of: str = "") -> bytes:
        """See `prepare`."""
        try:
            wanted = decode_setup(setup)
            with self._lock:
                if self._session is not None:
                    if self._session.setup == wanted:
                        return OK
                    served = self._session.setup.session
                    if served not in (wanted.session, instead_of):
                        return BUSY + served.encode()
                    self._end_session()
                self._cache.cap_bytes = wanted.cache_bytes
                self._session = _Session(wanted, self._cache, self._slots or _slots())
        except Missing as error:
            return MISSING + json.dumps(error.digests).encode()
        except Exception as error:
            # Of a kit's own code anything can come.
            known = isinstance(error, HepChallengeError)
            text = str(error) if known else f"{type(error).__name__}: {error}"
            return ERROR + text.encode("utf-8", "replace")
        return OK

    def _end_session(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close()
        self._cache.drop_pieces()

    def put(self, digest: str, offset: int, total: int, piece: bytes) -> int:
        """See `put`."""
        return self._cache.put_piece(digest, offset, total, piece)

    def fetch(self, digests: Sequence[str], shared: str) -> list[str]:
        """See `fetch`."""
        absent = []
        for digest in digests:
            try:
                self._cache.put(digest, shared_path(shared, digest))
            except InfrastructureError:
                absent.append(digest)
        return absent

    def run_parcel(self, session: str, parcel: bytes, carried: Mapping[str, bytes]) -> list[bytes]:
        """See `run_parcel`."""
        specs = decode_parcel(parcel)
        current = self._session
        if current is None or current.setup.session != session:
            return [NO_SESSION] * len(specs)
        try:
            for digest, content in carried.items():
                self._cache.put(digest, content)
        except InfrastructureError as error:
            failed = FoldResult(verdict=Verdict.INFRASTRUCTURE, message=str(error))
            return [encode_result(failed)] * len(specs)
        answers: list[bytes] = []
        until = time.monotonic() + _PARCEL_SECONDS
        for spec in specs:
            answers.append(current.run(spec) if not answers or time.monotonic() < until else LATER)
        return answers

    def stop_session(self, session: str) -> None:
        """See `stop_session`."""
        with self._lock:
            if self._session is not None and self._session.setup.session == session:
                self._end_session()

    def close(self) -> None:
        """End what runs."""
        with self._lock:
            self._end_session()


_STARTING = threading.Lock()
_THREADS: list[int] = []
_NODES: list[Node] = []


def _node() -> Node:
    with _STARTING:
        if not _NODES:
            _NODES.append(Node(default_folder()))
        return _NODES[0]


def greet() -> bytes:
    """Return what the organiser has to know of this process, as a JSON object.

    `node` (the same for all processes that share a cache), `host`, `pid`, `versions`, `isolation` (the
    strongest level), `offers` (all levels), `accounting`, `cpu`, `cores` (that this process may use), `slots`
    (jobs at once).

    Raises
    ------
    InfrastructureError
        If the cache cannot be used, or the host does not tell what it offers.
    """
    return _node().greet()


def serve(threads: int) -> None:
    """Note how many threads for tasks the Dask worker of this process has: so many jobs are run at once."""
    _THREADS[:] = [threads]


def prepare(setup: bytes, instead_of: str = "") -> bytes:
    """Make ready for the jobs of a command.

    Parameters
    ----------
    setup
        What all of them have in common.
    instead_of
        Session of a command that is known to be gone: what is left of it here is ended.

    Returns
    -------
    bytes
        `OK`; or `BUSY` and which session is served; or `MISSING` and what has to be put first; or `ERROR` and
        why it cannot be.
    """
    return _node().prepare(setup, instead_of)


def put(digest: str, offset: int, total: int, chunk: bytes) -> int:
    """Keep a piece of an object; return how many of its bytes have come, from the first one on without a gap.

    Raises
    ------
    InfrastructureError
        If the whole has another digest, or there is no room; it has to be sent from the beginning then.
    """
    return _node().put(digest, offset, total, chunk)


def fetch(digests: list[str], shared: str) -> list[str]:
    """Copy objects, verified, from a shared folder (`cache.shared_path`); return those not to be had."""
    return _node().fetch(digests, shared)


def run_parcel(setup_session: str, parcel: bytes, carried: dict[str, bytes]) -> list[bytes]:
    """Run jobs one after the other.

    Parameters
    ----------
    setup_session
        Of the setup that they belong to.
    parcel
        As `encode_parcel` gives it.
    carried
        Small objects that come with it, by digest.

    Returns
    -------
    list of bytes
        One a job: what `decode_result` takes, or `MISSING` and digests, or `NO_SESSION`, or `LATER` for what
        has not begun after some seconds. Whatever goes wrong here is a result with the verdict
        `infrastructure`.
    """
    return _node().run_parcel(setup_session, parcel, carried)


def stop_session(session: str) -> None:
    """End the command of this session, if it is served; its jobs that run end as nobody's fault."""
    _node().stop_session(session)
