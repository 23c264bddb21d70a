"""Run as a script: start a program whose executable no fork of it can change.

`/proc/self/exe` is a door out of a container: it leads to the file that a process was started from, through
the mount through which it was started, whatever the container shows. An interpreter is often owned by
the user who runs a challenge, so a submission could change its mode through that door. Therefore the warm
interpreter is started through a read-only mount of its own file, made in namespaces of its own.

Only the standard library is imported, so that this costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["enter_namespaces", "main"]

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 32, 4096


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter_namespaces() -> None:
    """Move this process into its own user and mount namespaces, as the same user."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        # Once the groups are mapped they can no longer be given up.
        os.setgroups([])
    _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "new namespaces")
    for name, text in (
        ("uid_map", f"{user} {user} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _bind_read_only(path: bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = (
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_ulong,
        ctypes.c_void_p,
    )
    # Flags that the file system has already may not be taken away.
    flags = os.statvfs(path).f_flag & (_MS_NOSUID | _MS_NODEV)
    _check(libc.mount(path, path, None, _MS_BIND, None), "bind the interpreter")
    _check(
        libc.mount(None, path, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags, None),
        "make the interpreter read-only",
    )


def main(command: list[str]) -> None:
    """Replace this process by `command`, whose executable it cannot change."""
    enter_namespaces()
    _bind_read_only(os.fsencode(os.path.realpath(command[0])))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
