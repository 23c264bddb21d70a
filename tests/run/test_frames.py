"""The private channel carries plain arrays exactly and meets anything else with an error of its own."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepchallenge.run.frames import (
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Frame,
    FrameError,
    Kind,
    PayloadTooLarge,
    array_of,
)

plain = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.unicode_string_dtypes(max_len=9),
)
arrays = hnp.arrays(
    dtype=plain,
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    # Lone surrogates are no Unicode text and are refused.
    elements={"alphabet": st.characters(exclude_categories=["Cs"])},
)


class Pair:
    """Both ends of a channel; `theirs` is a bare socket, to send what no channel would."""

    def __init__(self) -> None:
        mine, self.theirs = socket.socketpair()
        self.mine = Channel(mine)

    def hear(self, data: bytes, **options: Any) -> Frame:
        self.theirs.sendall(data)
        self.theirs.shutdown(socket.SHUT_WR)
        return self.mine.receive(time.monotonic() + 20, **options)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.mine.close()
        self.theirs.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as both:
        yield both


def frame(kind: int, header: bytes, payload: bytes = b"", announced: int | None = None) -> bytes:
    size = len(payload) if announced is None else announced
    return struct.pack("<4sIIQ", b"HCF1", kind, len(header), size) + header + payload


def prediction(dtype: Any, shape: Any, payload: bytes, **more: Any) -> bytes:
    return frame(Kind.PREDICTION, json.dumps({"dtype": dtype, "shape": shape}).encode(), payload, **more)


@settings(deadline=None)
@given(array=arrays, transposed=st.booleans())
def test_every_plain_array_arrives_bit_for_bit(array: np.ndarray, transposed: bool) -> None:
    value = array.T if transposed else array
    # Rows without a value are refused; there is a test for that.
    assume(value.size or not value.ndim or not len(value))
    with Pair() as pair:
        Channel(pair.theirs).send_array(Kind.PREDICTION, {"part": "test"}, value)
        received = pair.mine.receive(time.monotonic() + 20)
    back = array_of(received)
    assert (type(back), back.dtype, back.shape) == (np.ndarray, value.dtype, value.shape)
    np.testing.assert_array_equal(back, value)
    assert received.header["part"] == "test"


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=200), framed=st.booleans(), kind=st.sampled_from([*Kind, 99]))
def test_arbitrary_bytes_never_raise_anything_else(data: bytes, framed: bool, kind: int) -> None:
    with Pair() as pair:
        try:
            array_of(pair.hear(frame(kind, data[:100], data[100:]) if framed else data))
        except (FrameError, ChannelClosed):
            return


@settings(deadline=None, max_examples=300)
@given(
    dtype=st.one_of(st.sampled_from(["<f8", "|b1", "<U3", "<U0", ">i4", "<f2"]), st.text(max_size=6)),
    shape=st.lists(st.integers(-1, 2**41) | st.integers(0, 3), max_size=9),
    payload=st.binary(max_size=64),
)
def test_no_announced_shape_or_dtype_raises_anything_else(
    dtype: str, shape: list[int], payload: bytes
) -> None:
    with Pair() as pair:
        try:
            array = array_of(pair.hear(prediction(dtype, shape, payload)))
        except FrameError:
            return
    assert array.nbytes == len(payload)
    assert array.dtype.kind in "biufU"
    assert list(array.shape) == shape
    array.tolist()


@pytest.mark.parametrize(
    ("dtype", "shape", "payload", "words"),
    [
        ("|O", [1], b"x" * 8, "dtype"),
        ("<c16", [1], b"x" * 16, "dtype"),
        ("<f16", [1], b"x" * 16, "dtype"),
        ("V8", [1], b"x" * 8, "dtype"),
        ("f8,f8", [1], b"x" * 16, "dtype"),
        (["f8"], [1], b"x" * 8, "dtype"),
        (None, [1], b"x" * 8, "dtype"),
        ("<U0", [90], b"", "dtype"),
        ("<f8", "1", b"x" * 8, "shape"),
        ("<f8", [1.0], b"x" * 8, "shape"),
        ("<f8", [True], b"x" * 8, "shape"),
        ("<f8", [-1], b"", "shape"),
        ("<f8", [1] * 9, b"x" * 8, "shape"),
        ("<f8", [2], b"x" * 8, "say 16"),
        ("<f8", [2**37, 0], b"", "without a value"),
        ("<f8", [2**39, 2**39, 0], b"", "shape"),
        ("<U1", [1], b"\xff\xff\xff\xff", "text"),
        ("<U1", [1], b"\x00\xd8\x00\x00", "text"),
    ],
    ids=str,
)
def test_an_announcement_that_is_no_plain_array_is_refused(
    pair: Pair, dtype: Any, shape: Any, payload: bytes, words: str
) -> None:
    with pytest.raises(FrameError, match=words):
        array_of(pair.hear(prediction(dtype, shape, payload)))


def test_a_boolean_is_true_or_false_whatever_its_byte(pair: Pair) -> None:
    array = array_of(pair.hear(prediction("|b1", [3], b"\x00\x01\xff")))
    assert array.view(np.uint8).tolist() == [0, 1, 1]


def test_too_much_is_refused_before_it_comes(pair: Pair) -> None:
    with pytest.raises(PayloadTooLarge, match="1099511627776 bytes: at most 1000 are allowed"):
        pair.hear(prediction("<f8", [2**37], b"", announced=2**40), max_payload=1000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}" * 20, "no frame of this version"),
        (frame(77, b"{}"), "unknown kind 77"),
        (frame(Kind.ERROR, b"{}", announced=2**20), "error text of 1048576 bytes"),
        (frame(Kind.READY, b"[1]"), "not a JSON object"),
        (frame(Kind.READY, b"{"), "not JSON"),
        (frame(Kind.READY, b"\xff"), "not JSON"),
        (frame(Kind.READY, b"[" * 60_000), "not JSON"),
        (frame(Kind.READY, b" " * 65_537), "header of 65537 bytes"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_malformed_frame_is_named(pair: Pair, data: bytes, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        pair.hear(data)


def test_a_channel_that_ends_or_falls_silent_is_told_apart(pair: Pair) -> None:
    whole = prediction("<f8", [1], b"12345678")
    pair.theirs.sendall(whole[:-1])
    with pytest.raises(ChannelTimeout):
        pair.mine.receive(time.monotonic() + 0.05)
    pair.theirs.close()
    with pytest.raises(ChannelClosed):
        pair.mine.receive(time.monotonic() + 20)
