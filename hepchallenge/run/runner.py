"""The trusted side of a run: starts the warm interpreter, hands out folds, watches limits.

One `Runner` serves one challenge. `run_fold` may be called from several threads at once; each call
takes a slot of cores, speaks with one fold over its private channel and returns what came of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import queue
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.records import HostFacts, Limits, Verdict
from hepchallenge.run import reexec
from hepchallenge.run.accounting import Accounting, new_accountant
from hepchallenge.run.conversation import converse
from hepchallenge.run.cores import lease_cores
from hepchallenge.run.frames import Channel
from hepchallenge.run.gpu import GpuMeter, GpuPool
from hepchallenge.run.host import host_facts, reference_seconds
from hepchallenge.run.isolation import Isolation
from hepchallenge.run.jobs import FoldJob, FoldResult
from hepchallenge.run.landlock import hidden_from_others
from hepchallenge.run.scratch import remove_tree
from hepchallenge.run.warden import Word, pid_namespace
from hepchallenge.run.watch import Watch

__all__ = ["FoldJob", "FoldResult", "Runner", "core_slots", "most_jobs"]

_START_SECONDS = 120.0
_END_SECONDS = 10.0
_REFERENCE_SECONDS = 600.0
"""For how long it is known how fast a core works."""
_SCRATCH_PREFIX = "hepchallenge-run-"
_FRESH_SECONDS = 60.0
"""So young, a scratch folder may have no lock yet."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ZYGOTE_LOG = "interpreter.log"
_MAX_MESSAGE = 128 * 1024
_DESCRIPTORS = 4096
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


def most_jobs(jobs: int, limits: Limits, cores: int | None = None) -> int:
    """Return how many folds can run at once if each has the cores that its limits promise it.

    `cores` is how many there are, by default all that this process may use.
    """
    if limits.cores is None:
        return jobs
    return max(1, min(jobs, (cores or len(os.sched_getaffinity(0))) // limits.cores))


def core_slots(jobs: int, cores: Sequence[int], each: int | None = None) -> list[tuple[int, ...]]:
    """Share out cores to parallel jobs, as evenly as possible; more jobs than cores share all of them.

    With `each`, a job gets so many and no more, or all where there are fewer.
    """
    if each is not None:
        return [tuple(cores[job * each : (job + 1) * each]) for job in range(jobs)]
    if jobs > len(cores):
        return [tuple(cores)] * jobs
    size, rest = divmod(len(cores), jobs)
    slots, start = [], 0
    for index in range(jobs):
        end = start + size + (index < rest)
        slots.append(tuple(cores[start:end]))
        start = end
    return slots


def _allow_descriptors() -> None:
    """Raise this process's own limit of open descriptors, of which folds get half, where it is small."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now < _DESCRIPTORS and now < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, most), most))


def _new_scratch() -> tuple[Path, int]:
    """Make a scratch folder; return it with the descriptor that holds its lock for as long as it is open."""
    prefix = f"{_SCRATCH_PREFIX}{pid_namespace()}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    lock = os.open(folder, _FOLDER)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return folder, lock


def _sweep_scratch() -> None:
    """Remove scratch folders of this user's runners that were killed before they could do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH_PREFIX}*"):
        numbers, _, rest = folder.name.removeprefix(_SCRATCH_PREFIX).partition("-")
        pid = rest.partition("-")[0]
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.getuid() or not pid.isdigit():
                continue
            if numbers == str(pid_namespace()):
                may_live = psutil.pid_exists(int(pid))
            else:
                # It cannot be seen from here, and has its lock a moment after it has made the folder.
                may_live = time.time() - facts.st_mtime < _FRESH_SECONDS
            if may_live:
                continue
            lock = os.open(folder, _FOLDER)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(folder)
            finally:
                os.close(lock)


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
        train_inputs=job.train_inputs.resolve() if job.train_inputs else None,
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
        Folds that run at the same time, or fewer if each is to have more cores of its own than there are. The
        cores that are leased are shared out among them.
    seed
        Also the hash seed of the interpreter, so that equal runs are equal.
    warm_modules
        Installed modules that submissions will import.
    test_mode
        Whether `RAMP_TEST_MODE=1` is set inside, as `ramp-test --quick-test` does.
    gpus
        Where every fold leases its GPUs; it is not closed here. None: folds find no GPU.
    cores
        How many of the cores of this process it may lease in all; None: all of them.
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
        cores: int | None = None,
    ) -> None:
        self.isolation = isolation
        self.accounting = accounting
        self.limits = limits
        usable = sorted(os.sched_getaffinity(0))
        most_cores = min(cores or len(usable), len(usable))
        self.jobs = jobs = most_jobs(jobs, limits, most_cores)
        self._folder = challenge_folder.resolve()
        self._modules = list(warm_modules)
        self._test_mode = test_mode
        self._gpus = gpus
        self._seed = seed
        _sweep_scratch()
        _allow_descriptors()
        self._scratch, self._scratch_lock = _new_scratch()
        # What the folds cannot use is left to other commands.
        self._lease = lease_cores(min(most_cores, jobs * (limits.cores or most_cores)), usable)
        slots = core_slots(jobs, self._lease.cores, limits.cores)
        self._shared_out = sum(map(len, slots)) > len(self._lease.cores)
        self._cores_each = min(len(self._lease.cores) // jobs, *map(len, slots))
        self._references: dict[tuple[int, ...], tuple[float, float]] = {}
        self._slots: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        for slot in slots:
            self._slots.put(slot)
        self._lock = threading.Lock()
        self._plans: dict[tuple[Path | None, ...], dict[str, Any]] = {}
        # Whether the present warm interpreter has said that it is ready, or why it is not.
        self._heard = False
        self._closed = False
        self._running: set[Watch] = set()
        self._start_zygote()
        self._hiding = contextlib.ExitStack()
        if isolation is Isolation.LANDLOCK:
            self._hiding.enter_context(hidden_from_others())

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _environment(self) -> dict[str, str]:
        # Not more than a job has cores: threads of a pool that wait for each other would spin in turns.
        threads = str(max(1, self._cores_each))
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
        os.close(self._scratch_lock)
        self._hiding.close()
        self._lease.close()

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
        inputs = [path for path in (job.train_inputs, job.test_inputs) if path is not None]
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
            # While the warm interpreter still starts; the fold itself is not disturbed.
            facts, mark = self._facts(slot), self._lease.mark()
            self._await_zygote()
            result = self._run(_with_real_paths(job), slot)
            alone = not self._shared_out and self._lease.undisturbed_since(mark)
            result.host = replace(facts, exclusive=alone)
            return result
        except (InfrastructureError, OSError) as error:
            return FoldResult(verdict=Verdict.INFRASTRUCTURE, message=str(error))
        except Exception as error:
            # A mistake of ours must not take the other submissions down with it.
            what = f"the runner failed unexpectedly: {type(error).__name__}: {error}"
            return FoldResult(verdict=Verdict.INFRASTRUCTURE, message=what)
        finally:
            self._slots.put(slot)

    @property
    def has_own_cores(self) -> bool:
        """Whether a fold that runs now has its cores for itself, as far as other runs of ours go."""
        return not self._shared_out and self._lease.exclusive

    def _facts(self, slot: tuple[int, ...]) -> HostFacts:
        """Return what there is to record of this host now, but for whether the slot's cores are shared."""
        seconds, known_at = self._references.get(slot, (0.0, -math.inf))
        if time.monotonic() - known_at > _REFERENCE_SECONDS:
            mine = os.sched_getaffinity(0)
            # Of this thread only: cores of one host may differ.
            os.sched_setaffinity(0, slot)
            try:
                seconds = reference_seconds()
            finally:
                os.sched_setaffinity(0, mine)
            self._references[slot] = seconds, time.monotonic()
        return host_facts(len(slot), not self._shared_out, seconds)

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
                    "train_inputs": str(job.train_inputs) if job.train_inputs else None,
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
            watch = Watch(
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
                result = converse(job, self.limits, channel, link, watch)
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
