"""What this host offers for running submissions: a list of checks, each with one fact and one mend.

`fail` is for what makes it impossible or unsafe to run a stranger's code here; what only makes a run slower,
less exact or smaller is `warn`.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from hepchallenge.exceptions import InfrastructureError
from hepchallenge.findings import Answer, Finding, Status, fine, none_failed
from hepchallenge.records import Limits
from hepchallenge.run.isolation import Isolation, probe

__all__ = ["CHECKS", "Check", "Finding", "Host", "Status", "examine", "is_safe", "report"]

_LITTLE_DISK = 2 * 1024**3
_NO_DISK = 64 * 1024**2
_UPPER = tuple(level for level in Isolation if level is not Isolation.NONE)
_SYSCTLS = (
    # Where it stands, the value that forbids user namespaces, and what allows them.
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


@dataclass(frozen=True)
class Host:
    """What the checks are about: this host, and the folders that a command would use."""

    workspace: Path
    cache: Path

    @property
    def temporary(self) -> Path:
        """The folder of temporary files."""
        return Path(tempfile.gettempdir())


Check = tuple[str, Callable[[Host], Answer]]
"""A name, and what looks."""


def _size(count: float) -> str:
    return f"{count / 1024**3:.1f} GiB"


def _platform(_: Host) -> Answer:
    fact = f"{platform.system()} {platform.release()} on {platform.machine()}"
    if sys.platform != "linux":
        return Status.FAIL, fact, "submissions are run on Linux only: use a virtual machine with one"
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        mend = "use a kernel with CONFIG_PROC_CHILDREN, else processes of a fold could not all be found"
        return Status.FAIL, f"{fact}, which does not list the children of a process", mend
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        return Status.FAIL, f"{fact}, without pidfd_open", "use Linux 5.3 or newer"
    return fine(fact)


def _python(_: Host) -> Answer:
    return fine(f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}")


def _libraries(_: Host) -> Answer:
    try:
        needed = importlib.metadata.requires("hepchallenge") or []
    except importlib.metadata.PackageNotFoundError:
        return Status.WARN, "hepchallenge is not installed as a package", "pip install hepchallenge"
    found, missing = [], []
    for requirement in needed:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Status.WARN, f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}"
    return fine(", ".join(found))


def _how_to_allow_namespaces() -> str:
    for name, forbids, mend in _SYSCTLS:
        try:
            if Path("/proc/sys", name).read_text().strip() == forbids:
                return mend
        except OSError:
            continue
    if any(map(os.path.exists, _CONTAINER_MARKS)):
        return (
            "the container around this forbids it; Docker allows it with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined"
        )
    return "use a kernel with user namespaces (CONFIG_USER_NS)"


def _level(level: Isolation, _: Host) -> Answer:
    reason = probe(level)
    if not reason:
        return fine("works (tried)")
    others = [other.value for other in _UPPER if other is not level and not probe(other)]
    mend = (
        _how_to_allow_namespaces()
        if level is Isolation.NAMESPACES
        else "use Linux 5.13 or newer with Landlock"
    )
    return (Status.WARN if others else Status.FAIL), reason, mend


def _landlock(_: Host) -> Answer:
    from hepchallenge.run import landlock

    if version := landlock.abi_version():
        return fine(f"ABI {version}")
    mend = "use Linux 5.13 or newer, with landlock in the boot parameter lsm="
    return Status.WARN, "the kernel does not offer it", mend


def _seccomp(_: Host) -> Answer:
    from hepchallenge.run import seccomp

    if reason := seccomp.unavailable():
        return Status.WARN, reason, "use a kernel with CONFIG_SECCOMP_FILTER, on x86-64 or 64-bit ARM"
    return fine("system calls can be filtered")


def _cgroups(_: Host) -> Answer:
    from hepchallenge.run import accounting

    version = 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1
    if accounting.choose_accounting() is accounting.Accounting.CGROUP:
        return fine(f"CPU time and memory are counted by the kernel (cgroups version {version})")
    fact = "no cgroup may be made here: CPU time and memory are sampled about twenty times a second"
    mend = "start the command with `systemd-run --user --scope -p Delegate=yes`, or as root"
    return Status.WARN, fact, mend


def _cores(_: Host) -> Answer:
    usable, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    return fine(f"{usable} of {there} usable, so {usable} folds at once unless --jobs says otherwise")


def _clock(_: Host) -> Answer:
    from hepchallenge.run import cores, host

    fact = f"{host.cpu_model()}; reference work in {1000 * host.reference_seconds():.2f} ms"
    try:
        cores.check_folder()
    except InfrastructureError as error:
        mend = "remove it, or make it your own; else boards that demand exclusive cores rank nothing run here"
        return Status.WARN, f"{fact}; {error}", mend
    return fine(fact)


def _memory(_: Host) -> Answer:
    memory, each = psutil.virtual_memory(), Limits().memory_bytes
    fits, jobs = int(memory.available // each), len(os.sched_getaffinity(0))
    fact = f"{_size(memory.available)} of {_size(memory.total)} available"
    if fits >= jobs:
        return fine(fact)
    if fits:
        mend = f"give --jobs {fits}, or less --memory to a fold"
    else:
        mend = f"give --jobs 1 and --memory below {_size(memory.available)}"
    return Status.WARN, f"{fact}; {jobs} folds at once may use {_size(jobs * each)} by default", mend


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def _workspace(host: Host) -> Answer:
    place = _existing(host.workspace)
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".hepchallenge-doctor-"):
            return fine(f"{host.workspace.absolute()} can be written to")
    except OSError as error:
        fact = f"{place} cannot be written to: {error.strerror}"
        return Status.FAIL, fact, "name another folder with --workspace"


def _disk(folder: Callable[[Host], Path], mend: str, host: Host) -> Answer:
    place = folder(host)
    free = shutil.disk_usage(_existing(place)).free
    fact = f"{_size(free)} free for {place.absolute()}"
    if free < _LITTLE_DISK:
        return (Status.FAIL if free < _NO_DISK else Status.WARN), fact, f"free some space, or {mend}"
    return fine(fact)


def _gpus(_: Host) -> Answer:
    from hepchallenge.run import gpu

    try:
        driver = gpu.open_devices()
    except InfrastructureError as error:
        if os.path.exists("/dev/nvidiactl"):
            return Status.WARN, "there is an NVIDIA device, but it cannot be used", str(error)
        return fine("no GPU (none is needed unless --gpus is given)")
    try:
        devices = driver.find()
        if not devices:
            return fine("no GPU that could be leased (devices split with MIG are not)")
        # Looks whether the files of the devices are there.
        gpu.GpuPool(1, driver)
    except InfrastructureError as error:
        return Status.WARN, "GPUs cannot be leased", str(error)
    finally:
        driver.close()
    return fine(", ".join(f"{device.name} ({_size(device.memory_bytes)})" for device in devices))


CHECKS: tuple[Check, ...] = (
    ("platform", _platform),
    ("python", _python),
    ("libraries", _libraries),
    *((f"isolation {level.value}", partial(_level, level)) for level in _UPPER),
    ("kernel landlock", _landlock),
    ("kernel seccomp", _seccomp),
    ("cgroups", _cgroups),
    ("cores", _cores),
    ("clock", _clock),
    ("memory", _memory),
    ("workspace", _workspace),
    ("disk workspace", partial(_disk, lambda host: host.workspace, "name another folder with --workspace")),
    ("disk cache", partial(_disk, lambda host: host.cache, "move it with HEPCHALLENGE_CACHE")),
    ("disk temporary", partial(_disk, lambda host: host.temporary, "move it with TMPDIR")),
    ("gpus", _gpus),
)
"""All checks, in the order in which they are shown."""


def examine(host: Host, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Make all checks; one that breaks is a finding too, since nothing is known then.

    Elsewhere than on Linux the first one says all.
    """
    findings: list[Finding] = []
    for name, look in checks if sys.platform == "linux" else checks[:1]:
        try:
            answer = look(host)
        except Exception as error:
            fact = f"could not be looked at: {type(error).__name__}: {error}"
            answer = (Status.FAIL, fact, "report this")
        findings.append(Finding(name, *answer))
    return findings


def is_safe(findings: Sequence[Finding]) -> bool:
    """Whether strangers' code can be run here, safely: no check has failed."""
    return none_failed(findings)


def report(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what `hepchallenge doctor --json` prints."""
    return {"safe": is_safe(findings), "checks": [finding.to_dict() for finding in findings]}
