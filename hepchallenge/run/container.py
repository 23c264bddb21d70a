"""A container around one fold, from BenchExec's building blocks.

BenchExec's own executor starts a new program per run. Here the process to be contained is a fork
of a warm interpreter, so that start-up is not paid once a fold; therefore this module calls the
same functions (`benchexec.container`, `benchexec.libc`) in the same order itself.

The root of the container is an empty tmpfs into which only listed paths are bound, read-only. What
is not listed does not exist inside, wherever on the host it lies.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchexec import container, libc

from hepchallenge.run import seccomp
from hepchallenge.run.reexec import enter_namespaces

__all__ = [
    "DEVICES",
    "PR_SET_NO_NEW_PRIVS",
    "ContainerPlan",
    "contained_body",
    "contained_init",
    "drop_capabilities",
    "interpreter_paths",
    "leave_keyring",
    "new_namespaces",
    "plan_container",
    "python_code",
    "try_container",
    "visible_steps",
]

_MS_NOSUID_NODEV = libc.MS_NOSUID | libc.MS_NODEV
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_CLONE_FLAGS = (
    libc.CLONE_NEWUSER
    | libc.CLONE_NEWNS
    | libc.CLONE_NEWPID
    | libc.CLONE_NEWIPC
    | libc.CLONE_NEWUTS
    | libc.CLONE_NEWNET
)
PR_SET_NO_NEW_PRIVS = 38
_ETC = {
    "passwd": f"participant:x:{container.CONTAINER_UID}:{container.CONTAINER_GID}:participant:/tmp:/bin/sh\n",
    "group": f"participant:x:{container.CONTAINER_GID}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_SYSTEM_PATHS = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"),
)
# Not the whole of a prefix: it may be `/usr`, below which images keep applications, or the folder in which
# somebody made a virtual environment among their data. Its `etc` may hold passwords.
_OF_A_PREFIX = (
    *("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "include", "share"),
    *("cuda", "nvvm", "targets", "pyvenv.cfg", "conda-meta"),
)
_SITE_NAMES = ("site-packages", "dist-packages")
_MOST_LINKS = 40
# Parts of /proc that tell about the host and that a process of the same user could read.
_HIDDEN_IN_PROC = (
    *("kcore", "kmsg", "keys", "key-users", "kpagecount", "kpageflags", "kpagecgroup", "timer_list"),
    *("sched_debug", "sysrq-trigger", "vmallocinfo", "slabinfo", "kallsyms"),
)
# The same number on every architecture but these two has never been given to it.
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1


@dataclass(frozen=True)
class ContainerPlan:
    """What a container shows, all by real paths, parents before what lies in them.

    `steps` are pairs of a path and what stands there: `show` (the host's file or folder, read-only),
    `hide` (nothing, though a parent is shown) or `link ` and the target of a symbolic link.
    """

    steps: tuple[tuple[str, str], ...]
    scratch_bytes: int
    mountpoint: str


def _follow(path: str) -> tuple[str, dict[str, str]]:
    """Return the real path of `path` and the steps for the symbolic links on the way to it."""
    links: dict[str, str] = {}
    place = ""
    left = os.path.abspath(path).split("/")[::-1]
    count = 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            place = os.path.dirname(place).rstrip("/")
            continue
        here = f"{place}/{part}"
        if not os.path.islink(here):
            place = here
            continue
        count += 1
        if count > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        links[here] = f"link {target}"
        if target.startswith("/"):
            place = ""
        left += target.split("/")[::-1]
    return place or "/", links


def python_code(folder: Path) -> list[str]:
    """Return the Python modules and packages that lie directly in a folder, and nothing else in it."""
    found = [*folder.glob("*.py"), *folder.glob("*.so"), *folder.glob("*.dist-info")]
    found += [init.parent for init in folder.glob("*/__init__.py")]
    return sorted(map(str, found))


@cache
def interpreter_paths() -> tuple[str, ...]:
    """Return the paths that this interpreter and its packages need.

    Of an import path that is not a `site-packages` folder (a checkout, the current folder) only modules
    and packages are listed: next to them there may be data, a workspace or a whole home.
    """
    wanted = [*_SYSTEM_PATHS, sys.executable]
    prefixes = {"/usr", "/usr/local", sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    for prefix in prefixes:
        wanted += [f"{prefix}/{name}" for name in _OF_A_PREFIX]
    wanted += [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    for entry in sys.path:
        path = Path(entry or ".").absolute()
        whole = path.is_file() or path.name in _SITE_NAMES
        wanted += [str(path)] if whole else python_code(path)
    # Libraries that the environment names, as experiments' software does.
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        folder = Path(entry)
        if folder.is_absolute():
            wanted += [entry] if folder.name.startswith("lib") else map(str, folder.glob("*.so*"))
    # An editable install is imported from its checkout, through links.
    package = Path(__file__).resolve().parents[1]
    wanted += [str(package), *(str(link.resolve()) for link in package.iterdir() if link.is_symlink())]
    return tuple(sorted({path for path in wanted if os.path.lexists(path)}))


def visible_steps(shown: Iterable[str], hidden: Iterable[str]) -> dict[str, str]:
    """Decide what is visible: steps as in `ContainerPlan`, by path, parents first.

    Parameters
    ----------
    shown
        Absolute paths that exist inside, wherever on the host they are; links on the way exist too.
    hidden
        Paths of which nothing exists inside even where a parent is shown. Of two paths the deeper one
        decides, so a shown path may lie in a hidden one; of a path that is both, hiding decides.
    """
    wanted: dict[str, str] = {}
    for path in shown:
        with contextlib.suppress(OSError):
            place, links = _follow(path)
            if place != "/" and os.path.exists(place):
                wanted[place] = "show"
                wanted |= links
    for path in hidden:
        place = os.path.realpath(path)
        if os.path.exists(place):
            wanted[place] = "hide"
    steps: dict[str, str] = {}
    for path in sorted(wanted, key=lambda p: (p.count("/"), p)):
        parent = os.path.dirname(path)
        while parent != "/" and parent not in steps:
            parent = os.path.dirname(parent)
        around = steps.get(parent, "hide")
        # What is shown already needs no step, and what is hidden already neither.
        if wanted[path] != around and (around == "hide" or wanted[path] == "hide"):
            steps[path] = wanted[path]
    return steps


def plan_container(
    shown: Iterable[str], hidden: Iterable[str], scratch_bytes: int, mountpoint: str
) -> ContainerPlan:
    """Decide what is mounted where.

    Parameters
    ----------
    shown, hidden
        As for `visible_steps`.
    scratch_bytes
        Size of `/tmp` and of `/dev/shm`.
    mountpoint
        An existing folder on which the root is built.
    """
    return ContainerPlan(tuple(visible_steps(shown, hidden).items()), scratch_bytes, mountpoint)


def new_namespaces() -> None:
    """Move this process into new namespaces; its next child is the first process of a new pid namespace."""
    uid, gid = os.getuid(), os.getgid()
    libc.unshare(_CLONE_FLAGS)
    container.setup_user_mapping("self", container.CONTAINER_UID, container.CONTAINER_GID, uid, gid)


def _mount_tmpfs(target: str, options: str, flags: int = _MS_NOSUID_NODEV) -> None:
    libc.mount(b"none", os.fsencode(target), b"tmpfs", flags, options.encode())


def _bind(source: str, target: str) -> None:
    """Bind a file or folder; its place is made, which must therefore lie on a file system of ours."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        Path(target).touch()
    container.make_bind_mount(os.fsencode(source), os.fsencode(target), recursive=True, private=True)


def _hide(target: str) -> None:
    if os.path.isdir(target):
        _mount_tmpfs(target, "size=1m,mode=755")
    else:
        _bind_device("/dev/null", target)


def _follow_steps(steps: Iterable[tuple[str, str]], root: str) -> None:
    for path, what in steps:
        if what == "show":
            _bind(path, root + path)
        elif what == "hide":
            _hide(root + path)
        else:
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(what.removeprefix("link "), root + path)


def _make_read_only(root: str, writable: frozenset[str]) -> None:
    """Remount everything bound below `root` read-only, submounts included, but for `writable`."""
    for _, target, fstype, options in list(container.get_mount_points()):
        path = os.fsdecode(target)
        if path.startswith(root + "/") and path not in writable and b"ro" not in options:
            container.remount_with_additional_flags(
                target, fstype, options, libc.MS_RDONLY | _MS_NOSUID_NODEV
            )


def _bind_device(source: str, target: str) -> None:
    """Bind a device read-only: it can be written to, but its owner, who may run this, cannot chmod it."""
    _bind(source, target)
    flags = libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NOEXEC
    container.remount_with_additional_flags(os.fsencode(target), b"", set(), flags)


def _make_devices(root: str, more: Iterable[str]) -> None:
    for path in (*DEVICES, *more):
        _bind_device(path, root + path)
    for name, there in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{there}", f"{root}/dev/{name}")


def _mount_proc(root: str) -> None:
    """Mount /proc for this pid namespace, without what it tells and allows about the host."""
    proc = f"{root}/proc"
    flags = _MS_NOSUID_NODEV | libc.MS_NOEXEC
    libc.mount(b"proc", os.fsencode(proc), b"proc", flags, None)
    # Namespaces in namespaces would give a submission every capability again, over less.
    with contextlib.suppress(OSError):
        Path(proc, "sys/user/max_user_namespaces").write_text("0")
    for name in _HIDDEN_IN_PROC:
        if os.path.exists(f"{proc}/{name}"):
            _hide(f"{proc}/{name}")
    # Where root runs this, the kernel's settings would otherwise be the submission's to change.
    container.remount_with_additional_flags(os.fsencode(proc), b"proc", set(), libc.MS_RDONLY | flags)


def _build_root(plan: ContainerPlan, devices: Iterable[str]) -> None:
    """Build the container's file system and make it this process's root."""
    root = plan.mountpoint
    libc.mount(None, b"/", None, libc.MS_REC | libc.MS_PRIVATE, None)
    _mount_tmpfs(root, "size=4m,mode=755")
    for name in ("proc", "tmp", "dev/shm", "etc"):
        os.makedirs(f"{root}/{name}")
    scratch = f"size={plan.scratch_bytes},nr_inodes=100000,mode=1777"
    # Before anything is bound: an interpreter or a workspace may itself lie below /tmp.
    _mount_tmpfs(f"{root}/tmp", scratch)
    _mount_tmpfs(f"{root}/dev/shm", scratch)
    for name, text in _ETC.items():
        Path(root, "etc", name).write_text(text)
    _follow_steps(plan.steps, root)
    _make_read_only(root, frozenset({f"{root}/tmp", f"{root}/dev/shm"}))
    _make_devices(root, devices)
    _mount_proc(root)
    container.chroot(os.fsencode(root))
    container.remount_with_additional_flags(b"/", b"tmpfs", set(), libc.MS_RDONLY | _MS_NOSUID_NODEV)
    os.chdir("/tmp")


def drop_capabilities() -> None:
    """Drop every capability of this process, in whatever user namespace."""
    container.drop_capabilities()


def leave_keyring() -> None:
    """Begin an empty session keyring; the inherited one may hold the user's tickets and keys."""
    number = _KEYCTL.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)


def contained_body() -> None:
    """Give up every privilege; to be called by the process that will run the submission."""
    leave_keyring()
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    container.drop_capabilities()
    # Inherited from the first process as 0, under which it could not even read its own /proc entries.
    libc.prctl(libc.PR_SET_DUMPABLE, libc.SUID_DUMP_USER, 0, 0, 0)
    seccomp.install(seccomp.rules())


def contained_init(plan: ContainerPlan, devices: Iterable[str] = ()) -> None:
    """Furnish the container; to be called by the first process of a new pid namespace.

    `devices` are paths of device files that exist inside besides the usual ones.
    """
    socket.sethostname("sandbox")
    container.activate_network_interface("lo")
    _build_root(plan, devices)


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
        plan = plan_container(interpreter_paths(), (), 1 << 20, os.path.realpath(mountpoint))
        warden = os.fork()
        if warden == 0:
            code = 1
            try:
                # As in a run: namespaces within those of the warm interpreter.
                enter_namespaces()
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
