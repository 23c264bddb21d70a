"""The warm interpreter: imports the challenge's libraries once, then forks for every fold.

It runs trusted code only (the framework, the challenge's `problem.py`, installed libraries), never
a line of a submission, and never holds a label. So a fork of it starts where an import would have
ended, without anything of another fold or submission in it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from benchexec import libc

from hepchallenge.run import warden
from hepchallenge.run.container import ContainerPlan
from hepchallenge.run.fold import FoldTask, serve_fold
from hepchallenge.run.frames import Channel
from hepchallenge.run.landlock import LandlockPlan

__all__ = ["main"]

MAX_MESSAGE = 128 * 1024


def _load_workflow(folder: str) -> Any:
    from hepchallenge.contract import load_problem

    return load_problem(Path(folder)).workflow


def _warm_up(modules: list[str]) -> None:
    """Import what submissions will import; a module that does not import here is theirs to fail on."""
    for name in modules:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)


def _become_landlocked() -> None:
    """Prepare for forks that share this process's user and file system and may open listed files only."""
    # Neither memory nor descriptors of this process and of the wardens are then to be had.
    libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_DISABLE, 0, 0, 0)
    # A folder of the import path in which not all is shown cannot be listed there. What is found now is kept.
    for entry in sys.path:
        finder = pkgutil.get_importer(entry)
        if finder is not None:
            with contextlib.suppress(Exception):
                finder.find_spec("hepchallenge_no_such_module")


def _fork_warden(job: dict[str, Any], descriptors: list[int], workflow: Any, control: socket.socket) -> None:
    """Fork the warden of one job; in the parent, close what belongs to the child."""
    channel_fd, log_fd, link_fd = descriptors
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return
    # Only said if the fold comes to an end before it could say anything itself.
    link = socket.socket(fileno=link_fd)
    try:
        control.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.close(log_fd)
        task = FoldTask(**job["task"])

        def body() -> None:
            serve_fold(Channel(socket.socket(fileno=channel_fd)), task, workflow)
            sys.stdout.flush()
            sys.stderr.flush()

        boxed = ContainerPlan(**job["container"]) if job["container"] else None
        plan = warden.WardenPlan(
            container=boxed,
            cores=tuple(job["cores"]),
            file_bytes=int(job["file_bytes"]),
            working_folder=str(job["working_folder"]),
            processes=int(job["processes"]),
            private=channel_fd,
            devices=tuple(job["devices"]),
            landlock=LandlockPlan(**job["landlock"]) if job["landlock"] else None,
            jobs=int(job["jobs"]),
        )
        warden.guard(plan, link, body)
    except BaseException as error:
        with contextlib.suppress(OSError):
            link.send(json.dumps({"error": f"{type(error).__name__}: {error}"[:2000]}).encode())
    finally:
        os._exit(0)


def main(control: socket.socket, setup: dict[str, Any]) -> None:
    """Serve jobs from the runner until it closes the control socket.

    `setup` names the challenge's folder, the modules to import and whether folds use Landlock; each message
    is the path of a job in JSON, with three descriptors: private channel, log pipe, link to the runner.
    """
    # Wardens report through their links; nobody waits for them here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)

    try:
        workflow = _load_workflow(setup["challenge_folder"])
        _warm_up(setup["modules"])
        if setup["landlock"]:
            _become_landlocked()
        word: dict[str, Any] = {"ready": True}
    except BaseException as error:
        word = {"error": f"{type(error).__name__}: {error}"}
    # What is imported now is shared by all folds, and not theirs to walk through.
    gc.collect()
    gc.freeze()
    try:
        control.send(json.dumps(word).encode()[:MAX_MESSAGE])
    except OSError:
        return  # The runner has gone meanwhile.
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MAX_MESSAGE, 3)
        if not message:
            # At once: taking down an interpreter with so many modules takes a good while.
            os._exit(0)
        with open(message, encoding="utf-8") as order:
            job = json.load(order)
        _fork_warden(job, descriptors, workflow, control)
