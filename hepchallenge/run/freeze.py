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
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name may hold blanks and brackets.
            return file.read().rpartition(b")")[2].split()[0].decode() in _STOPPED
    except OSError:
        return True


def freeze(init: int) -> list[int]:
    """Stop every process below `init` and return them; they cannot refuse, nor wake each other.

    Returns once all have stopped and no new one is found, or after a quarter of a second.
    """
    stopped: list[int] = []
    deadline = time.monotonic() + _MOST_SECONDS
    while True:
        # One that was about to fork may have left a child that was not there at the first look.
        new = [pid for pid in descendants(init) if pid not in stopped]
        for pid in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGSTOP)
        stopped += new
        if (not new and all(map(_has_stopped, stopped))) or time.monotonic() > deadline:
            return stopped


def thaw(stopped: Iterable[int]) -> None:
    """Let processes go on that `freeze` has stopped."""
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGCONT)
