"""The shortcut for narrow CSV: what it takes, what it declines, and that chunks do not matter."""

from __future__ import annotations

import numpy as np
import pytest

from hepchallenge.run import narrow_csv
from hepchallenge.run.narrow_csv import read_narrow_csv

HEADER = b"EventId,RankOrder,Class"


def content(ids: np.ndarray, ranks: np.ndarray, letters: list[str]) -> bytes:
    lines = (f"{i},{r},{c}\n" for i, r, c in zip(ids.tolist(), ranks.tolist(), letters, strict=True))
    return HEADER + b"\n" + "".join(lines).encode()


@pytest.mark.parametrize("chunk", [1, 20, 1000, 1 << 18])
@pytest.mark.parametrize("first", [100, 7000, 50000, 350000])
def test_every_line_is_read_wherever_chunks_are_cut(
    monkeypatch: pytest.MonkeyPatch, chunk: int, first: int
) -> None:
    monkeypatch.setattr(narrow_csv, "_CHUNK", chunk)
    n = 300
    ids = np.arange(first, first + n)
    rng = np.random.default_rng(first)
    ranks = rng.integers(0, 10 ** rng.integers(1, 7, n))
    letters = rng.choice(["s", "b", "~", "-"], n).tolist()
    found = read_narrow_csv(content(ids, ranks, letters), HEADER, ids)
    assert found is not None
    assert found[0].tolist() == ranks.tolist()
    assert found[1].tolist() == letters


IDS = np.arange(350100, 350120)
LINES = content(IDS, np.arange(20) * 1000, ["s"] * 20)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"110,10000,s", b"110,1000a,s"),
        (b"110,10000,s", b"110,1000:,s"),
        (b"110,10000,s", b"110,-1000,s"),
        (b"110,10000,s", b"110,,s"),
        (b"110,10000,s", b"110,1234567,s"),
        (b"110,10000,s", b"110,10000,"),
        (b"110,10000,s", b'110,10000,"'),
        (b"110,10000,s", b"110,10000,,"),
        (b"110,10000,s", b"110,10000,ss"),
        (b"110,10000,s", b"110,10000,\xff"),
        (b"110,10000,s", b"110;10000,s"),
        (b"110,10000,s", b"110,10000;s"),
        (b"110,10000,s", b"999,10000,s"),
        (b"110,10000,s\n", b""),
        (b"110,10000,s\n", b"110,10000,s\n\n"),
        (b"110,10000,s\n", b"110,10000,s\r\n"),
        (b"EventId,", b"Eventid,"),
    ],
)
def test_anything_unusual_is_declined(old: bytes, new: bytes) -> None:
    assert LINES.count(old) == 1
    assert read_narrow_csv(LINES.replace(old, new), HEADER, IDS) is None


def test_a_missing_end_of_the_last_line_is_declined() -> None:
    assert read_narrow_csv(LINES[:-1], HEADER, IDS) is None


@pytest.mark.parametrize(
    "ids", [np.arange(99, 119), np.arange(20) - 5, np.arange(20) + 10**6, np.arange(20) + 10]
)
def test_ids_that_are_not_of_one_short_width_are_declined(ids: np.ndarray) -> None:
    assert read_narrow_csv(content(ids, np.arange(20), ["s"] * 20), HEADER, ids) is None


def test_ids_changed_in_place_are_noticed() -> None:
    ids = IDS.copy()
    assert read_narrow_csv(LINES, HEADER, ids) is not None
    ids[[0, 1]] = ids[[1, 0]]
    assert read_narrow_csv(LINES, HEADER, ids) is None
