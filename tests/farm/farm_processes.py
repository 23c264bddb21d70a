"""Schedulers, workers and organisers as processes of their own, which tests end at will."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil

__all__ = ["HERE", "Farm", "Here", "Process", "wait_for", "worker_below"]

T = TypeVar("T")

DEADLINE_SECONDS = 120.0
"""No test waits longer for anything; generous, since the host may be busy."""

_TIMEOUTS = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s",
    # Dask takes nothing shorter.
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
}
"""A connection that is lost is noticed within seconds."""


def wait_for(condition: Callable[[], T], what: str, *alive: Process) -> T:
    """Return the first true value of a condition; fail if a process that it needs ends before."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        for process in alive:
            assert process.poll() is None, f"{process.name} ended before {what}:\n{process.log_text()}"
        logs = "\n".join(process.log_text() for process in alive)
        assert time.monotonic() < deadline, f"no {what} in {DEADLINE_SECONDS:g} s\n{logs}"
        time.sleep(0.02)
    return value


class Here:
    """The host on which the tests run."""

    address = "127.0.0.1"
    name = "here"

    def line(self, words: list[str]) -> list[str]:
        """Return the command line that executes another one there."""
        return words


HERE = Here()


class Process:
    """A process in a session of its own, with all that it prints in a file.

    Parameters
    ----------
    name
        How it is called in messages of failed tests.
    words
        Command line, as on the host.
    folder
        Its working directory, and the place of its log.
    environment
        Variables besides those of this process.
    """

    def __init__(
        self,
        name: str,
        words: list[str],
        folder: Path,
        environment: Mapping[str, str],
        host: Here = HERE,
        stdout: int | None = None,
    ) -> None:
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"{name}.log"
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                host.line(words),
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def log_text(self) -> str:
        """Return the end of what it printed."""
        return f"--- {self.name}\n" + self._log.read_text(errors="replace")[-6000:]

    def communicate(self) -> tuple[int, str]:
        """Wait for the end; return exit code and standard output, where that was asked for."""
        try:
            out, _ = self._process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end:\n{self.log_text()}") from None
        return self._process.returncode, (out or b"").decode()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it at once, as a crash would, and wait until it is gone."""
        below = self.below()
        self.signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        # What leads a session of its own ends by itself, once its parent is gone.
        psutil.wait_procs(below, timeout=DEADLINE_SECONDS)

    def below(self) -> list[psutil.Process]:
        """Return all its descendants."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


class Farm:
    """A scheduler and workers, all of which end with it.

    Parameters
    ----------
    folder
        For logs, the workers' files and the nodes' caches.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        # Nothing of the user's is seen or left: no cache, no workspace, no files of Dask.
        own = {"XDG_CACHE_HOME": folder / "user cache", "DASK_TEMPORARY_DIRECTORY": folder / "dask"}
        self.environment = {
            **_TIMEOUTS,
            **{name: str(path) for name, path in own.items()},
            **(environment or {}),
        }
        self.processes: list[Process] = []
        self.address = ""
        self._n_commands = 0
        self.scheduler: Process
        self._scheduler_host = HERE

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: object) -> None:
        below = [one for process in self.processes for one in process.below()]
        for process in self.processes:
            process.signal(signal.SIGKILL)
        for process in self.processes:
            process.kill()
        # What leads a session of its own ends by itself, once its parent is gone.
        psutil.wait_procs(below, timeout=DEADLINE_SECONDS)

    def start(
        self,
        name: str,
        words: list[str],
        environment: Mapping[str, str] | None = None,
        host: Here = HERE,
        stdout: int | None = None,
    ) -> Process:
        """Start a process with the environment of the farm."""
        own = {**self.environment, **(environment or {})}
        process = Process(name, words, self.folder, own, host, stdout)
        self.processes.append(process)
        return process

    def start_scheduler(self, host: Here = HERE) -> Process:
        """Start the scheduler; if there was one, the next has its address."""
        port = self.address.rpartition(":")[2] or "0"
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ["-m", "distributed.cli.dask_scheduler", "--host", host.address, "--port", port]
        words += ["--no-dashboard", "--dashboard-address", ":0", "--scheduler-file", str(file)]
        self.scheduler = self.start("scheduler", [sys.executable, *words], host=host)
        self._scheduler_host = host

        def address() -> str:
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                return str(json.loads(file.read_text())["address"])
            return ""

        self.address = wait_for(address, "address of the scheduler", self.scheduler)
        return self.scheduler

    def start_worker(
        self, name: str, host: Here = HERE, nanny: bool = False, slots: int = 1, node: str = ""
    ) -> Process:
        """Start a worker; workers of one `node` share a cache, as on one host."""
        node = node or name
        words = ["-m", "distributed.cli.dask_worker", self.address, "--host", host.address, "--name", name]
        words += ["--nthreads", str(slots), "--memory-limit", "0", "--nanny" if nanny else "--no-nanny"]
        words += ["--no-dashboard", "--local-directory", str(self.folder / f"files of {name}")]
        own = {"HEPCHALLENGE_NODE_CACHE": str(self.folder / f"cache of {node}")}
        return self.start(name, [sys.executable, *words], own, host)

    def start_command(
        self, *words: object, host: Here = HERE, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start `hepchallenge` with standard output for `communicate`."""
        line = [sys.executable, "-m", "hepchallenge", *map(str, words)]
        self._n_commands += 1
        return self.start(f"command {self._n_commands}", line, environment, host, stdout=subprocess.PIPE)


def worker_below(nanny: Process) -> psutil.Process | None:
    """Return the worker process that a nanny has now."""
    for process in nanny.below():
        with contextlib.suppress(psutil.Error):
            if "--multiprocessing-fork" in process.cmdline():
                return process
    return None
