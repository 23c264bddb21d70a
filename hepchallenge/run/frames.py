"""The private channel between the runner and a submission: framed, versioned, size-capped.

A frame is a fixed 20-byte head (magic with version, kind, lengths), a JSON header of at most 64 KiB
and a raw payload. Towards the submission the payload may be a pickle, since the trusted side wrote
it. From the submission it is the bytes of one plain array, whose dtype and shape are checked before
a byte of payload is read; nothing from a submission is ever unpickled or evaluated.

stdout is the participant's own; it is logged and never parsed.
"""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from hepchallenge.exceptions import HepChallengeError

__all__ = ["Channel", "ChannelClosed", "ChannelTimeout", "Frame", "FrameError", "Kind", "array_header"]

_MAGIC = b"HCF1"
_HEAD = struct.Struct("<4sIIQ")
_MAX_HEADER = 64 * 1024
_MAX_TEXT = 256 * 1024
_CHUNK = 1 << 20
_MAX_NDIM = 8
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|U[1-9][0-9]{0,3})")


class Kind(IntEnum):
    """What a frame says. Those below 16 go to the submission, the others come from it."""

    FIT = 1
    PREDICT = 2
    DONE = 3
    EVENT = 4
    """Answer to ASK: one training event, as a descriptor. For PREDICT on one event it is sent likewise."""
    READY = 16
    FITTED = 17
    PREDICTION = 18
    ERROR = 19
    ASK = 20
    """The submission wants to see a training event."""


class FrameError(HepChallengeError):
    """The other side sent something that is not a frame of this protocol."""


class ChannelClosed(HepChallengeError):
    """The other side closed the channel before a whole frame had come."""


class ChannelTimeout(HepChallengeError):
    """No whole frame came before the deadline."""


@dataclass(frozen=True)
class Frame:
    """One message: its kind, its small JSON header and its payload."""

    kind: Kind
    header: dict[str, Any]
    payload: bytearray | bytes = b""


def array_header(array: np.ndarray) -> dict[str, Any]:
    """Return the header that announces a plain array."""
    return {"dtype": array.dtype.str, "shape": list(array.shape)}


def _announced_array(header: dict[str, Any], payload_bytes: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return dtype and shape of an announced array, or raise FrameError before any payload is read."""
    text, shape = header.get("dtype"), header.get("shape")
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise FrameError(
            f"prediction of dtype {str(text)[:40]!r}: expected plain booleans, integers, floats or text"
        )
    if (
        not isinstance(shape, list)
        or len(shape) > _MAX_NDIM
        or not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**40 for n in shape)
    ):
        raise FrameError(f"prediction of shape {str(shape)[:80]}: expected at most {_MAX_NDIM} lengths")
    dtype = np.dtype(text)
    expected = math.prod(shape) * dtype.itemsize
    if expected != payload_bytes:
        raise FrameError(f"prediction of {payload_bytes} bytes: its dtype and shape say {expected}")
    if not payload_bytes and shape and shape[0]:
        # They cost nothing to announce, however many, and much to whoever counts or prints them.
        raise FrameError(f"prediction of shape {str(shape)[:80]}: rows without a value")
    return dtype, tuple(shape)


class Channel:
    """Sends and receives frames over a connected stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        """Return the descriptor, for selectors."""
        return self._socket.fileno()

    def has_input(self) -> bool:
        """Whether something has come that was not read yet; the end of the channel is nothing."""
        try:
            self._socket.setblocking(False)
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(
        self,
        kind: Kind,
        header: dict[str, Any] | None = None,
        payload: Any = b"",
        descriptor: int | None = None,
        deadline: float | None = None,
    ) -> None:
        """Send one frame; `payload` is any bytes-like object, `descriptor` an open file to hand over.

        TimeoutError is raised if the other side has not taken it all by `deadline` (`time.monotonic()`).
        """
        left = None if deadline is None else max(1e-3, deadline - time.monotonic())
        self._socket.settimeout(left)
        head = json.dumps(header or {}).encode()
        if len(head) > _MAX_HEADER:
            raise FrameError(f"frame header of {len(head)} bytes: at most {_MAX_HEADER}")
        view = memoryview(payload).cast("B") if memoryview(payload).nbytes else memoryview(b"")
        fixed = _HEAD.pack(_MAGIC, kind, len(head), view.nbytes)
        if descriptor is None:
            self._socket.sendall(fixed + head)
        else:
            # With the fixed head alone, so that the other side knows when to look for it.
            socket.send_fds(self._socket, [fixed], [descriptor])
            self._socket.sendall(head)
        if view.nbytes:
            self._socket.sendall(view)

    def send_array(self, kind: Kind, header: dict[str, Any], array: np.ndarray) -> None:
        """Send a plain array (C order) with its dtype and shape in the header."""
        contiguous = np.ascontiguousarray(array).reshape(array.shape)
        data = contiguous.reshape(-1).view(np.uint8) if contiguous.size else b""
        self.send(kind, {**header, **array_header(contiguous)}, data)

    def receive(self, deadline: float | None = None, max_payload: int | None = None) -> Frame:
        """Return the next frame.

        Parameters
        ----------
        deadline
            `time.monotonic()` after which ChannelTimeout is raised; None waits for ever.
        max_payload
            Largest payload in bytes, but for an ERROR; what announces more is refused before it is read.

        Raises
        ------
        ChannelClosed, ChannelTimeout, FrameError
        """
        return self._rest(self._read(_HEAD.size, deadline), deadline, max_payload)

    def receive_with_descriptor(self) -> tuple[Frame, int | None]:
        """Return the next frame and the descriptor that came with it, if one did.

        For the submission's end only: the runner takes nothing but bytes, and what a submission tries to hand
        over is dropped by the kernel.

        Raises
        ------
        ChannelClosed, FrameError
        """
        self._socket.settimeout(None)
        start, descriptors, _, _ = socket.recv_fds(self._socket, _HEAD.size, 1)
        if not start:
            raise ChannelClosed("channel closed before a whole frame had come")
        rest = self._read(_HEAD.size - len(start), None)
        frame = self._rest(bytearray(start) + rest, None, None)
        return frame, descriptors[0] if descriptors else None

    def _rest(self, fixed: bytearray, deadline: float | None, max_payload: int | None) -> Frame:
        """Return the frame of which the fixed head has been read."""
        magic, kind_number, header_bytes, payload_bytes = _HEAD.unpack(fixed)
        if magic != _MAGIC:
            raise FrameError("bytes on the private channel that are no frame of this version")
        try:
            kind = Kind(kind_number)
        except ValueError:
            raise FrameError(f"frame of the unknown kind {kind_number}") from None
        if header_bytes > _MAX_HEADER:
            raise FrameError(f"frame header of {header_bytes} bytes: at most {_MAX_HEADER}")
        if kind is Kind.ERROR:
            # Its author must learn what went wrong however small a prediction has to be.
            if payload_bytes > _MAX_TEXT:
                raise FrameError(f"error text of {payload_bytes} bytes: at most {_MAX_TEXT}")
        elif max_payload is not None and payload_bytes > max_payload:
            raise PayloadTooLarge(payload_bytes, max_payload)
        try:
            header = json.loads(bytes(self._read(header_bytes, deadline)))
        except (ValueError, RecursionError):
            raise FrameError("frame header is not JSON") from None
        if not isinstance(header, dict):
            raise FrameError("frame header is not a JSON object")
        if kind is Kind.PREDICTION:
            _announced_array(header, payload_bytes)
        return Frame(kind, header, self._read(payload_bytes, deadline))

    def _read(self, size: int, deadline: float | None) -> bytearray:
        data = bytearray(min(size, _CHUNK))
        filled = 0
        while filled < size:
            if filled == len(data):
                # Grown as bytes come, so that an announced size alone costs no memory.
                data.extend(bytes(min(size - filled, max(_CHUNK, len(data)))))
            if deadline is None:
                self._socket.settimeout(None)
            else:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChannelTimeout("no answer before the deadline")
                self._socket.settimeout(left)
            try:
                count = self._socket.recv_into(memoryview(data)[filled:])
            except TimeoutError:
                raise ChannelTimeout("no answer before the deadline") from None
            except OSError as error:
                raise ChannelClosed(f"channel broke: {error.strerror}") from None
            if count == 0:
                raise ChannelClosed("channel closed before a whole frame had come")
            filled += count
        return data


class PayloadTooLarge(FrameError):
    """A frame announces more payload than allowed."""

    def __init__(self, announced: int, allowed: int) -> None:
        super().__init__(f"prediction of {announced} bytes: at most {allowed} are allowed")


def array_of(frame: Frame) -> np.ndarray:
    """Return the array that a PREDICTION frame carries, as a fresh plain ndarray.

    Raises
    ------
    FrameError
        If dtype, shape and payload do not fit together.
    """
    dtype, shape = _announced_array(frame.header, len(frame.payload))
    # Booleans other than 0 and 1 and text outside Unicode would make numpy misbehave later on.
    if dtype.kind == "U":
        codes = np.frombuffer(frame.payload, dtype=np.dtype("u4").newbyteorder(dtype.byteorder))
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise FrameError("prediction of text that is not Unicode")
    try:
        if dtype.kind == "b":
            flags = np.frombuffer(frame.payload, dtype=np.uint8).reshape(shape)
            return np.asarray(flags != 0)
        return np.frombuffer(frame.payload, dtype=dtype).reshape(shape)
    except ValueError as error:
        # An empty array of a shape that numpy cannot count.
        raise FrameError(f"prediction of shape {str(shape)[:80]}: {error}") from None
