"""What a submission printed: head and tail kept, the middle of a flood dropped.

A log is written to a file as it comes, so that it outlives a runner that is killed. The file has a
fixed size: a small head that says how many bytes came in all, room for the first bytes, and a ring
for the last ones.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

__all__ = ["KeptLog", "read_live_log"]

_HEAD = struct.Struct("<4sQQQ")
_MAGIC = b"HCL1"
_MOST_BYTES = 1 << 30


def _assemble(head: bytes, ring: bytes, total: int) -> bytes:
    """Return the log of which the first bytes and, as a ring, the last ones are known."""
    behind = total - len(head)
    if behind <= len(ring):
        return head + ring[: max(0, behind)]
    place = behind % len(ring)
    note = f"\n... {behind - len(ring)} bytes dropped here ...\n".encode()
    return head + note + ring[place:] + ring[:place]


class KeptLog:
    """Keeps the first and the last bytes of a stream, and how many were dropped between.

    Parameters
    ----------
    log_bytes
        How much is kept; half of it for the head.
    path
        Where it is written as it comes, in a form that `read_live_log` reads; None for memory only.
    """

    def __init__(self, log_bytes: int, path: Path | None = None) -> None:
        self._head = bytearray()
        self._head_bytes = log_bytes // 2
        self._ring = bytearray(max(1, log_bytes - self._head_bytes))
        self._total = 0
        self._file = -1
        if path is not None:
            # Without a file the log is still kept, only not beyond the end of this process.
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                self._file = os.open(path, flags, 0o644)
                self._write_total()

    def _write_total(self) -> None:
        os.pwrite(self._file, _HEAD.pack(_MAGIC, self._head_bytes, len(self._ring), self._total), 0)

    def _to_file(self, data: bytes | memoryview, offset: int) -> None:
        if self._file >= 0:
            try:
                os.pwrite(self._file, data, _HEAD.size + offset)
            except OSError:
                # A full disk must not cost the participant a run.
                self.close()

    def add(self, data: bytes) -> None:
        """Take in the next bytes."""
        room = self._head_bytes - len(self._head)
        if first := data[:room]:
            self._to_file(first, len(self._head))
            self._head += first
        rest = memoryview(data)[len(first) :]
        place = self._total + len(first) - self._head_bytes
        # Of more than fits into the ring only the end would be left.
        cut = max(0, len(rest) - len(self._ring))
        rest, place = rest[cut:], place + cut
        while rest:
            start = place % len(self._ring)
            piece = rest[: len(self._ring) - start]
            self._ring[start : start + len(piece)] = piece
            self._to_file(piece, self._head_bytes + start)
            rest, place = rest[len(piece) :], place + len(piece)
        self._total += len(data)
        if self._file >= 0:
            # Last: a kill before it leaves some bytes too few, or newer ones in an older one's place.
            with contextlib.suppress(OSError):
                self._write_total()

    def content(self) -> bytes:
        """Return what was kept, with a line that says how much was dropped."""
        return _assemble(bytes(self._head), bytes(self._ring), self._total)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_live_log(path: Path) -> bytes:
    """Return what lies in the file of a `KeptLog`, finished or not; nothing if it is absent or damaged."""
    try:
        with open(path, "rb") as file:
            magic, head_bytes, ring_bytes, total = _HEAD.unpack(file.read(_HEAD.size))
            if magic != _MAGIC or max(head_bytes, ring_bytes) > _MOST_BYTES or not ring_bytes:
                return b""
            head = file.read(min(head_bytes, total))
            file.seek(_HEAD.size + head_bytes)
            ring = file.read(ring_bytes)
    except (OSError, struct.error):
        return b""
    behind = total - head_bytes
    if len(head) < min(head_bytes, total) or len(ring) < min(ring_bytes, max(0, behind)):
        return b""
    # A ring that has never been full has a shorter file.
    return _assemble(head, ring.ljust(ring_bytes, b"\0"), total)
