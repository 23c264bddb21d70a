"""The process that stands between the runner and one fold: starts it, watches it, ends it whole.

A warden is a fork of the zygote. Below it stands an *init*, the first process of the container (or
a plain subreaper at isolation `none`), and below that the process that runs the submission. When
the runner says so, closes the link or dies, the warden kills everything below it and only then
reports how it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchexec import libc

from hepchallenge.run import container

__all__ = ["SETUP_FAILED", "WardenPlan", "descendants", "guard"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

SETUP_FAILED = 250
"""Exit code of an init that could not furnish its sandbox: the host's fault, not the submission's."""


@dataclass(frozen=True)
class WardenPlan:
    """How to contain one fold. `container` is None at isolation `none`."""

    container: container.ContainerPlan | None
    cores: tuple[int, ...]
    file_bytes: int
    working_folder: str


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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_bytes, plan.file_bytes))
    if plan.cores:
        os.sched_setaffinity(0, plan.cores)


def _wait_code(status: int) -> int:
    """Return an exit code that tells a killing signal apart: 100 + signal number."""
    return 100 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _init(plan: WardenPlan, start: socket.socket, body: Callable[[], None]) -> None:
    """Run as first process: furnish the sandbox, fork the body, reap all until the body ends."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The participant's processes can neither trace this one nor open its files.
    libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_DISABLE, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if start.recv(1) != b"g":
        os._exit(SETUP_FAILED)
    try:
        if plan.container is not None:
            container.contained_init(plan.container)
        else:
            os.chdir(plan.working_folder)
        _limit_resources(plan)
    except BaseException as error:
        start.send(f"{type(error).__name__}: {error}".encode()[:2000])
        os._exit(SETUP_FAILED)
    child = os.fork()
    if child == 0:
        start.close()
        os.setsid()
        if plan.container is not None:
            container.contained_body()
        else:
            libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_USER, 0, 0, 0)
        body()
        os._exit(0)
    start.close()
    if plan.container is not None:
        container.drop_capabilities()
    while True:
        done, status = os.waitpid(-1, 0)
        if done == child:
            os._exit(_wait_code(status))


def _kill_below(init: int) -> None:
    """Kill an init and all below it; with a pid namespace the kernel does the latter by itself."""
    for pid in [init, *descendants(init)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


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
    runner's `g`, finally `{"exit": code}` with 100 + signal number for a killed body, or `{"error":
    text}` if the sandbox could not be made. Any other message or the end of the link kills the body.
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
            os._exit(SETUP_FAILED)
    theirs.close()
    pidfd = os.pidfd_open(init)
    _tell(link, init=init)

    poller = select.poll()
    poller.register(link, select.POLLIN)
    poller.register(pidfd, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll()}
        if pidfd in ready:
            break
        try:
            word = link.recv(16)
        except OSError:
            word = b""
        if word == b"g":
            ours.send(b"g")
        else:
            _kill_below(init)
            poller.unregister(link)
    _, status = os.waitpid(init, 0)
    _reap_orphans()
    code = _wait_code(status)
    if code == SETUP_FAILED:
        reason = ours.recv(4000).decode(errors="replace")
        _tell(link, error=f"the sandbox could not be made: {reason or 'unknown reason'}")
    else:
        _tell(link, exit=code)
