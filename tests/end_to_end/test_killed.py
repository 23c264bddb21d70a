"""The command is killed at many random moments; the next one goes on, and nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from small_kit import GOOD, classifier, write_submission

MOMENTS = ("staging", "running", "recorded", "recorded") * 2
"""After what the command is killed, a random while later. Imports come before, and take longest."""

Command = Callable[..., subprocess.Popen[str]]


def _submissions(kit: Path) -> list[Path]:
    slow = GOOD.replace("self.mean =", "__import__('time').sleep(0.2); self.mean =")
    return [write_submission(kit / "submissions" / f"slow {n}", f"{slow}\n# {n}") for n in range(3)]


def _rows(workspace: Path, table: str) -> set[tuple[Any, ...]]:
    file = workspace / "hepchallenge.sqlite"
    if not file.exists():
        return set()
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
        try:
            return set(database.execute(f"SELECT * FROM {table}").fetchall())
        except sqlite3.OperationalError:
            return set()  # Killed before its tables were made.


def _scores(out: str) -> dict[str, Any]:
    return {entry["name"]: entry["scores"] for entry in json.loads(out)["submissions"]}


def _wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == [], "processes outlive a killed command"


def test_a_command_killed_at_random_moments_goes_on_where_it_was(
    kit: Path, command: Command, tmp_path: Path
) -> None:
    words = (kit, *_submissions(kit), "--json")
    undisturbed, err = command(*words, workspace="undisturbed").communicate(timeout=300)
    expected = _scores(undisturbed)
    assert {frozenset(scores) for scores in expected.values()} == {frozenset({"distance"})}, err

    rng = random.Random(20140512)
    workspace = tmp_path / "workspace"
    recorded: dict[str, set[tuple[Any, ...]]] = {table: set() for table in ("runs", "folds", "scorings")}
    killed = 0
    for moment in MOMENTS:
        process = command(*words)
        if _wait_for(moment, process, workspace, len(recorded["folds"])):
            time.sleep(rng.uniform(0.0, 0.3 if moment == "staging" else 0.1))
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            os.kill(process.pid, signal.SIGKILL)
            _wait_until_gone(below)
            killed += 1
        process.communicate()
        for table, before in recorded.items():
            now = _rows(workspace, table)
            assert before <= now, f"{table} lost rows"
            recorded[table] = now

    assert killed > len(MOMENTS) // 2
    process = command(*words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert _scores(out) == expected
    assert (len(_rows(workspace, "runs")), len(_rows(workspace, "folds"))) == (3, 9)
    assert len(_rows(workspace, "infrastructure_failures")) == 0


def _wait_for(moment: str, process: subprocess.Popen[str], workspace: Path, recorded: int) -> bool:
    """Wait for a moment of a command and return True, or False if it has ended before."""
    deadline = time.monotonic() + 120
    while process.poll() is None:
        assert time.monotonic() < deadline
        with contextlib.suppress(psutil.Error):
            below = len(psutil.Process(process.pid).children(recursive=True))
            # The warm interpreter comes first; warden, first process and fold come below it.
            if below >= {"staging": 1, "running": 4}.get(moment, math.inf):
                return True
        if moment == "recorded" and len(_rows(workspace, "folds")) > recorded:
            return True
        time.sleep(0.01)
    return False


def test_an_interrupted_command_ends_its_folds_and_blames_nobody(
    kit: Path, command: Command, tmp_path: Path
) -> None:
    endless = write_submission(kit / "submissions" / "endless", classifier(fit="while True: pass"))
    process = command(kit, endless, "--json", preexec_fn=_heed_interrupts)
    deadline = time.monotonic() + 120
    while not (below := _running_folds(process.pid)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    _wait_until_gone(below)
    assert _rows(tmp_path / "workspace", "folds") == set()


def test_an_interrupt_has_its_exit_code_wherever_it_comes(kit: Path, command: Command) -> None:
    problem = kit / "problem.py"
    problem.write_text(f"{problem.read_text()}\nexec('import os; os.kill(os.getpid(), {signal.SIGINT:d})')\n")
    process = command(kit, "--json", preexec_fn=_heed_interrupts)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    assert "interrupted; " in err


def _heed_interrupts() -> None:
    """Undo what tests inherit that a shell runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _running_folds(pid: int) -> list[psutil.Process]:
    """Return the processes below a command once one of them has used a second of CPU in its fold."""
    try:
        below = psutil.Process(pid).children(recursive=True)
        # Command, warm interpreter, warden, first process, fold.
        busy = [p for p in below if len(p.parents()) >= len(psutil.Process(pid).parents()) + 4]
        return below if any(sum(p.cpu_times()[:2]) > 0.3 for p in busy) else []
    except psutil.Error:
        return []
