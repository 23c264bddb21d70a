"""A command in a terminal is interrupted, and goes on telling programs how far it is."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from small_kit import classifier, write_submission


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError as error:
        if error.errno == errno.EIO:  # The command has ended.
            return b""
        raise


def _take_terminal() -> None:
    """Make standard input the terminal whose keys are signals."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (10, 40)])
def test_an_interrupted_view_leaves_the_terminal_clean_and_the_same_command_goes_on(
    kit: Path, tmp_path: Path, run: Callable[..., tuple[int, Any, str]], rows: int, columns: int
) -> None:
    flag = tmp_path / "go on"
    # The first fold has one training row less than the others.
    wait = f"while len(y) > 26 and not os.path.exists({str(flag)!r}):\n    time.sleep(0.05)"
    write_submission(kit / "submissions" / "waits", classifier(fit=wait))
    words = [str(kit), str(kit / "submissions" / "waits"), "--isolation", "none", "--jobs", "1"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "hepchallenge", "score", *words, "--workspace", "workspace"],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(theirs)
    try:
        shown = b""
        while b"waits  1/3  1 running" not in shown:
            more = _read(ours)
            assert more, shown.decode()
            shown += more
        os.write(ours, b"\x03")
        while more := _read(ours):
            shown += more
        assert process.wait(60) == 130
    finally:
        process.kill()
        os.close(ours)
    before, _, after = shown.decode().rpartition("\x1b[?25h")
    assert before.count("\x1b[?25l") == before.count("\x1b[?25h") + 1
    # What was drawn is taken back: bar, numbers and a row.
    assert after.count("\x1b[1A\x1b[2K") == 3
    after = after.replace("\x1b[1A\x1b[2K", "").strip()
    assert after == "interrupted; what is done is recorded, the same command goes on from there"

    flag.touch()
    code, document, err = run(*words)
    assert (code, document["submissions"][0]["verdict"]) == (0, "scored"), err
    schema = resources.files("hepchallenge.cli") / "schemas" / "progress-1.schema.json"
    valid = Draft202012Validator(json.loads(schema.read_text()))
    told = [json.loads(line) for line in err.splitlines()]
    for one in told:
        valid.validate(one)
    assert [one["jobs"] for one in told if one["event"] == "taken_over"] == [1]
    assert [one["fold"] for one in told if one["event"] == "job_done"] == [1, 2]
    last = told[-1]
    assert (last["event"], last["jobs"], last["recorded"], last["done"]) == ("progress", 3, 1, 2)
    assert (last["submissions_done"], last["seconds_left"]) == (1, 0.0)
