"""Folders that submissions write to: how much lies in them, and how to remove them, whatever is in them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

__all__ = ["held_without_name", "remove_tree", "used"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def used(folder: Path, most_entries: int) -> tuple[int, int]:
    """Return bytes on disk and number of entries below a folder; links are not followed.

    At most `most_entries` entries are looked at, so that the price is bounded; what vanishes meanwhile is
    left out. A folder that cannot be looked into, or that is nested too deep for a path, could hold
    anything: it counts as `most_entries`.
    """
    total = entries = 0
    queue = [os.fspath(folder)]
    while queue and entries < most_entries:
        try:
            with os.scandir(queue.pop()) as found:
                for entry in found:
                    entries += 1
                    if entries >= most_entries:
                        break
                    facts = entry.stat(follow_symlinks=False)
                    # What lies on the disk, not what a sparse file claims; each of several names counts.
                    total += facts.st_blocks * 512
                    if stat.S_ISDIR(facts.st_mode):
                        queue.append(entry.path)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
                entries = most_entries
    return total, entries


def _has_ended(pid: int) -> bool:
    """Whether a process has ended with all its threads, and only waits to be waited for.

    The kernel gives what it shows of such a process to root; it holds nothing open any more.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return True
    return words[0] in (b"Z", b"X") and int(words[17]) <= 1


def held_without_name(pids: Iterable[int], folder: Path) -> int | None:
    """Return bytes on `folder`'s disk in files that were deleted, or never named, and are held open.

    None if a process forbids looking at what it holds open.
    """
    total = 0
    seen: set[int] = set()
    device = os.stat(folder).st_dev
    for pid in pids:
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            if _has_ended(pid):
                continue
            return None
        except OSError:
            continue
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                facts = os.stat(f"/proc/{pid}/fd/{descriptor}")
                if facts.st_dev == device and not facts.st_nlink and facts.st_ino not in seen:
                    seen.add(facts.st_ino)
                    total += facts.st_blocks * 512
    return total


def _open_folder(name: str, parent: int) -> int:
    """Open a folder and make it ours to read and write, whatever its maker, who is gone, did to its mode."""
    if name != "." and stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.chmod(name, 0o700, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def remove_tree(folder: Path) -> None:
    """Remove a folder and all in it, of any depth and with any permissions; never raises OSError.

    Nested folders are moved up to the top before they are emptied, so that neither the depth of recursion
    nor the number of open descriptors nor the length of a path grows with the depth of the tree. No link is
    followed. No other process may be at work in the folder.
    """
    try:
        os.chmod(folder, 0o700)
        top = os.open(folder, _FOLDER)
    except OSError:
        return
    # A name that its maker cannot have foreseen.
    prefix, moved = f"removed-{secrets.token_hex(8)}-", 0
    try:
        waiting = [""]
        while waiting:
            name = waiting.pop()
            with contextlib.suppress(OSError):
                here = _open_folder(name or ".", top)
                try:
                    for entry in os.listdir(here):
                        try:
                            os.unlink(entry, dir_fd=here)
                        except OSError:
                            moved += 1
                            with contextlib.suppress(OSError):
                                # To move a folder one must be able to write to it.
                                os.close(_open_folder(entry, here))
                                os.rename(entry, f"{prefix}{moved}", src_dir_fd=here, dst_dir_fd=top)
                                waiting.append(f"{prefix}{moved}")
                finally:
                    os.close(here)
                if name:
                    os.rmdir(name, dir_fd=top)
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    finally:
        os.close(top)
