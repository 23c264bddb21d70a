"""A container around one fold, from BenchExec's building blocks.

BenchExec's own executor starts a new program per run. Here the process to be contained is a fork
of a warm interpreter, so that start-up is not paid once a fold; therefore this module calls the
same functions (`benchexec.container`, `benchexec.libc`) in the same order itself.

The root of the container is an empty tmpfs into which only listed paths are bound, read-only. What
is not listed does not exist inside, wherever on the host it lies.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchexec import container, libc

__all__ = [
    "ContainerPlan",
    "contained_body",
    "contained_init",
    "drop_capabilities",
    "interpreter_paths",
    "new_namespaces",
    "try_container",
]

_MS_NOSUID_NODEV = libc.MS_NOSUID | libc.MS_NODEV
_DEVICES = ("null", "zero", "full", "random", "urandom")
_CLONE_FLAGS = (
    libc.CLONE_NEWUSER
    | libc.CLONE_NEWNS
    | libc.CLONE_NEWPID
    | libc.CLONE_NEWIPC
    | libc.CLONE_NEWUTS
    | libc.CLONE_NEWNET
)
_PR_SET_NO_NEW_PRIVS = 38
_ETC = {
    "passwd": f"participant:x:{container.CONTAINER_UID}:{container.CONTAINER_GID}:participant:/tmp:/bin/sh\n",
    "group": f"participant:x:{container.CONTAINER_GID}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_SYSTEM_PATHS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime")


@dataclass(frozen=True)
class ContainerPlan:
    """What a container shows: read-only paths (same path inside), paths covered by nothing, scratch size."""

    visible: tuple[str, ...]
    covered: tuple[str, ...]
    scratch_bytes: int
    mountpoint: str


def interpreter_paths(sys_path: Sequence[str] = tuple(sys.path)) -> tuple[str, ...]:
    """Return the paths that this interpreter and its packages need, none inside another.

    Import paths that are a whole home or working folder are left out: they would show more than code.
    """
    wanted = [*_SYSTEM_PATHS, sys.prefix, sys.base_prefix, sys.exec_prefix]
    too_wide = {Path.home().resolve(), Path.cwd().resolve(), Path("/")}
    for entry in sys_path:
        path = Path(entry or ".").resolve()
        if path not in too_wide and not any(path in wide.parents for wide in too_wide):
            wanted.append(str(path))
    # An editable install is imported from its checkout.
    package = Path(__file__).resolve().parents[1]
    wanted += [str(package), *(str(link.resolve()) for link in package.iterdir() if link.is_symlink())]
    existing = sorted({path for path in wanted if os.path.lexists(path)}, key=lambda p: (p.count("/"), p))
    kept: list[str] = []
    for place in existing:
        if place != "/" and not any(place.startswith(k + "/") for k in kept):
            kept.append(place)
    return tuple(kept)


def new_namespaces() -> None:
    """Move this process into new namespaces; its next child is the first process of a new pid namespace."""
    uid, gid = os.getuid(), os.getgid()
    libc.unshare(_CLONE_FLAGS)
    container.setup_user_mapping("self", container.CONTAINER_UID, container.CONTAINER_GID, uid, gid)


def _mount_tmpfs(target: str, options: str, flags: int = _MS_NOSUID_NODEV) -> None:
    libc.mount(b"none", os.fsencode(target), b"tmpfs", flags, options.encode())


def _bind(source: str, root: str) -> None:
    """Bind `source` to the same path below `root`, as what it is: link, file or folder."""
    target = root + source
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        Path(target).touch()
    container.make_bind_mount(os.fsencode(source), os.fsencode(target), recursive=True, private=True)


def _make_read_only(root: str, writable: frozenset[str]) -> None:
    """Remount everything bound below `root` read-only, submounts included, but for `writable`."""
    for _, target, fstype, options in list(container.get_mount_points()):
        path = os.fsdecode(target)
        if path.startswith(root + "/") and path not in writable:
            container.remount_with_additional_flags(
                target, fstype, options, libc.MS_RDONLY | _MS_NOSUID_NODEV
            )


def _build_root(plan: ContainerPlan) -> None:
    """Build the container's file system and make it this process's root."""
    root = plan.mountpoint
    libc.mount(None, b"/", None, libc.MS_REC | libc.MS_PRIVATE, None)
    _mount_tmpfs(root, "size=1m,mode=755")
    for name in ("proc", "tmp", "dev/shm", "etc"):
        os.makedirs(f"{root}/{name}")
    scratch = f"size={plan.scratch_bytes},nr_inodes=100000,mode=1777"
    # Before anything is bound: an interpreter or a workspace may itself lie below /tmp.
    _mount_tmpfs(f"{root}/tmp", scratch)
    _mount_tmpfs(f"{root}/dev/shm", scratch)
    for name, text in _ETC.items():
        Path(root, "etc", name).write_text(text)
    for path in plan.visible:
        _bind(path, root)
    _make_read_only(root, frozenset({f"{root}/tmp", f"{root}/dev/shm"}))
    for path in plan.covered:
        if os.path.isdir(root + path):
            _mount_tmpfs(root + path, "size=4k,mode=555", _MS_NOSUID_NODEV | libc.MS_RDONLY)
    for device in _DEVICES:
        Path(root, "dev", device).touch()
        container.make_bind_mount(f"/dev/{device}".encode(), f"{root}/dev/{device}".encode(), private=True)
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    libc.mount(b"proc", f"{root}/proc".encode(), b"proc", _MS_NOSUID_NODEV | libc.MS_NOEXEC, None)
    container.chroot(os.fsencode(root))
    container.remount_with_additional_flags(b"/", b"tmpfs", set(), libc.MS_RDONLY | _MS_NOSUID_NODEV)
    os.chdir("/tmp")


def drop_capabilities() -> None:
    """Drop every capability of this process, in whatever user namespace."""
    container.drop_capabilities()


def contained_body() -> None:
    """Give up every privilege; to be called by the process that will run the submission."""
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    container.drop_capabilities()
    container.setup_seccomp_filter()
    # Inherited from the first process as 0, under which it could not even read its own /proc entries.
    libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_USER, 0, 0, 0)


def contained_init(plan: ContainerPlan) -> None:
    """Furnish the container; to be called by the first process of a new pid namespace."""
    socket.sethostname("sandbox")
    container.activate_network_interface("lo")
    _build_root(plan)


def _probe_inside(plan: ContainerPlan) -> int:
    try:
        contained_init(plan)
        contained_body()
    except OSError as error:
        return 200 + min(error.errno or 0, 55)
    except BaseException:
        return 1
    return 0


def try_container() -> str:
    """Make a small container and return "" if that works, else why not. Run this in a child of its own."""
    with tempfile.TemporaryDirectory(prefix="hepchallenge-probe-") as mountpoint:
        plan = ContainerPlan(interpreter_paths(), (), 1 << 20, mountpoint)
        warden = os.fork()
        if warden == 0:
            code = 1
            try:
                new_namespaces()
                init = os.fork()
                if init == 0:
                    os._exit(_probe_inside(plan))
                _, status = os.waitpid(init, 0)
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 121
            except OSError as error:
                # 200 + errno tells the parent what the kernel said.
                code = 200 + min(error.errno or 0, 55)
            finally:
                os._exit(code)
        _, status = os.waitpid(warden, 0)
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 121
    if code == 0:
        return ""
    if code > 200:
        hint = ""
        restriction = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        if restriction.exists() and restriction.read_text().strip() == "1":
            hint = (
                " (AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
            )
        return f"the kernel refuses to make a container: {os.strerror(code - 200)}{hint}"
    return "namespaces can be made but not furnished (mounting /proc or binding folders was refused)"
