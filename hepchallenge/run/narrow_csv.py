"""A shortcut for one shape of CSV: an expected id, a whole number and one character a line.

That is the shape of Kaggle's class submissions (`350000,12345,b`), of half a million rows or more, in the
order of the test file. Eight characters at a time are compared or turned into numbers by integer arithmetic
on whole arrays. The shortcut either understands every byte of the file or declines; it never guesses, and
errors are left to the general reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_narrow_csv"]

_CHUNK = 1 << 19
_NEWLINE, _COMMA = ord("\n"), ord(",")
_MIN_WIDTH, _MAX_DIGITS = 3, 6
"""Digits of an id, and of a number: with its separators either must fit into a word of eight characters."""

Positions = NDArray[np.int64]
Words = NDArray[np.uint64]

# Bytes are counted from the lowest: on reading eight characters as one number the first is byte 0.
_ASCII_ZEROS = np.uint64(0x3030303030300000)
_SIXES = np.uint64(0x0606060606060606)
_HIGH_NIBBLES = 0xF0F0F0F0F0F0F0F0
_PAIRS = np.uint64(0x000000FF000000FF)
_HIGHEST_BYTES = np.array(
    [((1 << 64) - 1) ^ ((1 << (64 - 8 * n)) - 1) for n in range(_MAX_DIGITS + 1)], np.uint64
)
"""Mask of the n highest bytes, by n."""


def read_narrow_csv(
    content: bytes, header: bytes, test_ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.str_]] | None:
    """Return the second and third column of a file whose first one is `test_ids`, or None.

    Parameters
    ----------
    content : bytes
        The whole file.
    header : bytes
        The expected first line, without its end.
    test_ids : array of int64, shape (n,)
        The expected ids in the expected order.

    Returns
    -------
    (array of int64, array of one-character text), each of shape (n,), or None
        None if the file is of any other shape: ids of different length or not of three to six digits, other
        ids or another order, a number of more than six digits or with a sign, anything but one ASCII
        character behind the comma in the code table in the third column (no quote, no blank), carriage
        returns, a last line without its end.
    """
    start = len(header) + 1
    if not content.startswith(header + b"\n") or not content.endswith(b"\n") or start < 9:
        return None
    expected = _expected_beginnings(test_ids)
    if expected is None:
        return None
    width, beginnings = expected
    text = np.frombuffer(content, np.uint8)
    # The sixteen characters from any position on, as one item; nothing is copied until it is taken.
    windows: NDArray[np.void] = np.ndarray((len(content) - 15,), "V16", buffer=content, strides=(1,))
    bounds = list(_bounds(content, start))
    number, letter = np.empty(len(test_ids), np.int64), np.empty(len(test_ids), np.uint32)
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), len(bounds), 4)) as pool:
        ends = list(pool.map(lambda bound: _line_ends(text, *bound), bounds))
        last_rows = np.cumsum([len(found) for found in ends])
        if last_rows[-1] != len(test_ids):
            return None

        def convert(index: int) -> bool:
            rows = slice(last_rows[index] - len(ends[index]), last_rows[index])
            first_feed = bounds[index][0] - 1
            return _convert(
                windows, first_feed, ends[index], width, beginnings[rows], number[rows], letter[rows]
            )

        if not all(pool.map(convert, range(len(bounds)))):
            return None
    return number, letter.view("U1")


def _bounds(content: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Cut the file into pieces that end with a line and stay in the processor's cache."""
    while start < len(content):
        stop = content.find(b"\n", min(start + _CHUNK, len(content) - 1)) + 1
        yield start, stop
        start = stop


def _line_ends(text: NDArray[np.uint8], start: int, stop: int) -> Positions:
    """Return the positions of the line feeds."""
    feeds = np.zeros((stop - start + 7) & ~7, np.bool_)
    np.equal(text[start:stop], _NEWLINE, out=feeds[: stop - start])
    # Far fewer words than characters have to be looked at, as long as no word holds two line feeds:
    # a word with the value 1 in byte j only, times this constant, has j in its highest byte.
    by_word = feeds.view(np.uint64)
    index = np.flatnonzero(by_word != 0)
    if np.count_nonzero(feeds) != len(index):
        return np.flatnonzero(feeds) + start
    byte = by_word[index]
    byte *= np.uint64(0x0001020304050607)
    byte >>= np.uint64(56)
    index <<= 3
    index += byte.view(np.int64)
    index += start
    return index


def _convert(
    windows: NDArray[np.void],
    first_feed: int,
    ends: Positions,
    width: int,
    beginnings: Words,
    number: NDArray[np.int64],
    letter: NDArray[np.uint32],
) -> bool:
    """Compare the ids and fill the other columns; return whether every line has the expected shape."""
    digits = np.empty_like(ends)
    digits[0] = ends[0] - first_feed
    np.subtract(ends[1:], ends[:-1], out=digits[1:])
    digits -= width + 4
    if digits.min() < 1 or digits.max() > _MAX_DIGITS:
        return False
    # The sixteen characters before each line feed hold the whole line and the line feed before it.
    window = windows[ends - 16].view(np.uint64).reshape(-1, 2)
    head, tail = window[:, 0], window[:, 1]
    # The line feed before the line, the id and its comma: as many bytes into the window as digits are short.
    shift = (_MAX_DIGITS - width + _MAX_DIGITS - digits).view(np.uint64) << np.uint64(3)
    found = head >> shift
    # A shift by all 64 bits gives zero.
    found |= tail << (np.uint64(64) - shift)
    found <<= np.uint64(8 * (_MAX_DIGITS - width))
    if not np.array_equal(found, beginnings):
        return False
    # Up to six digits, the second comma and the letter.
    behind = tail >> np.uint64(48)
    behind ^= np.uint64(_COMMA)
    if int(np.bitwise_or.reduce(behind)) & 0xFF:
        return False
    behind >>= np.uint64(8)
    letter[:] = behind
    # Nothing that needs unquoting or trimming: quotes, blanks and the comma come first in the table.
    if letter.min() <= _COMMA or letter.max() >= 127:
        return False
    value = tail << np.uint64(16)
    value ^= _ASCII_ZEROS
    value &= _HIGHEST_BYTES.take(digits)
    test = value + _SIXES
    test |= value
    if int(np.bitwise_or.reduce(test)) & _HIGH_NIBBLES:
        return False
    # Neighbouring digits are joined to pairs, then the pairs to one number in the upper half.
    np.right_shift(value, np.uint64(8), out=test)
    value *= np.uint64(10)
    test += value
    np.bitwise_and(test, _PAIRS, out=value)
    value *= np.uint64(0x000F424000000064)
    test >>= np.uint64(16)
    test &= _PAIRS
    test *= np.uint64(0x0000271000000001)
    test += value
    test >>= np.uint64(32)
    number[:] = test
    return True


_last: tuple[NDArray[np.int64], tuple[int, Words] | None] | None = None


def _expected_beginnings(test_ids: NDArray[np.int64]) -> tuple[int, Words] | None:
    """Return the width of the ids and, for each, line feed, id and comma as the highest bytes of a word.

    One organiser reads many files for the same ids, so the last answer is kept together with its ids.
    """
    global _last
    last = _last
    if last is not None and np.array_equal(last[0], test_ids):
        return last[1]
    width = len(str(int(test_ids.max())))
    answer = None
    if _MIN_WIDTH <= width <= _MAX_DIGITS and len(str(int(test_ids.min()))) == width and test_ids.min() >= 0:
        # Built from the last character backwards, each pushing the later ones to higher bytes.
        word = np.full(len(test_ids), _COMMA, np.uint64)
        rest = test_ids.copy()
        for _ in range(width):
            rest, digit = np.divmod(rest, 10)
            word = (word << np.uint64(8)) | (digit.astype(np.uint64) + np.uint64(ord("0")))
        word = (word << np.uint64(8)) | np.uint64(_NEWLINE)
        answer = (width, word << np.uint64(8 * (_MAX_DIGITS - width)))
    _last = (test_ids.copy(), answer)
    return answer
