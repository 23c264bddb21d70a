"""Stops all processes of a fold between two events, so that nothing goes on while no clock runs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

from hepchallenge.run.warden import descendants

__all__ = ["freeze", "thaw"]

_STOPPED = frozenset("TtZX")
"""States of a process in which it runs nothing: stopped, traced, or dead."""
_MOST_SECONDS = 0.25
"""A process in the middle of a device's answer cannot stop; what it uses meanwhile is counted elsewhere."""


def _has_stopped(pid: int) -> bool:
    try:
        # All threads: the first may be dead while others run.
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    for thread in threads:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/stat", "rb") as file:
            # The command name may hold blanks and brackets.
            if file.read().rpartition(b")")[2].split()[0].decode() not in _STOPPED:
                return False
    return True


def freeze(init: int) -> list[int]:
    """Stop every process below `init` and return them; they cannot refuse.

    Returns once two looks have found all stopped and none new, or after a quarter of a second.
    """
    stopped: dict[int, None] = {}
    deadline = time.monotonic() + _MOST_SECONDS
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        # Again those that another one has woken while it was not stopped itself yet.
        moving = [pid for pid in stopped if not _has_stopped(pid)]
        # Only now: one that has stopped leaves no child any more that was not there at this look.
        moving += [pid for pid in descendants(init) if pid not in stopped]
        for pid in moving:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= dict.fromkeys(moving)
        quiet = 0 if moving else quiet + 1
    return list(stopped)


def thaw(stopped: Iterable[int]) -> None:
    """Let processes go on that `freeze` has stopped."""
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGCONT)
