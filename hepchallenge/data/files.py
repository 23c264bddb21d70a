"""Small file operations of the data room: digests, locks, and writing all or nothing."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from hepchallenge.exceptions import InfrastructureError

__all__ = [
    "CACHE_VARIABLE",
    "built_folder",
    "cache_root",
    "digests_of",
    "locked",
    "sha256_of",
    "told_when_full",
    "write_json",
]

CACHE_VARIABLE = "HEPCHALLENGE_CACHE"
"""Environment variable that moves the cache of prepared and downloaded data."""

_BLOCK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEMPORARY = ".tmp-"


def cache_root() -> Path:
    """Return the folder of all prepared and downloaded data; it may not exist yet."""
    moved = os.environ.get(CACHE_VARIABLE)
    return Path(moved).expanduser().absolute() if moved else platformdirs.user_cache_path("hepchallenge")


def digests_of(file: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Read a file once, in blocks, and return its checksums in lower-case hexadecimal digits.

    Parameters
    ----------
    algorithms : iterable of str
        `adler32` or any name that `hashlib` knows.
    """
    names = list(algorithms)
    hashes = {name: hashlib.new(name) for name in names if name != "adler32"}
    adler = 1
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            for digest in hashes.values():
                digest.update(block)
            if "adler32" in names:
                adler = zlib.adler32(block, adler)
    return {name: f"{adler:08x}" if name == "adler32" else hashes[name].hexdigest() for name in names}


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    return digests_of(file, ["sha256"])["sha256"]


@contextlib.contextmanager
def told_when_full(target: Path) -> Iterator[None]:
    """Turn the operating system's word for a full or read-only disk into an error that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            found = "no space left on the disk, or a quota reached"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            found = error.strerror or "not allowed"
        else:
            raise
        hint = f"free some space or set {CACHE_VARIABLE} to a folder elsewhere"
        raise InfrastructureError(f"{target}: cannot be written: {found}; {hint}") from error


def write_json(file: Path, document: Any) -> None:
    """Write a JSON document so that readers see either the old one or the new one."""
    with told_when_full(file):
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=1, sort_keys=True)
                stream.write("\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def locked(file: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock for the length of the block; the system drops it when the process dies.

    Parameters
    ----------
    waiting : function, optional
        Called once if another process holds the lock, before waiting for it.
    """
    with told_when_full(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def built_folder(
    target: Path,
    build: Callable[[Path], None],
    *,
    usable: Callable[[Path], bool],
    waiting: Callable[[], None] | None,
) -> Path:
    """Return `target`, built by `build(folder)` if it is not there or not usable.

    Whatever happens, `target` holds either nothing or everything: it is built in a temporary folder beside
    it, brought to disk and then renamed. Two processes do not build it twice; what a killed one left behind
    is cleared.
    """
    if usable(target):
        return target
    with locked(target.parent / "lock", waiting), told_when_full(target):
        if usable(target):
            return target
        # Only the holder of the lock builds, so anything temporary belongs to a process that died.
        for left in target.parent.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        if target.exists():
            shutil.rmtree(target)
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
        try:
            build(temporary)
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
            temporary.chmod(0o755)
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return target
