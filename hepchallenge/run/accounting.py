"""CPU time, memory and processes of a fold's whole process tree, read from outside.

`cgroup`: the kernel counts, through BenchExec's cgroups, where this process may make one.
`sampled`: /proc is read every few hundredths of a second. CPU of every process ever seen is kept, also
of children that nobody waits for; what a process used after its last reading and before an end that
nobody waited for is lost, which is why the record says how it was counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from hepchallenge.records import Limits
from hepchallenge.run.warden import descendants, pid_namespace

__all__ = [
    "Accountant",
    "Accounting",
    "CgroupAccountant",
    "Reading",
    "SampledAccountant",
    "choose_accounting",
    "new_accountant",
]

_TICK = os.sysconf("SC_CLK_TCK")
_CGROUP_LOCK = threading.Lock()
_PREFIX = "benchmark_hepchallenge_"
_PIDS = "pids"


class Accounting(StrEnum):
    """How CPU time and memory were counted."""

    CGROUP = "cgroup"
    """By the kernel, exactly, for all processes of the run."""
    SAMPLED = "sampled"
    """By reading /proc repeatedly."""


@dataclass(frozen=True)
class Reading:
    """What a process tree has used so far and how large it is now."""

    cpu_seconds: float
    peak_memory_bytes: int
    processes: int
    out_of_memory: bool = False


class Accountant(Protocol):
    """Counts what one fold uses."""

    def attach(self, pid: int) -> None:
        """Start counting for a process and everything below it."""

    def read(self) -> Reading:
        """Return what has been used so far."""

    def close(self) -> None:
        """Stop counting and free what the kernel holds for it."""


def _cpu_ticks(pid: int) -> tuple[int, int, int, int] | None:
    """Return start time, own ticks, ticks of waited-for children and number of threads of a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name may hold blanks and brackets; fields count from behind it.
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(words[19]), int(words[11]) + int(words[12]), int(words[13]) + int(words[14]), int(words[17])


def _private_memory(pid: int) -> int:
    """Return the proportional anonymous and shared memory of a process in bytes.

    A process that forbids looking (it can, with PR_SET_DUMPABLE) counts whole, pages shared or not.
    """
    try:
        return _kib(pid, "smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:")
    except PermissionError:
        with contextlib.suppress(OSError):
            return _kib(pid, "status", b"RssAnon:", b"RssShmem:")
    except OSError:
        pass
    return 0


def _kib(pid: int, name: str, *keys: bytes) -> int:
    """Return the sum, in bytes, of fields that a file of /proc gives in KiB."""
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(keys))


class SampledAccountant:
    """Reads /proc for a process and all below it."""

    def __init__(self) -> None:
        self._pid = 0
        self._seen: dict[tuple[int, int], int] = {}
        self._most_cpu = 0
        self._peak_memory = 0

    def attach(self, pid: int) -> None:
        """Start counting for a process and everything below it."""
        self._pid = pid

    def read(self) -> Reading:
        """Return what has been used so far; a tree that is gone keeps its last figures."""
        in_tree = processes = memory = 0
        for pid in [self._pid, *descendants(self._pid)]:
            ticks = _cpu_ticks(pid)
            if ticks is None:
                continue
            start, own, waited, threads = ticks
            processes += threads
            in_tree += own + waited
            self._seen[(pid, start)] = own
            memory += _private_memory(pid)
        # A parent's figure includes the children it waited for, the sum over all ever seen the others.
        self._most_cpu = max(self._most_cpu, in_tree, sum(self._seen.values()))
        self._peak_memory = max(self._peak_memory, memory)
        return Reading(self._most_cpu / _TICK, self._peak_memory, processes)

    def close(self) -> None:
        """Nothing is held."""


@cache
def _parent_cgroup() -> Any:
    """Return BenchExec's cgroup below which runs may get their own, or None."""
    from benchexec.cgroups import Cgroups

    logging.getLogger("benchexec").setLevel(logging.CRITICAL)
    quiet = logging.getLogger().level
    logging.getLogger().setLevel(logging.CRITICAL)
    try:
        cgroups = Cgroups.initialize()
        usable = all(
            cgroups.require_subsystem(name, log_method=lambda *_: None)
            for name in (cgroups.CPU, cgroups.MEMORY)
        )
        if not usable:
            return None
        if _PIDS in cgroups.subsystems:
            # Forgotten by this if it cannot be used.
            cgroups.require_subsystem(_PIDS, log_method=lambda *_: None)
        probe = cgroups.create_fresh_child_cgroup({cgroups.CPU, cgroups.MEMORY})
        probe.remove()
        _sweep(cgroups)
    except Exception:
        # BenchExec raises many kinds here, one per way in which a host can lack cgroups.
        return None
    finally:
        logging.getLogger().setLevel(quiet)
    return cgroups


def _own_prefix() -> str:
    """Return how names of cgroups begin whose runners can be seen from here.

    In another container they live on unseen, and must not have theirs taken away.
    """
    return f"{_PREFIX}{pid_namespace()}_"


def _sweep(parent: Any) -> None:
    """Remove empty cgroups that runs left which were killed together with their runner."""
    prefix = _own_prefix()
    for folder in {str(path) for path in parent.subsystems.values()}:
        for left in Path(folder).glob(f"{prefix}*"):
            # The kernel refuses while a process is in one; the pid is of the runner that made it.
            with contextlib.suppress(OSError):
                pid = left.name.removeprefix(prefix).partition("_")[0]
                if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                    left.rmdir()


class CgroupAccountant:
    """Lets the kernel count, in a cgroup of its own with a memory limit."""

    def __init__(self, limits: Limits) -> None:
        parent = _parent_cgroup()
        wanted = {parent.CPU, parent.MEMORY}
        if _PIDS in parent.subsystems:
            wanted.add(_PIDS)
        with _CGROUP_LOCK:
            self._cgroup = parent.create_fresh_child_cgroup(wanted, prefix=f"{_own_prefix()}{os.getpid()}_")
        self._cgroup.write_memory_limit(limits.memory_bytes)
        if _PIDS in wanted:
            # Above the limit, which is watched, so that an excess shows; a fork bomb ends here.
            with contextlib.suppress(OSError):
                most = Path(self._cgroup.subsystems[_PIDS], "pids.max")
                most.write_text(str(2 * limits.processes + 64))
        with contextlib.suppress(OSError):
            if self._cgroup.can_limit_swap():
                self._cgroup.disable_swap()
        self._pid = 0

    def attach(self, pid: int) -> None:
        """Put a process into the cgroup; everything it forks stays in it."""
        self._pid = pid
        self._cgroup.add_task(pid)

    def read(self) -> Reading:
        """Return the kernel's figures."""
        processes = 0
        for pid in [self._pid, *descendants(self._pid)]:
            ticks = _cpu_ticks(pid)
            processes += ticks[3] if ticks else 0
        return Reading(
            float(self._cgroup.read_cputime() or 0.0),
            int(self._cgroup.read_max_mem_usage() or 0),
            processes,
            self._killed_for_memory(),
        )

    def _killed_for_memory(self) -> bool:
        """Whether the kernel has ended a process of the run for its memory."""
        count = self._cgroup.read_oom_kill_count()
        if count is None:
            # BenchExec does not read it from version 1 of cgroups.
            control = Path(self._cgroup.subsystems[self._cgroup.MEMORY], "memory.oom_control")
            count = int(dict(line.split() for line in control.read_text().splitlines()).get("oom_kill", 0))
        return bool(count)

    def close(self) -> None:
        """Kill what is left in the cgroup and remove it."""
        if not all(map(os.path.isdir, self._cgroup.subsystems.values())):
            # BenchExec would wait for ever for one that is gone.
            return
        with contextlib.suppress(Exception):
            self._cgroup.kill_all_tasks()
            self._cgroup.remove()


def choose_accounting() -> Accounting:
    """Return how this host can count."""
    return Accounting.CGROUP if _parent_cgroup() is not None else Accounting.SAMPLED


def new_accountant(accounting: Accounting, limits: Limits) -> Accountant:
    """Return an accountant for one fold."""
    return CgroupAccountant(limits) if accounting is Accounting.CGROUP else SampledAccountant()
