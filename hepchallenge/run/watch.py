"""Watches one fold from outside: reads its log, samples what it uses, ends it when a limit is passed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

from hepchallenge.records import Limits, Verdict
from hepchallenge.run.accounting import Accountant
from hepchallenge.run.gpu import GpuMeter
from hepchallenge.run.logs import KeptLog
from hepchallenge.run.scratch import held_without_name, used
from hepchallenge.run.warden import Word, ask_below, descendants

__all__ = ["Ended", "Watch"]

_SAMPLE_SECONDS = 0.05
_SCAN_SECONDS = 0.5
_SCRATCH_ENTRIES = 100_000
_HIDDEN_SCANS = 3


class Ended(Exception):
    """A fold is over, with this verdict."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.message = message


class Watch(threading.Thread):
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
        self.broken: Ended | None = None
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

    def _excess(self, full: str) -> tuple[Ended, signal.Signals] | None:
        """Return which limit is passed, if one is, and the signal that says so to the fold."""
        reading, limits, phase = self._accountant.read(), self._limits, self._phase
        if reading.out_of_memory or reading.peak_memory_bytes > limits.memory_bytes:
            used_mib = reading.peak_memory_bytes / 2**20
            message = (
                f"{phase} used {used_mib:.0f} MiB of memory or more; "
                f"{limits.memory_bytes / 2**20:.0f} MiB are allowed"
            )
            return Ended(Verdict.MEMORY_LIMIT, message), signal.SIGKILL
        if reading.processes > limits.processes:
            message = f"{phase} ran {reading.processes} processes and threads; {limits.processes} are allowed"
            return Ended(Verdict.PROCESS_LIMIT, message), signal.SIGKILL
        if full:
            return Ended(Verdict.OUTPUT_LIMIT, f"{phase} {full}"), signal.SIGKILL
        if excess := self.gpu.excess(limits):
            return Ended(Verdict.GPU_LIMIT, f"{phase} {excess}"), signal.SIGKILL
        cpu_limit = limits.fit_cpu if phase == "fit" else limits.predict_cpu
        used = reading.cpu_seconds - self._cpu_at_start
        if used > cpu_limit:
            message = (
                f"{phase} used {used:.1f} s of CPU time over all its processes; {cpu_limit:g} s are allowed"
            )
            return Ended(Verdict.CPU_LIMIT, message), signal.SIGXCPU
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

    def break_off(self, end: Ended, number: signal.Signals) -> None:
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
