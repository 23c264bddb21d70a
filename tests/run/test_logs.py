"""A log keeps its head and its tail, also when whoever writes it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.run.logs import KeptLog, read_live_log


@given(st.integers(1, 40), st.lists(st.binary(max_size=60), max_size=8))
def test_head_and_tail_of_any_stream_are_kept_in_memory_and_on_disk(size: int, pieces: list[bytes]) -> None:
    path = Path(f"/proc/self/fd/{os.memfd_create('log')}")
    try:
        # A memfd is reached through a link, which a log would refuse.
        log = KeptLog(size)
        log._file = os.open(path, os.O_WRONLY)
        for piece in pieces:
            log.add(piece)
        log.close()
        written = b"".join(pieces)
        head, tail = written[: size // 2], written[size // 2 :]
        ring = max(1, size - size // 2)
        dropped = len(tail) - ring
        if dropped > 0:
            tail = f"\n... {dropped} bytes dropped here ...\n".encode() + tail[-ring:]
        assert log.content() == head + tail
        assert read_live_log(path) == (head + tail if pieces else b"")
    finally:
        os.close(int(path.name))


def test_a_log_is_there_after_a_kill_of_its_writer(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from hepchallenge.run.logs import KeptLog\n"
        "log = KeptLog(64, Path(sys.argv[1]))\n"
        "log.add(b'the first words'); log.add(bytes(1000)); log.add(b'the last words')\n"
        "os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "running" / "a.log"
    assert subprocess.run([sys.executable, "-c", code, str(path)], timeout=60).returncode == -9
    kept = read_live_log(path)
    assert kept.startswith(b"the first words\0")
    assert kept.endswith(b"\0the last words")
    assert b"\n... 965 bytes dropped here ...\n" in kept


@pytest.mark.parametrize("content", [b"", b"HCL1", b"x" * 100, b"HCL1" + b"\xff" * 24 + b"more"])
def test_a_damaged_live_log_is_no_log(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.log"
    assert read_live_log(path) == b""
    path.write_bytes(content)
    assert read_live_log(path) == b""


def test_a_live_log_begins_anew_and_follows_no_link(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    KeptLog(64, path).add(b"garbage of a killed run")
    KeptLog(64, path).add(b"new")
    assert read_live_log(path) == b"new"
    (tmp_path / "link.log").symlink_to(path)
    log = KeptLog(64, tmp_path / "link.log")
    log.add(b"kept in memory")
    assert log.content() == b"kept in memory"
    assert read_live_log(path) == b"new"
