"""Isolation levels: what they are and which of them this host offers.

`namespaces`
    A container of Linux namespaces made with BenchExec's building blocks: own user, pid, mount,
    network, ipc and uts namespace. Only the interpreter, its packages, the challenge's code, the
    submission and the staged inputs are visible, read-only; `/tmp` is private and capped; there is no
    network. Killing its first process kills everything in it. Needs no root and no Docker.
`landlock`
    For hosts without user namespaces. The kernel's Landlock lets the submission open the same files and
    no others, and signal no process but its own; a filter of system calls takes away sockets, changes of
    mode, owner and date, and shared memory; resource limits and a subreaper do the rest. What exists
    elsewhere can still be asked for by name, not opened.
`none`
    Own session, subreaper, resource limits, no new privileges. The submission can read every file
    that you can read: for your own code only.
"""

from __future__ import annotations

import ctypes
import os
import sys
from enum import StrEnum
from functools import cache

from hepchallenge.exceptions import IsolationUnavailable

__all__ = ["Isolation", "choose_isolation", "probe"]

_PR_SET_DUMPABLE = 4


class Isolation(StrEnum):
    """Isolation levels from strong to weak."""

    NAMESPACES = "namespaces"
    """Namespaces and a whitelist of visible paths."""
    LANDLOCK = "landlock"
    """A whitelist of paths that can be opened, and a filter of system calls."""
    NONE = "none"
    """No barrier between the submission and your files; limits only."""


@cache
def probe(level: Isolation) -> str:
    """Return an empty string if the host offers `level`, else the reason why not.

    The upper levels are probed by making the whole of it in a throw-away child.
    """
    if level is Isolation.NONE:
        return ""
    if sys.platform != "linux":
        return f"Linux is needed, this is {sys.platform}"

    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read_end)
            # A runner at level `landlock` may have forbidden this; without it a child cannot be mapped.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            if level is Isolation.NAMESPACES:
                from hepchallenge.run.container import try_container

                reason = try_container()
            else:
                from hepchallenge.run.landlock import try_landlock

                reason = try_landlock()
            os.write(write_end, reason.encode()[:4000])
            code = 0
        except BaseException as error:
            os.write(write_end, f"{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(code)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    return reason


def choose_isolation(demanded: Isolation | str | None) -> Isolation:
    """Return the level to use: the demanded one, or the strongest that the host offers.

    Raises
    ------
    IsolationUnavailable
        If the demanded level is not to be had here; the message says why.
    """
    if demanded is not None:
        level = Isolation(demanded)
        if reason := probe(level):
            raise IsolationUnavailable(f"isolation {level.value!r} is not to be had on this host: {reason}")
        return level
    return next(level for level in Isolation if not probe(level))
