"""The trusted side of a run: starts the warm interpreter, hands out folds, watches limits.

One `Runner` serves one challenge. `run_fold` may be called from several threads at once; each call
takes a slot of cores, speaks with one fold over its private channel and returns what came of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from hepchallenge.bundle import dump_whole
from hepchallenge.exceptions import InfrastructureError, InvalidSubmission
from hepchallenge.records import Limits, PhaseUsage, Verdict
from hepchallenge.run import reexec
from hepchallenge.run.accounting import Accountant, Accounting, new_accountant
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
from hepchallenge.run.gpu import GpuMeter, GpuPool
from hepchallenge.run.intake import check_prediction
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.landlock import hidden_from_others
from hepchallenge.run.logs import KeptLog
from hepchallenge.run.scratch import held_without_name, remove_tree, used
from hepchallenge.run.warden import Word, ask_below, descendants
from hepchallenge.text import safe_text

__all__ = ["FoldJob", "FoldResult", "Runner", "core_slots"]

_SAMPLE_SECONDS = 0.05
_START_SECONDS = 120.0
_END_SECONDS = 10.0
_SCAN_SECONDS = 0.5
_SCRATCH_ENTRIES = 100_000
_HIDDEN_SCANS = 3
_SCRATCH_PREFIX = "hepchallenge-run-"
_GRACE_SECONDS = 0.5
_ZYGOTE_LOG = "interpreter.log"
_MAX_MESSAGE = 128 * 1024
_KEPT_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    # On some processors these keep an older OpenBLAS from wrong results.
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
# What it needs comes over the socket, since every process below can read the command line.
_BOOTSTRAP = """
import json, socket, sys
control = socket.socket(fileno=int(sys.argv[1]))
setup = json.loads(control.recv(1 << 17) or b"{}")
if setup:
    sys.path[:] = setup.pop("path")
    from hepchallenge.run.zygote import main
    main(control, setup)
"""


@dataclass(frozen=True, kw_only=True)
class FoldJob:
    """One fold of one submission. `labels` are the training labels with all other rows masked.

    `predictions_class` is the challenge's `Predictions`, for the check of shapes; `n_test` is None where
    the test labels are unknown.
    """

    fold: int
    submission: Path
    train_inputs: Path
    test_inputs: Path | None
    labels: Any
    train_is: np.ndarray
    valid_is: np.ndarray
    n_train: int
    n_test: int | None
    seed: int
    predictions_class: Any = None
    hidden: tuple[Path, ...] = ()
    """What must not be seen even if it lies in a place that is: the data, the workspace."""
    live_log: Path | None = None
    """Where the log is written as it comes, for `read_live_log`; the file stays."""


@dataclass(kw_only=True)
class FoldResult:
    """How a fold ended, with the arrays that passed the intake."""

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
    log: bytes = b""


def core_slots(jobs: int, cores: Sequence[int]) -> list[tuple[int, ...]]:
    """Share out cores to parallel jobs, as evenly as possible; more jobs than cores share all of them."""
    if jobs > len(cores):
        return [tuple(cores)] * jobs
    size, rest = divmod(len(cores), jobs)
    slots, start = [], 0
    for index in range(jobs):
        end = start + size + (index < rest)
        slots.append(tuple(cores[start:end]))
        start = end
    return slots


def _sweep_scratch() -> None:
    """Remove scratch folders of this user's runners that were killed before they could do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH_PREFIX}*"):
        pid = folder.name.removeprefix(_SCRATCH_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and not psutil.pid_exists(int(pid)) and folder.lstat().st_uid == os.getuid():
                remove_tree(folder)


def _import_path() -> list[str]:
    """Return this process's import path without the current folder, which `python -m` puts into it.

    The current folder may be a stranger's submission. It stays if hepchallenge itself is imported from it.
    """
    here = Path.cwd()
    needed = here in Path(__file__).parents
    return [entry for entry in sys.path if entry and (needed or Path(entry).absolute() != here)]


def _with_real_paths(job: FoldJob) -> FoldJob:
    """Return a job whose paths mean the same in a process with another working folder and root."""
    return replace(
        job,
        submission=job.submission.resolve(),
        train_inputs=job.train_inputs.resolve(),
        test_inputs=job.test_inputs.resolve() if job.test_inputs else None,
        hidden=tuple(path.absolute() for path in job.hidden),
    )


class _Descriptor:
    """A plain descriptor that is closed once."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1

    def __enter__(self) -> _Descriptor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Ended(Exception):
    """A fold is over, with this verdict."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.message = message


class _Watch(threading.Thread):
    """Reads a fold's log, samples what it uses and ends it when a limit is passed."""

    def __init__(
        self,
        accountant: Accountant,
        gpu: GpuMeter,
        limits: Limits,
        log: int,
        link: socket.socket,
        live_log: Path | None,
        scratch: Path | None,
    ) -> None:
        super().__init__(daemon=True)
        self.gpu = gpu
        self.log = KeptLog(int(limits.log_bytes), live_log)
        self._scratch = scratch
        self._next_scan = 0.0
        self._begun = False
        self._hidden_scans = 0
        self._accountant = accountant
        self._limits = limits
        self._log = log
        self._link = link
        self._phase = "fit"
        self._cpu_at_start = 0.0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._killed = False
        self.broken: _Ended | None = None
        self.asked_to_end = False
        self.init = 0
        self.fault = ""

    def begin(self, phase: str) -> float:
        """Note the begin of a phase; return the CPU seconds used so far."""
        with self._lock:
            self._phase = phase
            # Until here the process is still turning from one of ours into one that may be looked at.
            self._begun = True
            self.gpu.begin()
            self._cpu_at_start = self._accountant.read().cpu_seconds
            return self._cpu_at_start

    def read_cpu(self) -> float:
        """Return the CPU seconds used so far."""
        with self._lock:
            return self._accountant.read().cpu_seconds

    def check(self) -> None:
        """Compare what is used now with the limits; a first excess ends the fold."""
        # A large folder takes a while; nobody shall wait for the lock meanwhile.
        full = self._scratch_excess()
        with self._lock:
            excess = self._excess(full)
            # What was asked to end has its grace, but not for eating up the host meanwhile.
            if (
                excess is None
                or self._killed
                or (self.broken is not None and excess[1] is not signal.SIGKILL)
            ):
                return
        self.break_off(*excess)

    def _excess(self, full: str) -> tuple[_Ended, signal.Signals] | None:
        """Return which limit is passed, if one is, and the signal that says so to the fold."""
        reading, limits, phase = self._accountant.read(), self._limits, self._phase
        if reading.out_of_memory or reading.peak_memory_bytes > limits.memory_bytes:
            used_mib = reading.peak_memory_bytes / 2**20
            message = (
                f"{phase} used {used_mib:.0f} MiB of memory or more; "
                f"{limits.memory_bytes / 2**20:.0f} MiB are allowed"
            )
            return _Ended(Verdict.MEMORY_LIMIT, message), signal.SIGKILL
        if reading.processes > limits.processes:
            message = f"{phase} ran {reading.processes} processes and threads; {limits.processes} are allowed"
            return _Ended(Verdict.PROCESS_LIMIT, message), signal.SIGKILL
        if full:
            return _Ended(Verdict.OUTPUT_LIMIT, f"{phase} {full}"), signal.SIGKILL
        if excess := self.gpu.excess(limits):
            return _Ended(Verdict.GPU_LIMIT, f"{phase} {excess}"), signal.SIGKILL
        cpu_limit = limits.fit_cpu if phase == "fit" else limits.predict_cpu
        used = reading.cpu_seconds - self._cpu_at_start
        if used > cpu_limit:
            message = (
                f"{phase} used {used:.1f} s of CPU time over all its processes; {cpu_limit:g} s are allowed"
            )
            return _Ended(Verdict.CPU_LIMIT, message), signal.SIGXCPU
        return None

    def _scratch_excess(self) -> str:
        """Say whether a scratch folder on a disk holds too much; one in memory is capped by the kernel."""
        started = time.monotonic()
        if self._scratch is None or started < self._next_scan:
            return ""
        try:
            size, entries = used(self._scratch, _SCRATCH_ENTRIES)
            held = held_without_name(descendants(self.init), self._scratch)
        except FileNotFoundError:
            return ""
        # However large the folder, looking at it takes a tenth of the time at most.
        self._next_scan = time.monotonic() + max(_SCAN_SECONDS, 10 * (time.monotonic() - started))
        self._hidden_scans = self._hidden_scans + 1 if held is None and self._begun else 0
        if self._hidden_scans >= _HIDDEN_SCANS:
            return "forbade to look at the files that it held open, which could be of any size"
        size += held or 0
        if size > self._limits.scratch_bytes:
            allowed = self._limits.scratch_bytes / 2**20
            return f"wrote {size / 2**20:.0f} MiB to its scratch folder; {allowed:.0f} MiB are allowed"
        if entries >= _SCRATCH_ENTRIES:
            return (
                f"filled its scratch folder with {_SCRATCH_ENTRIES} files or more, or with folders "
                "that cannot be looked into"
            )
        return ""

    def break_off(self, end: _Ended, number: signal.Signals) -> None:
        """Note why a fold is over, if that is not settled yet; end it, unless by SIGKILL with a grace."""
        with self._lock:
            if self.broken is None:
                self.broken = end
        if number is signal.SIGKILL:
            self.kill()
        elif not self.asked_to_end:
            self.asked_to_end = True
            with contextlib.suppress(OSError):
                self._link.send(Word.KILL_SOON)
            ask_below(self.init, number)

    def kill(self) -> None:
        """Tell the warden to end the fold at once."""
        self._killed = True
        with contextlib.suppress(OSError):
            self._link.send(Word.KILL)

    def run(self) -> None:
        """Drain the log and sample until told to stop."""
        next_sample = 0.0
        while not self._over.is_set():
            self._drain()
            if time.monotonic() >= next_sample:
                try:
                    self.check()
                except Exception as error:
                    # A fold that nobody watches must not go on.
                    self.fault = f"limits could not be watched: {error}"
                    self.kill()
                    break
                next_sample = time.monotonic() + _SAMPLE_SECONDS
            self._over.wait(_SAMPLE_SECONDS / 2)
        self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            # Bounded per turn, so that a flood of output cannot keep limits from being looked at.
            for _ in range(64):
                data = os.read(self._log, 1 << 16)
                if not data:
                    return
                self.log.add(data)

    def stop(self) -> None:
        """End the thread after a last look at the log."""
        self._over.set()
        if self.ident is not None:
            self.join()
        self.log.close()


class Runner:
    """Runs folds of submissions to one challenge at one isolation level.

    Parameters
    ----------
    challenge_folder
        Folder with `problem.py`; of it only Python files and `external_imports/` are visible inside.
    isolation, accounting
        As chosen by `choose_isolation` and `choose_accounting`.
    limits
        Per fold.
    jobs
        Folds that run at the same time; the cores of this process are shared out among them.
    seed
        Also the hash seed of the interpreter, so that equal runs are equal.
    warm_modules
        Installed modules that submissions will import.
    test_mode
        Whether `RAMP_TEST_MODE=1` is set inside, as `ramp-test --quick-test` does.
    gpus
        Where every fold leases its GPUs; it is not closed here. None: folds find no GPU.
    """

    def __init__(
        self,
        *,
        challenge_folder: Path,
        isolation: Isolation,
        accounting: Accounting,
        limits: Limits,
        jobs: int,
        seed: int,
        warm_modules: Sequence[str] = (),
        test_mode: bool = False,
        gpus: GpuPool | None = None,
    ) -> None:
        self.isolation = isolation
        self.accounting = accounting
        self.limits = limits
        self.jobs = jobs
        self._folder = challenge_folder.resolve()
        self._modules = list(warm_modules)
        self._test_mode = test_mode
        self._gpus = gpus
        self._seed = seed
        _sweep_scratch()
        self._scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH_PREFIX}{os.getpid()}-")).resolve()
        self._slots: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        for slot in core_slots(jobs, sorted(os.sched_getaffinity(0))):
            self._slots.put(slot)
        self._lock = threading.Lock()
        self._plans: dict[tuple[Path | None, ...], dict[str, Any]] = {}
        # Whether the present warm interpreter has said that it is ready, or why it is not.
        self._heard = False
        self._closed = False
        self._running: set[_Watch] = set()
        self._start_zygote()
        self._hiding = contextlib.ExitStack()
        if isolation is Isolation.LANDLOCK:
            self._hiding.enter_context(hidden_from_others())

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _environment(self) -> dict[str, str]:
        threads = str(max(1, len(os.sched_getaffinity(0)) // self.jobs))
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        environment |= dict.fromkeys(_THREAD_VARIABLES, threads)
        scratch = "/tmp" if self.isolation is Isolation.NAMESPACES else str(self._scratch)
        # Nothing else of this process's environment is passed on, no PYTHON* variable in particular.
        own = {"HOME": scratch, "TMPDIR": scratch, "MPLCONFIGDIR": scratch, "CUDA_VISIBLE_DEVICES": ""}
        if self.isolation is Isolation.LANDLOCK:
            # There are no semaphores that processes could share, and no list of users.
            own |= {"JOBLIB_MULTIPROCESSING": "0"} | dict.fromkeys(("USER", "LOGNAME"), "participant")
        if self._test_mode:
            own["RAMP_TEST_MODE"] = "1"
        return environment | own | {"PYTHONHASHSEED": str(self._seed % 2**32), "PYTHONUNBUFFERED": "1"}

    def _start_zygote(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # -P: nothing of the current folder gets in; the import path is handed over.
        command = [sys.executable, "-s", "-P", "-c", _BOOTSTRAP, str(theirs.fileno())]
        if self.isolation is Isolation.NAMESPACES:
            command = [sys.executable, "-I", "-S", reexec.__file__, *command]
        with theirs, open(self._scratch / _ZYGOTE_LOG, "wb") as log:
            self._zygote = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                # What is printed while importing would end up between a command's own words.
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        self._control = control
        self._heard = False
        setup = {
            "path": _import_path(),
            "challenge_folder": str(self._folder),
            "modules": self._modules,
            "landlock": self.isolation is Isolation.LANDLOCK,
        }
        with contextlib.suppress(OSError):
            control.send(json.dumps(setup).encode())

    def _await_zygote(self) -> None:
        """Wait until the warm interpreter has imported what it needs; start another if it has died."""
        with self._lock:
            if self._closed:
                raise InfrastructureError("the runner was closed before the fold began")
            if self._zygote.poll() is not None and self._heard:
                self._control.close()
                self._start_zygote()
            if self._heard:
                return
            self._control.settimeout(_START_SECONDS)
            try:
                answer = self._control.recv(_MAX_MESSAGE)
            except TimeoutError:
                raise InfrastructureError(
                    f"the warm interpreter was not ready after {_START_SECONDS:g} s"
                ) from None
            except OSError:
                answer = b""
            self._heard = True
            word = json.loads(answer) if answer else {"error": f"it ended while starting{self._last_words()}"}
            if "error" in word:
                # The next fold tries again, with another one.
                self._zygote.kill()
                self._zygote.wait()
                raise InfrastructureError(
                    f"the warm interpreter could not load the challenge: {word['error']}"
                )
            self._control.settimeout(None)

    def _last_words(self) -> str:
        text = (self._scratch / _ZYGOTE_LOG).read_bytes()[-2000:].decode(errors="replace").strip()
        return f":\n{text}" if text else ""

    def close(self) -> None:
        """End folds that still run, as nobody's fault, and then the warm interpreter."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            running = list(self._running)
        for watch in running:
            watch.fault = "the runner was closed while the fold ran"
            watch.kill()
        self._control.close()
        try:
            self._zygote.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            self._zygote.wait()
        remove_tree(self._scratch)
        self._hiding.close()

    def _container(self, job: FoldJob) -> dict[str, Any] | None:
        if self.isolation is Isolation.NONE:
            return None
        # The folds of a submission differ in nothing that a container shows.
        same = (job.submission, job.train_inputs, job.test_inputs, *job.hidden)
        with self._lock:
            if same not in self._plans:
                self._plans = {same: self._plan(job)}
            return self._plans[same]

    def _plan(self, job: FoldJob) -> dict[str, Any]:
        # Imported late: where there are no namespaces it may not even import.
        from hepchallenge.run.container import interpreter_paths, plan_container, python_code

        folder = self._folder
        inputs = [job.train_inputs, *([job.test_inputs] if job.test_inputs else [])]
        own = [job.submission, *inputs]
        shown = [*interpreter_paths(), *python_code(folder), str(folder / "external_imports"), *map(str, own)]
        challenges = Path(__file__).resolve().parents[1] / "challenges"
        hidden = [*job.hidden, folder, self._scratch, *challenges.glob("*/data")]
        hidden += [folder / name for name in ("data", "submissions", ".git")]
        if self.isolation is Isolation.LANDLOCK:
            from hepchallenge.run.landlock import plan_landlock

            return asdict(plan_landlock(shown, map(str, hidden)))
        mountpoint = self._scratch / "root"
        mountpoint.mkdir(exist_ok=True)
        plan = plan_container(
            shown,
            map(str, hidden),
            min(self.limits.scratch_bytes, self.limits.memory_bytes),
            str(mountpoint),
        )
        return asdict(plan)

    def run_fold(self, job: FoldJob) -> FoldResult:
        """Run one fold and return how it ended; the participant's faults are verdicts, never exceptions.

        Faults of the host come back as the verdict `infrastructure`.
        """
        slot = self._slots.get()
        try:
            self._await_zygote()
            return self._run(_with_real_paths(job), slot)
        except (InfrastructureError, OSError) as error:
            return FoldResult(verdict=Verdict.INFRASTRUCTURE, message=str(error))
        except Exception as error:
            # A mistake of ours must not take the other submissions down with it.
            what = f"the runner failed unexpectedly: {type(error).__name__}: {error}"
            return FoldResult(verdict=Verdict.INFRASTRUCTURE, message=what)
        finally:
            self._slots.put(slot)

    def _run(self, job: FoldJob, slot: tuple[int, ...]) -> FoldResult:
        with contextlib.ExitStack() as stack:
            lease = stack.enter_context(self._gpus.lease(self._zygote.pid)) if self._gpus else None
            gpu = GpuMeter(lease)
            accountant = new_accountant(self.accounting, self.limits)
            stack.callback(accountant.close)
            channel_socket, fold_channel = socket.socketpair()
            link, warden_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            log_read, log_write = map(stack.enter_context, map(_Descriptor, os.pipe()))
            os.set_blocking(log_read.fileno(), False)
            for end in (channel_socket, fold_channel, link, warden_link):
                stack.callback(end.close)
            working_folder = tempfile.mkdtemp(dir=self._scratch)
            stack.callback(remove_tree, Path(working_folder))
            message = {
                "task": {
                    "submission": str(job.submission),
                    "train_inputs": str(job.train_inputs),
                    "test_inputs": str(job.test_inputs) if job.test_inputs else None,
                    "seed": job.seed,
                    "gpus": lease.visible if lease else "",
                },
                "devices": lease.nodes if lease else (),
                "container": self._container(job) if self.isolation is Isolation.NAMESPACES else None,
                "landlock": self._container(job) if self.isolation is Isolation.LANDLOCK else None,
                "jobs": self.jobs,
                "cores": slot,
                "file_bytes": self.limits.scratch_bytes,
                "processes": self.limits.processes,
                "working_folder": working_folder,
            }
            # Beside the working folder: too long for one message where an import path is large.
            order = stack.enter_context(tempfile.NamedTemporaryFile("w", dir=self._scratch, suffix=".json"))
            json.dump(message, order)
            order.flush()
            on_disk = None if self.isolation is Isolation.NAMESPACES else Path(working_folder)
            watch = _Watch(
                accountant, gpu, self.limits, log_read.fileno(), link, job.live_log, scratch=on_disk
            )
            started = time.monotonic()
            with self._lock:
                if self._closed:
                    raise InfrastructureError("the runner was closed before the fold began")
                theirs = [fold_channel.fileno(), log_write.fileno(), warden_link.fileno()]
                socket.send_fds(self._control, [os.fsencode(order.name)], theirs)
                self._running.add(watch)
            for mine in (fold_channel, warden_link, log_write):
                mine.close()
            channel = Channel(channel_socket)
            try:
                init = watch.init = self._hear(link, "init")
                accountant.attach(init)
                gpu.attach(init)
                watch.start()
                link.send(Word.GO)
                result = self._converse(job, channel, link, watch)
            finally:
                channel.close()
                if not watch.asked_to_end:
                    watch.kill()
                with contextlib.suppress(InfrastructureError):
                    self._hear(link, "exit")
                watch.stop()
                with self._lock:
                    self._running.discard(watch)
            reading = accountant.read()
        if watch.fault:
            raise InfrastructureError(watch.fault)
        result.wall_seconds = time.monotonic() - started
        result.cpu_seconds = reading.cpu_seconds
        result.peak_memory_bytes = reading.peak_memory_bytes
        result.gpus, result.gpu_seconds = gpu.names, gpu.seconds
        result.gpu_peak_memory_bytes = gpu.peak_memory_bytes
        result.log = watch.log.content()
        return result

    @staticmethod
    def _hear(link: socket.socket, word: str) -> int:
        """Return the number that the warden tells under `word`."""
        link.settimeout(_START_SECONDS)
        try:
            message = json.loads(link.recv(_MAX_MESSAGE) or b'{"error": "the warden ended early"}')
        except (OSError, ValueError) as error:
            raise InfrastructureError(f"no word from the warden: {error}") from None
        if "error" in message:
            raise InfrastructureError(message["error"])
        return int(message.get(word, 0))

    def _converse(self, job: FoldJob, channel: Channel, link: socket.socket, watch: _Watch) -> FoldResult:
        """Speak with a fold until it has fitted and predicted, or is over."""
        result = FoldResult(verdict=Verdict.SCORED)
        try:
            self._expect(channel, Kind.READY, _START_SECONDS, "start", link, watch)
            labels = dump_whole((job.labels, job.train_is, job.valid_is))
            self._phase(result, "fit", watch, lambda: self._fit(channel, labels, link, watch))
            self._phase(result, "predict", watch, lambda: self._predict(job, channel, link, watch, result))
        except _Ended as end:
            result.verdict, result.message = end.verdict, end.message
        except (InvalidSubmission, FrameError) as error:
            result.verdict, result.message = Verdict.INVALID_SUBMISSION, safe_text(str(error))
        if result.verdict is not Verdict.SCORED and watch.broken is not None:
            # What a fold does when asked to end cannot change why it was asked.
            result.verdict, result.message = watch.broken.verdict, watch.broken.message
        if result.verdict is not Verdict.SCORED:
            result.predictions = {}
        return result

    def _phase(self, result: FoldResult, name: Any, watch: _Watch, action: Any) -> None:
        cpu = watch.begin(name)
        start = time.monotonic()
        try:
            action()
        finally:
            wall = time.monotonic() - start
            watch.gpu.end()
            result.phases.append(
                PhaseUsage(phase=name, wall_seconds=wall, cpu_seconds=watch.read_cpu() - cpu)
            )
        # What was used between the last sample and the answer counts too.
        watch.check()
        if watch.broken is not None:
            raise watch.broken

    def _fit(self, channel: Channel, labels: bytes, link: socket.socket, watch: _Watch) -> None:
        channel.send(Kind.FIT, {}, labels)
        self._expect(channel, Kind.FITTED, self.limits.fit_wall, "fit", link, watch)

    def _predict(
        self, job: FoldJob, channel: Channel, link: socket.socket, watch: _Watch, result: FoldResult
    ) -> None:
        deadline = time.monotonic() + self.limits.predict_wall
        parts = [("train", job.n_train)]
        if job.test_inputs is not None:
            parts.append(("test", -1 if job.n_test is None else job.n_test))
        for part, n_rows in parts:
            with contextlib.suppress(OSError):
                channel.send(Kind.PREDICT, {"part": part})
            left = deadline - time.monotonic()
            frame = self._expect(channel, Kind.PREDICTION, left, f"predict on {part}", link, watch)
            array = array_of(frame)
            rows = n_rows if n_rows >= 0 else len(array) if array.ndim else 0
            result.predictions[part] = check_prediction(array, part, rows, job.predictions_class)

    def _expect(
        self, channel: Channel, kind: Kind, seconds: float, step: str, link: socket.socket, watch: _Watch
    ) -> Frame:
        """Return the next frame of `kind`; every other way in which a step can end raises `_Ended`."""
        try:
            frame = channel.receive(time.monotonic() + seconds, self.limits.output_bytes)
        except ChannelTimeout:
            if step == "start":
                raise InfrastructureError(f"a fold did not start within {seconds:g} s") from None
            limit = self.limits.fit_wall if step == "fit" else self.limits.predict_wall
            message = f"{step.partition(' ')[0]} took more than the {limit:g} s of wall-clock time allowed"
            end = _Ended(Verdict.WALL_LIMIT, message)
            watch.break_off(end, signal.SIGTERM)
            raise end from None
        except PayloadTooLarge as error:
            raise _Ended(Verdict.OUTPUT_LIMIT, f"{step}: {error}") from None
        except FrameError as error:
            raise _Ended(Verdict.INVALID_SUBMISSION, f"{step}: {error}") from None
        except ChannelClosed:
            raise self._why_closed(step, link, watch) from None
        if frame.kind is Kind.ERROR:
            text = safe_text(bytes(frame.payload))
            where = safe_text(str(frame.header.get("step", step))[:80])
            if frame.header.get("fault") == "prediction":
                raise _Ended(Verdict.INVALID_SUBMISSION, f"{where}: {text}")
            raise _Ended(Verdict.RUNTIME_ERROR, f"{where} failed\n{text}")
        if frame.kind is not kind:
            raise _Ended(
                Verdict.INVALID_SUBMISSION, f"{step}: expected a {kind.name} frame, found {frame.kind.name}"
            )
        return frame

    @staticmethod
    def _why_closed(step: str, link: socket.socket, watch: _Watch) -> _Ended:
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
        return _Ended(Verdict.RUNTIME_ERROR, f"{step}: {how}")
