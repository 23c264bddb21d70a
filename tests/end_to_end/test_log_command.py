"""`hepchallenge log` shows what a submission printed, harmlessly, also after a kill of everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_kit import classifier, write_submission

Run = Callable[..., tuple[int, Any, str]]
Command = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def log(kit: Path, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def log(*words: object) -> tuple[int, str, str]:
        line = [sys.executable, "-m", "hepchallenge", "log", str(kit), *map(str, words)]
        line += ["--workspace", "workspace"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    return log


Log = Callable[..., tuple[int, str, str]]


def test_the_log_shows_output_and_reason_and_acts_on_nothing(kit: Path, run: Run, log: Log) -> None:
    code = classifier(
        fit="print('\x1b[2J<b>fitted</b> \u202eon', len(X), flush=True)",
        predict="raise ValueError('\x1b]0;x\x07')",
    )
    loud = write_submission(kit / "submissions" / "loud", code)
    assert run(kit, loud, kit / "submissions" / "good", "--quick")[0] == 1

    status, shown, err = log("loud")
    assert (status, err) == (0, "")
    assert shown.startswith("== fold 0: runtime_error ==\n\ufffd[2J<b>fitted</b> \ufffdon 26\n")
    assert "ValueError: \ufffd]0;x\ufffd" in shown
    assert all(character in "\n\t" or character.isprintable() for character in shown)
    assert log(loud)[1] == shown
    assert log("loud", "--fold", "0")[1] == shown

    page = log("loud", "--html")[1]
    assert page.startswith("<h3>fold 0: runtime_error</h3>\n<pre>\ufffd[2J&lt;b&gt;fitted&lt;/b&gt; ")
    assert page.count("<") == 4

    status, shown, _ = log("good")
    assert (status, shown) == (0, "== fold 0: scored ==\n")

    for words, expected in ((("lout",), "did you mean 'loud'"), (("good", "--fold", "7"), "fold 7 of good")):
        status, shown, err = log(*words)
        assert (status, shown, expected in err) == (2, "", True), err


def test_a_log_survives_a_kill_and_the_next_run_keeps_no_garbage_of_it(
    kit: Path, command: Command, run: Run, log: Log, tmp_path: Path
) -> None:
    flag = tmp_path / "go"
    code = classifier(fit="print('first words', flush=True)\nwhile not os.path.exists(GO): time.sleep(0.05)")
    slow = write_submission(kit / "submissions" / "slow", f"GO = {str(flag)!r}\n{code}")
    words = (kit, slow, "--quick", "--isolation", "none")
    process = command(*words)
    running = tmp_path / "workspace" / "logs" / "running"
    deadline = time.monotonic() + 120
    while not any(b"first words" in path.read_bytes() for path in running.glob("*.log")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    assert log("slow")[1] == "== fold 0: not finished ==\nfirst words\n"
    below = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert log("slow")[1] == "== fold 0: not finished ==\nfirst words\n"

    flag.touch()
    assert run(*words)[0] == 0
    assert log("slow")[1] == "== fold 0: scored ==\nfirst words\n"
    assert list(running.iterdir()) == []


def test_a_refused_submission_has_its_reason_for_a_log(kit: Path, run: Run, log: Log) -> None:
    refused = write_submission(kit / "submissions" / "refused", "")
    (refused / "classifier.py").rename(refused / "other.py")
    assert run(kit, refused)[0] == 1
    status, shown, err = log("refused")
    assert (status, shown) == (0, "")
    assert "expected classifier.py; found other.py" in err
