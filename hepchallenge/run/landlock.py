"""Isolation without namespaces: Landlock for files and signals, a filter of system calls for the rest.

Landlock (Linux 5.13 and later) lets a process give up, for itself and all that it starts, every access to
files but to those below listed paths; no privilege is needed. It has grown since, as its ABI version tells:
version 3 looks after truncation, 4 after TCP, 5 after devices, 6 after signals and abstract sockets. What a
version does not look after is refused by `seccomp.landlock_rules`.

Landlock decides what may be opened, not what exists: names, sizes and dates of files can still be asked for
by those who know the path.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from benchexec import libc as system

from hepchallenge.run import container, seccomp

__all__ = [
    "LandlockPlan",
    "abi_version",
    "confine",
    "give_up_privileges",
    "hidden_from_others",
    "keep_own_proc",
    "plan_landlock",
    "try_landlock",
]

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_VERSION = 1
_RULE_PATH_BENEATH = 1
_LOG_SAME_EXEC_OFF = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
"""All rights that exist, by version; all of version 5 for those after it."""
_ALL = (1 << 16) - 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_USE_DEVICE = _READ_FILE | _WRITE_FILE | _TRUNCATE
_USE_SCRATCH = _ALL & ~(_MAKE_CHAR | _MAKE_SOCK | _MAKE_BLOCK | _IOCTL_DEV)
_TCP = (1 << 0) | (1 << 1)
"""Binding and connecting."""
_SCOPED = (1 << 0) | (1 << 1)
"""Abstract sockets and signals."""

_PROC = ("cpuinfo", "meminfo", "stat", "version", "filesystems", "sys/vm/overcommit_memory")
"""What libraries ask /proc about the machine."""
_OWN_PROC = (
    *("fd", "maps", "smaps", "smaps_rollup", "mem", "status", "stat", "statm", "comm", "cmdline", "auxv"),
    *("environ", "limits", "io", "oom_score"),
)
"""What a process may read about itself; not its network, mounts and cgroups, which are the host's."""
_NO_FILE = (FileNotFoundError, NotADirectoryError)
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


@dataclass(frozen=True)
class LandlockPlan:
    """What a submission may read and execute, all by real paths, and the version of Landlock to rely on."""

    readable: tuple[str, ...]
    abi: int


@cache
def abi_version() -> int:
    """Return the version of this kernel's Landlock, or 0 if it has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(_CREATE_VERSION)
    )
    return max(0, int(found))


def _without(path: str, hidden: frozenset[str]) -> Iterator[str]:
    """Return paths that together hold all that is below `path` but what is hidden.

    A rule of Landlock holds for all that is below, so a folder with something hidden in it is taken apart; it
    cannot be listed then, since that right, too, would hold for all.
    """
    if not any(place.startswith(path + "/") for place in hidden):
        yield path
        return
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            # What a link leads to is readable if it is listed for itself.
            if entry.path not in hidden and not entry.is_symlink():
                yield from _without(entry.path, hidden)


def plan_landlock(shown: Iterable[str], hidden: Iterable[str], abi: int | None = None) -> LandlockPlan:
    """Decide what can be read; `shown` and `hidden` as for `container.plan_container`.

    `abi` is the version to rely on, by default the kernel's.
    """
    steps = container.visible_steps(shown, hidden)
    covered = frozenset(path for path, what in steps.items() if what == "hide")
    readable = [part for path, what in steps.items() if what == "show" for part in _without(path, covered)]
    return LandlockPlan(tuple(readable), abi_version() if abi is None else abi)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


class _Ruleset:
    """Rights by path, to be given up but for these."""

    def __init__(self, abi: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._abi = abi
        self._handled = _HANDLED.get(abi, _ALL)
        words = [self._handled, *([_TCP] if abi >= 4 else []), *([_SCOPED] if abi >= 6 else [])]
        attributes = struct.pack(f"={len(words)}Q", *words)
        self._number = _check(
            self._libc.syscall(
                ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
            ),
            "Landlock",
        )

    def allow(self, path: str, rights: int) -> None:
        """Allow `rights` on a file, or on all that is below a folder; a path that is gone is left out."""
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except _NO_FILE:
            return
        try:
            if not stat.S_ISDIR(os.fstat(place).st_mode):
                rights &= _OF_FILES
            rule = struct.pack("=Qi", rights & self._handled, place)
            added = self._libc.syscall(
                ctypes.c_long(_ADD_RULE),
                ctypes.c_int(self._number),
                ctypes.c_int(_RULE_PATH_BENEATH),
                rule,
                ctypes.c_uint(0),
            )
            _check(added, f"Landlock, {path}")
        finally:
            os.close(place)

    def enforce(self) -> None:
        """Give up everything else, for good."""
        # Else a submission could fill the host's audit log with what it is refused.
        flags = _LOG_SAME_EXEC_OFF if self._abi >= 7 else 0
        restricted = self._libc.syscall(
            ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(self._number), ctypes.c_uint(flags)
        )
        _check(restricted, "Landlock")
        os.close(self._number)


def give_up_privileges() -> None:
    """Give up every privilege; to be called by the process that will run the submission."""
    container.leave_keyring()
    system.prctl(container.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    container.drop_capabilities()
    system.prctl(_PR_SET_DUMPABLE, system.SUID_DUMP_USER, 0, 0, 0)


def confine(plan: LandlockPlan, scratch: str, devices: Iterable[str] = ()) -> None:
    """Confine this process and all it starts; call `give_up_privileges` before.

    Parameters
    ----------
    plan
        What can be read and executed.
    scratch
        The one folder in which everything is allowed.
    devices
        Device files to be used besides /dev/null and its like.
    """
    ruleset = _Ruleset(plan.abi)
    for path in plan.readable:
        ruleset.allow(path, _READ)
    for name in _PROC:
        ruleset.allow(f"/proc/{name}", _READ)
    for name in _OWN_PROC:
        ruleset.allow(f"/proc/self/{name}", _READ)
    for path in container.DEVICES:
        ruleset.allow(path, _USE_DEVICE)
    for path in devices:
        ruleset.allow(path, _USE_DEVICE | _IOCTL_DEV)
    ruleset.allow(scratch, _USE_SCRATCH)
    ruleset.enforce()
    seccomp.install(seccomp.landlock_rules(plan.abi, os.getpid()))


def keep_own_proc(pid: int) -> list[int]:
    """Hold on to the files of /proc that a process may read about itself; return their descriptors.

    Rules belong to what the kernel has in memory of a file. Of /proc it could forget that, and the rule with
    it, when memory is short.
    """
    held = []
    for name in _OWN_PROC:
        with contextlib.suppress(OSError):
            held.append(os.open(f"/proc/{pid}/{name}", os.O_PATH | os.O_CLOEXEC))
    return held


_hiding = 0
_dumpable_before = 1
_hiding_lock = threading.Lock()


@contextlib.contextmanager
def hidden_from_others() -> Iterator[None]:
    """Keep this process's memory, environment and descriptors from other processes of its user meanwhile.

    Landlock forbids a submission to look already; this is the second lock. It costs core dumps and debuggers.
    """
    global _hiding, _dumpable_before
    libc = ctypes.CDLL(None)
    with _hiding_lock:
        if not _hiding:
            _dumpable_before = libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
            libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        _hiding += 1
    try:
        yield
    finally:
        with _hiding_lock:
            _hiding -= 1
            # 2 is the kernel's own to set.
            if not _hiding and _dumpable_before == 1:
                libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def try_landlock() -> str:
    """Confine this process and return "" if that works, else why not. Run this in a child of its own."""
    abi = abi_version()
    if not abi:
        return "the kernel has no Landlock, or it is not among its security modules (boot option lsm=)"
    if reason := seccomp.unavailable():
        return reason
    plan = plan_landlock(container.interpreter_paths(), ())
    give_up_privileges()
    confine(plan, "/dev/null")
    try:
        os.listdir("/")
    except PermissionError:
        return ""
    return "Landlock was switched on but has no effect"
