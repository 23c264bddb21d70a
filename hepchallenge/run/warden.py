"""The process that stands between the runner and one fold: starts it, watches it, ends it whole.

A warden is a fork of the zygote. Below it stands an *init*, the first process of the container (or
a plain subreaper where there are no namespaces), and below that the process that runs the submission. When
the runner says so, closes the link or dies, the warden kills everything below it and only then
reports how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from benchexec import libc

from hepchallenge.run import container, landlock

__all__ = ["WardenPlan", "Word", "ask_below", "descendants", "guard", "pid_namespace"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_NPROC_BY_NAMESPACE = (5, 14)
"""From this kernel on, RLIMIT_NPROC counts the processes of a user namespace, not all of a user."""
_MAX_MESSAGE = 4096
_GRACE_SECONDS = 0.5
"""Between being asked to end and being killed; it counts like all other time."""


class Word(bytes, Enum):
    """What the runner tells a warden."""

    GO = b"g"
    """Start the body."""
    KILL_SOON = b"s"
    """Kill all after the grace; the runner has asked them to end."""
    KILL = b"k"
    """Kill all now."""


@dataclass(frozen=True)
class WardenPlan:
    """How to contain one fold; `container` and `landlock` are None but at the level of that name."""

    container: container.ContainerPlan | None
    cores: tuple[int, ...]
    file_bytes: int
    working_folder: str
    processes: int
    private: int
    """Descriptor of the body's channel, which nobody else may hold open."""
    devices: tuple[str, ...] = ()
    """Device files of leased GPUs, the only ones besides /dev/null and its like that are to be had."""
    landlock: landlock.LandlockPlan | None = None
    jobs: int = 1
    """How many folds run at once."""


def pid_namespace() -> int:
    """Return what tells containers apart in which processes have numbers of their own."""
    return os.stat("/proc/self/ns/pid").st_ino


def descendants(pid: int) -> list[int]:
    """Return the process ids below `pid`, parents first; processes that vanish meanwhile are left out."""
    found: list[int] = []
    queue = [pid]
    while queue:
        parent = queue.pop()
        children: list[int] = []
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{thread}/children") as file:
                    children += [int(word) for word in file.read().split()]
        found += children
        queue += children
    return found


def _limit_resources(plan: WardenPlan) -> None:
    # At 0 a crash would still be piped to a host's crash reporter; at 1 it is not, and no file is written.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_bytes, plan.file_bytes))
    # Descriptors on their way through sockets count by user. Of this half is the most that all folds together
    # can have, so that they cannot keep the runner from sending one.
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most // 2, most // 2))
    if plan.container is not None and _kernel_version() >= _NPROC_BY_NAMESPACE:
        # The watching runner ends a fold with too many; this only holds a fork bomb down until then.
        most = 2 * plan.processes + 64
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    elif plan.landlock is not None and os.getuid():
        # The same, where all processes of the user count. For root the kernel has no such limit.
        most = _tasks_of_user() + plan.jobs * (2 * plan.processes + 64)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)


def _tasks_of_user() -> int:
    """Return the number of processes and threads of this user."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
            words = dict(line.split(":", 1) for line in file if line.startswith(("Uid:", "Threads:")))
            if int(words["Uid"].split()[0]) == os.getuid():
                count += int(words["Threads"])
    return count


def _kernel_version() -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", os.uname().release)[:2])


def _own_folder(folder: str) -> None:
    """Where no /tmp of its own can be mounted, give a fold a folder that is removed after it."""
    os.chdir(folder)
    os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), folder))
    tempfile.tempdir = None


def _leave_nothing_open(keep: set[int]) -> None:
    """Close every descriptor of the warm interpreter but the standard ones and `keep`."""
    # The inherited one was opened outside, through a mount that may be writable.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


def _say_status(status: int) -> dict[str, Any]:
    return {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"exit": os.WEXITSTATUS(status)}


def _become_ordinary(plan: WardenPlan, start: socket.socket) -> None:
    """Turn a fork of the first process into one that a submission may have."""
    os.setsid()
    if plan.container is not None:
        container.contained_body()
    elif plan.landlock is not None:
        landlock.give_up_privileges()
    else:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_USER, 0, 0, 0)
    _leave_nothing_open({plan.private, start.fileno()})
    # Programs that a submission starts could keep the channel open after its end.
    os.set_inheritable(plan.private, False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[:] = [""]
    if plan.landlock is not None:
        landlock.confine(plan.landlock, plan.working_folder, plan.devices)


def _init(plan: WardenPlan, start: socket.socket, body: Callable[[], None]) -> None:
    """Run as first process: furnish the sandbox, fork the body, reap all until the body ends."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The participant's processes can neither trace this one nor open its files.
    libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_DISABLE, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if start.recv(1) != b"g":
        return
    try:
        if plan.container is not None:
            container.contained_init(plan.container, plan.devices)
        else:
            _own_folder(plan.working_folder)
        _limit_resources(plan)
        child = os.fork()
        if child == 0:
            _become_ordinary(plan, start)
    except BaseException as error:
        _tell(start, error=f"the sandbox could not be made: {type(error).__name__}: {error}"[:2000])
        return
    if child == 0:
        start.close()
        body()
        return
    os.close(plan.private)
    held = landlock.keep_own_proc(child) if plan.landlock is not None else []
    if plan.container is not None:
        container.drop_capabilities()
    while True:
        done, status = os.waitpid(-1, 0)
        if done == child:
            # Told on a socket that the submission never had, so that no exit code of its own can pass
            # for a fault of the host.
            _tell(start, **_say_status(status))
            for descriptor in held:
                os.close(descriptor)
            return


def _kill_below(init: int) -> None:
    """Kill an init and all below it; with a pid namespace the kernel does the latter by itself."""
    for pid in [init, *descendants(init)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ask_below(init: int, number: signal.Signals) -> None:
    """Send a signal to all below an init, but not to it, which has to stay until they are gone.

    To be called by the runner: a warden may have lost sight of the host's /proc.
    """
    asked: set[int] = set()
    # Again for those that were forked meanwhile; who forks faster than this is killed soon anyway.
    for _ in range(3):
        found = set(descendants(init)) - asked
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        asked |= found


def _reap_orphans() -> None:
    """Kill and reap whatever was handed to this subreaper, until nothing is left."""
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _tell(link: socket.socket, **message: Any) -> None:
    with contextlib.suppress(OSError):
        link.send(json.dumps(message).encode())


def guard(plan: WardenPlan, link: socket.socket, body: Callable[[], None]) -> None:
    """Contain, start and watch `body`; return when nothing of it is left.

    On `link` (a SOCK_SEQPACKET pair with the runner) goes `{"init": pid}`, then, after the
    runner's `g`, finally `{"exit": code}` or `{"signal": number}` as the body ended, or `{"error": text}`
    if the sandbox could not be made. What else the runner may say is in `Word`; any other message or the
    end of the link kills the body.
    """
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if plan.container is not None:
        try:
            container.new_namespaces()
        except OSError as error:
            _tell(link, error=f"no new namespaces: {error.strerror}")
            return
    init = os.fork()
    if init == 0:
        try:
            ours.close()
            link.close()
            _init(plan, theirs, body)
        finally:
            os._exit(0)
    theirs.close()
    # Else the runner could not see that the body has closed it.
    os.close(plan.private)
    pidfd = os.pidfd_open(init)
    _tell(link, init=init)

    poller = select.poll()
    poller.register(link, select.POLLIN)
    poller.register(pidfd, select.POLLIN)
    kill_at: float | None = None
    while True:
        wait = None if kill_at is None else max(0.0, 1000 * (kill_at - time.monotonic()))
        ready = {descriptor for descriptor, _ in poller.poll(wait)}
        if pidfd in ready:
            break
        word = b""
        if link.fileno() in ready:
            with contextlib.suppress(OSError):
                word = link.recv(16)
        elif kill_at is not None and time.monotonic() < kill_at:
            continue
        if word == Word.GO:
            ours.send(b"g")
        elif word == Word.KILL_SOON:
            kill_at = time.monotonic() + _GRACE_SECONDS if kill_at is None else kill_at
        else:
            _kill_below(init)
            poller.unregister(link)
            kill_at = None
    _, status = os.waitpid(init, 0)
    _reap_orphans()
    last = ours.recv(_MAX_MESSAGE)
    if last:
        with contextlib.suppress(OSError):
            link.send(last)
    else:
        _tell(link, **_say_status(status))
