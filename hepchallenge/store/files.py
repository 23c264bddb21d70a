"""Files of the workspace that are never half there: written beside, synced, then renamed.

Arrays and logs are content-addressed: the name of a file is the SHA-256 of its bytes, so that damage of
any kind is found when the file is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from hepchallenge.exceptions import StoreError
from hepchallenge.records import StoredArray

__all__ = [
    "load_array",
    "load_log",
    "save_array",
    "save_log",
    "secret",
    "sweep",
    "sweep_live_logs",
    "write_atomically",
]

_PART_SUFFIX = ".part"
_ABANDONED_AFTER = 24 * 3600.0
_MOST_KNOWN_SYNCED = 10_000
_known_synced: set[Path] = set()
"""Arrays whose names this process knows to be on the disk."""
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


class _Measure(io.RawIOBase):
    """Takes the SHA-256 of what is written to it, and keeps nothing."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return memoryview(data).nbytes


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_then_name(folder: Path, write: Callable[[BinaryIO], object], target: Path, sync: bool) -> Path:
    """Write a temporary file in `folder`, then rename it to `target`."""
    temporary = folder / f".{secrets.token_hex(8)}{_PART_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as stream:
            write(stream)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        if target.parent != folder:
            fresh = not target.parent.exists()
            target.parent.mkdir(parents=True, exist_ok=True)
            if fresh and sync:
                _sync_folder(folder)
        os.replace(temporary, target)
        if sync:
            _sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError(f"{folder}: cannot write: {error.strerror or error}") from error
        raise
    return target


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the whole new one.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written; nothing half-written is left.
    """
    return _write_then_name(path.parent, lambda stream: stream.write(content), path, sync=True)


class _Comparison(io.RawIOBase):
    """Compares what is written to it with a file; much faster than to hash the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.equal = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        length = memoryview(data).nbytes
        self.equal = self.equal and self._file.read(length) == data
        return length


def _lies_whole(path: Path, write: Callable[[BinaryIO], object]) -> bool:
    """Whether a file is there with just what `write` writes; a damaged one is to be written again."""
    try:
        with open(path, "rb") as file:
            comparison = _Comparison(file)
            write(cast(BinaryIO, comparison))
            return comparison.equal and not file.read(1)
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left behind: temporary files older than a day."""
    with contextlib.suppress(OSError):
        for leftover in folder.glob(f".*{_PART_SUFFIX}"):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER:
                leftover.unlink(missing_ok=True)


def sweep_live_logs(folder: Path) -> None:
    """Remove logs of folds whose run was given up: nothing was written to them for a week."""
    with contextlib.suppress(OSError):
        for leftover in folder.glob("*.log"):
            if time.time() - leftover.stat().st_mtime > 7 * _ABANDONED_AFTER:
                leftover.unlink(missing_ok=True)


def secret(workspace: Path) -> bytes:
    """Return the bytes of `secret` in a workspace, made up on first use, for the owner's eyes only."""
    path = workspace / "secret"
    try:
        if not path.exists():
            descriptor, name = tempfile.mkstemp(dir=workspace, prefix=".secret-")
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(os.urandom(32))
            # Another command may have been faster; its bytes count then.
            with contextlib.suppress(FileExistsError):
                os.link(name, path)
            os.unlink(name)
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot keep a secret: {error.strerror or error}") from error
    if len(content) != 32:
        raise StoreError(f"{path}: expected 32 bytes, found {len(content)}")
    return content


def _relative(kind: str, digest: str, suffix: str) -> str:
    return f"{kind}/{digest[:2]}/{digest}{suffix}"


def _checked_path(workspace: Path, path: str, kind: str, suffix: str) -> tuple[Path, str]:
    """Return the real path and the digest of a stored file; a path that we never made is refused."""
    digest = Path(path).name.removesuffix(suffix)
    if not _HEX_DIGEST.fullmatch(digest) or path != _relative(kind, digest, suffix):
        expected = f"{kind}/<aa>/<sha256>{suffix}"
        raise StoreError(f"{path!r} is not a stored file: expected a path of the form {expected}")
    return workspace / path, digest


def _read_verified(path: Path, digest: str) -> bytearray:
    try:
        with open(path, "rb") as stream:
            content = bytearray(os.fstat(stream.fileno()).st_size)
            length = stream.readinto(content)
            longer = bool(stream.read(1))
    except OSError as error:
        raise StoreError(f"{path}: cannot read: {error.strerror or error}") from error
    found = hashlib.sha256(content).hexdigest()
    if length != len(content) or longer or found != digest:
        raise StoreError(f"{path}: damaged: expected SHA-256 {digest}, found {found}")
    return content


def save_array(workspace: Path, array: np.ndarray[Any, Any]) -> StoredArray:
    """Store an array as `predictions/<aa>/<sha256>.npy` and return where it lies.

    Raises
    ------
    StoreError
        If the array holds Python objects (they would need pickle) or cannot be written.
    """
    # A subclass may lie about its content; only the plain memory is kept.
    plain = np.asarray(array)
    if plain.dtype.hasobject:
        raise StoreError(f"an array of dtype {plain.dtype} cannot be stored: expected plain numbers or text")

    def write(stream: Any) -> None:
        try:
            np.lib.format.write_array(stream, plain, version=(1, 0), allow_pickle=False)
        except ValueError as error:
            raise StoreError(f"an array of dtype {plain.dtype} cannot be stored: {error}") from error

    measure = _Measure()
    write(measure)
    digest = measure.sha256.hexdigest()
    path = _relative("predictions", digest, ".npy")
    target = workspace / path
    if _lies_whole(target, write):
        # Its bytes were on the disk before it had this name. Its writer may not have made sure of the name,
        # and the caller records the path next.
        if target not in _known_synced:
            _sync_folder(target.parent)
    else:
        _write_then_name(workspace / "predictions", write, target, sync=True)
    if len(_known_synced) >= _MOST_KNOWN_SYNCED:
        _known_synced.clear()
    _known_synced.add(target)
    return StoredArray(
        digest=digest,
        path=path,
        shape=plain.shape,
        dtype=str(np.lib.format.dtype_to_descr(plain.dtype)),
    )


def load_array(workspace: Path, stored: StoredArray) -> np.ndarray[Any, Any]:
    """Return a stored array after checking its bytes, shape and dtype against the record.

    Raises
    ------
    StoreError
        If the file is missing, was damaged or is not what the record says.
    """
    path, digest = _checked_path(workspace, stored.path, "predictions", ".npy")
    if digest != stored.digest:
        raise StoreError(f"{path}: expected digest {stored.digest}, found {digest} in its name")
    content = _read_verified(path, digest)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"expected format version 1.0, found {version[0]}.{version[1]}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        # The bytes were read once and are ours, so the array is laid over them without a copy.
        flat: np.ndarray[Any, Any] = np.ndarray(
            shape, dtype, buffer=content, offset=stream.tell(), order="F" if fortran else "C"
        )
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path}: not a plain .npy file: {error}") from error
    found = str(np.lib.format.dtype_to_descr(dtype))
    if shape != stored.shape or found != stored.dtype:
        raise StoreError(
            f"{path}: expected shape {stored.shape} of {stored.dtype}, found shape {shape} of {found}"
        )
    return flat


def save_log(workspace: Path, content: bytes) -> str:
    """Store a log as `logs/<aa>/<sha256>.log` and return that path, relative to the workspace."""
    digest = hashlib.sha256(content).hexdigest()
    path = _relative("logs", digest, ".log")

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    if not _lies_whole(workspace / path, write):
        _write_then_name(workspace / "logs", write, workspace / path, sync=False)
    return path


def load_log(workspace: Path, path: str) -> bytes:
    """Return the bytes of a stored log.

    Raises
    ------
    StoreError
        If the path was not given out by `save_log`, or the file is missing or damaged.
    """
    return bytes(_read_verified(*_checked_path(workspace, path, "logs", ".log")))
