"""Rows of equal keys, brought together quickly: what the metrics of tracks and clusters are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Groups", "buckets", "group_rows", "group_totals", "small_numbers"]

IntArray = NDArray[np.int64]

# Odd numbers of well mixed bits: the golden ratio's fraction, and two primes of the same size.
_MULTIPLIERS = tuple(
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93)
)


class Groups(NamedTuple):
    """Rows sorted so that those of equal keys stand together.

    Attributes
    ----------
    rows : array of int64, shape (n,)
        The numbers of all rows, group after group. The groups stand in no particular order, the rows of
        one group in rising order.
    starts : array of int64, shape (n_groups,)
        Where in `rows` each group begins.
    """

    rows: IntArray
    starts: IntArray

    @property
    def first(self) -> IntArray:
        """The first row of each group."""
        first: IntArray = self.rows[self.starts]
        return first

    @property
    def sizes(self) -> IntArray:
        """The number of rows of each group, at least one."""
        return np.diff(self.starts, append=len(self.rows))

    @property
    def numbers(self) -> IntArray:
        """For every row, in the order of the rows, the number of its group."""
        numbers = np.empty(len(self.rows), dtype=np.int64)
        numbers[self.rows] = np.repeat(np.arange(len(self.starts)), self.sizes)
        return numbers


def group_rows(*keys: NDArray[Any]) -> Groups:
    """Group the rows that agree in all of one to three keys.

    One sort of 64-bit words does it: the upper bits of a word are a hash of the keys, the lower ones the
    number of the row. That is several times faster than sorting indices, and exact, because groups are
    told apart by the keys themselves; should two keys ever share a hash, the keys are sorted instead.

    Parameters
    ----------
    *keys : arrays of integers, shape (n,)
        At most 64 bits wide; equal lengths.

    Returns
    -------
    Groups
        Empty if there are no rows.
    """
    words = [key.astype(np.int64, copy=False) for key in keys]
    n = len(words[0])
    if n == 0:
        return Groups(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    mask = np.uint64((1 << max(n - 1, 1).bit_length()) - 1)
    packed = words[0].view(np.uint64) * _MULTIPLIERS[0]
    for word, multiplier in zip(words[1:], _MULTIPLIERS[1:], strict=False):
        packed += word.view(np.uint64) * multiplier
    packed &= ~mask
    packed |= np.arange(n, dtype=np.uint64)
    packed.sort()
    rows = (packed & mask).view(np.int64)
    starts = _starts(words, rows)
    # Different keys of one hash would stand in each other's rows, in groups that share that hash.
    hashes = packed[starts] & ~mask
    if (hashes[1:] == hashes[:-1]).any():
        rows = np.lexsort(words)
        starts = _starts(words, rows)
    return Groups(rows, starts)


def group_totals(keys: NDArray[Any], amounts: NDArray[Any]) -> IntArray:
    """Return for every row the sum of the amounts of all rows with its key.

    Parameters
    ----------
    keys, amounts : arrays of integers, shape (n,)
    """
    totals = np.empty(len(keys), dtype=np.int64)
    if len(keys):
        groups = group_rows(keys)
        summed = np.concatenate(([0], np.cumsum(amounts[groups.rows])))
        ends = np.append(groups.starts[1:], len(keys))
        totals[groups.rows] = np.repeat(summed[ends] - summed[groups.starts], groups.sizes)
    return totals


def buckets(keys: IntArray, bits: int) -> IntArray:
    """Return a hash of each key, from 0 to below 2**bits, equal for equal keys and mostly not for others."""
    hashed = keys.view(np.uint64) * _MULTIPLIERS[0]
    hashed >>= np.uint64(64 - bits)
    return hashed.view(np.int64)


def small_numbers(keys: IntArray) -> IntArray:
    """Return numbers from 0 on that are equal where the keys are: the keys themselves if they are small.

    The largest is below eight times the number of rows plus 1024, small enough to count into a table.
    """
    if len(keys) == 0 or (keys.min() >= 0 and keys.max() < 8 * len(keys) + 1024):
        return keys
    return group_rows(keys).numbers


def _starts(words: list[IntArray], rows: IntArray) -> IntArray:
    """Return the places in `rows` whose row differs from the one before it, and the first."""
    new = np.zeros(len(rows), dtype=np.bool_)
    new[0] = True
    for word in words:
        in_order = word.take(rows)
        new[1:] |= in_order[1:] != in_order[:-1]
    return np.flatnonzero(new)
