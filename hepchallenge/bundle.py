"""One file for any Python input object, with its arrays laid out for memory mapping.

The trusted side writes a bundle once; every fold of every submission maps it copy-on-write. All of
them share the pages of the file, each may change its own view in place (as RAMP kits do), and no
change reaches the file or another fold. A bundle may also lie in sealed memory without a name, which is
handed over as a descriptor when its turn has come, copied by who gets it, and taken back. Bundles only ever
travel from the trusted to the untrusted side, which is why pickle is safe here; nothing that a submission
wrote is ever unpickled.

Layout: an 8-byte magic, the number of blocks, the block sizes (little-endian u64), then the blocks,
each starting at a multiple of 64 bytes. Block 0 is a pickle (protocol 5), the rest are its
out-of-band buffers.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import mmap
import os
import pickle
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from hepchallenge.exceptions import InfrastructureError, OrganiserError

__all__ = [
    "bundle_path",
    "dump_bundle",
    "dump_object",
    "dump_whole",
    "load_bundle",
    "load_shared",
    "share_object",
    "take_back",
    "write_bundle",
]

_MAGIC = b"HEPBNDL1"
_ALIGN = 64


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


_NO_NAME = (pickle.PicklingError, AttributeError, TypeError)
"""What pickle raises for classes that it cannot find by name, such as those defined in `problem.py`."""


def _dump_by_value(value: object, callback: Callable[[pickle.PickleBuffer], object] | None) -> bytes:
    import cloudpickle

    data: bytes = cloudpickle.dumps(value, protocol=5, buffer_callback=callback)
    return data


def dump_whole(value: object) -> bytes:
    """Return one pickle of an object; classes that were defined in `problem.py` go by value."""
    try:
        return pickle.dumps(value, protocol=5)
    except _NO_NAME:
        return _dump_by_value(value, None)


def dump_object(value: object) -> tuple[bytes, list[memoryview]]:
    """Return the pickle of an object and its contiguous out-of-band buffers.

    Classes that were defined in `problem.py` go by value (cloudpickle).

    Raises
    ------
    OrganiserError
        If the object cannot be pickled at all.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    except _NO_NAME:
        buffers.clear()
        try:
            head = _dump_by_value(value, buffers.append)
        except Exception as error:
            raise OrganiserError(
                f"inputs of type {type(value).__name__} cannot be handed to a submission: {error}"
            ) from error
    return head, [buffer.raw() for buffer in buffers]


def _lay_out(value: object) -> tuple[bytes, list[memoryview]]:
    """Return the header and the blocks of an object's bundle."""
    head, buffers = dump_object(value)
    blocks = [memoryview(head), *buffers]
    sizes = [block.nbytes for block in blocks]
    return _MAGIC + struct.pack(f"<Q{len(sizes)}Q", len(sizes), *sizes), blocks


def _write_to(file: BinaryIO, header: bytes, blocks: list[memoryview]) -> None:
    file.write(header)
    position = len(header)
    for block in blocks:
        start = _aligned(position)
        file.write(b"\0" * (start - position))
        file.write(block)
        position = start + block.nbytes
    file.flush()


def dump_bundle(value: object) -> bytes:
    """Return the bytes of the file that `write_bundle` would write."""
    file = io.BytesIO()
    _write_to(file, *_lay_out(value))
    return file.getvalue()


def share_object(value: object) -> int:
    """Return a descriptor of sealed memory that holds the bundle of an object, to be given to `take_back`.

    Whoever gets the descriptor can read it, but not write to it or make it larger, and there is no path by
    which it could be opened before.

    Raises
    ------
    InfrastructureError
        If there is not enough memory.
    OrganiserError
        If the object cannot be pickled.
    """
    header, blocks = _lay_out(value)
    descriptor = os.memfd_create("event", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            _write_to(file, header, blocks)
        # Not F_SEAL_SHRINK: it is emptied when it is taken back.
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except OSError as error:
        os.close(descriptor)
        raise InfrastructureError(f"cannot hold inputs in memory: {error.strerror}") from error
    return descriptor


def take_back(descriptor: int) -> None:
    """Free the memory of `share_object`, whoever else holds it, and close the descriptor.

    It is this process's memory, for which no limit of the other side counts: one that kept the descriptors of
    all events could fill up the host.
    """
    try:
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def write_bundle(value: object, folder: Path) -> Path:
    """Write an object into `folder` under the SHA-256 of its content and return the path.

    A file that is already there is left as it is, so that equal inputs are stored once.
    """
    header, blocks = _lay_out(value)
    target = _named(header, blocks, folder)
    if target.exists():
        return target

    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".bundle-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_to(file, header, blocks)
            os.fchmod(file.fileno(), 0o444)
        os.replace(name, target)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise InfrastructureError(f"cannot write staged inputs to {folder}: {error.strerror}") from error
    return target


def bundle_path(value: object, folder: Path) -> Path:
    """Return the path at which `write_bundle` writes an object, without writing it."""
    return _named(*_lay_out(value), folder)


def _named(header: bytes, blocks: list[memoryview], folder: Path) -> Path:
    digest = hashlib.sha256(header)
    for block in blocks:
        digest.update(block)
    return folder / f"{digest.hexdigest()}.bundle"


def load_bundle(path: str | os.PathLike[str]) -> Any:
    """Return the object of a bundle, its arrays mapped copy-on-write from the file.

    The arrays are writable; what is written stays private to this process.

    Raises
    ------
    InfrastructureError
        If the file is not a bundle or is shorter than it says.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if size else b""
    return _unpack(memoryview(mapped), str(path))


def load_shared(descriptor: int) -> Any:
    """Return the object of the bundle in shared memory, its arrays in memory of this process's own.

    The descriptor may be closed and its memory taken back afterwards.

    Raises
    ------
    InfrastructureError
        If it is not a bundle or is shorter than it says.
    """
    size = os.fstat(descriptor).st_size
    view = memoryview(mmap.mmap(-1, max(size, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))[:size]
    filled = 0
    while filled < size and (count := os.preadv(descriptor, [view[filled:]], filled)):
        filled += count
    return _unpack(view[:filled], "shared memory")


def _unpack(view: memoryview, path: str) -> Any:
    """Return the object of a bundle, its arrays in the memory of the bundle itself."""
    size = view.nbytes
    if size < len(_MAGIC) + 8:
        raise InfrastructureError(f"{path}: staged inputs are truncated at {size} bytes")
    if bytes(view[:8]) != _MAGIC:
        raise InfrastructureError(f"{path}: expected staged inputs starting with {_MAGIC!r}")
    (count,) = struct.unpack_from("<Q", view, 8)
    position = 16 + 8 * count
    if position > size:
        raise InfrastructureError(f"{path}: staged inputs are truncated at {size} bytes")
    blocks = []
    for length in struct.unpack_from(f"<{count}Q", view, 16):
        start = _aligned(position)
        position = start + length
        if position > size:
            raise InfrastructureError(f"{path}: staged inputs are truncated at {size} bytes")
        blocks.append(view[start:position])
    return pickle.loads(blocks[0], buffers=blocks[1:])
