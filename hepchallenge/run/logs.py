"""What a submission printed: head and tail kept, the middle of a flood dropped."""

from __future__ import annotations

from collections import deque

__all__ = ["KeptLog"]


class KeptLog:
    """Keeps the first and the last bytes of a stream, and how many were dropped between."""

    def __init__(self, head_bytes: int = 64 * 1024, tail_bytes: int = 64 * 1024) -> None:
        self._head = bytearray()
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take in the next bytes."""
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        data = data[room:] if room < len(data) else b""
        if not data:
            return
        self._tail.append(data)
        self._in_tail += len(data)
        while self._tail and self._in_tail - len(self._tail[0]) >= self._tail_bytes:
            first = self._tail.popleft()
            self._in_tail -= len(first)
            self._dropped += len(first)

    def content(self) -> bytes:
        """Return what was kept, with a line that says how much was dropped."""
        tail = b"".join(self._tail)
        if not self._dropped:
            return bytes(self._head) + tail
        note = f"\n... {self._dropped} bytes dropped here ...\n".encode()
        return bytes(self._head) + note + tail
