"""Two hundred submissions, a third of them hostile: every verdict is right and nothing is left behind."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from levels import need
from small_kit import GOOD, PROBLEM, classifier, write_kit, write_submission

from hepchallenge.records import StoredArray
from hepchallenge.run.isolation import Isolation
from hepchallenge.store.codec import loads
from hepchallenge.store.files import load_array, load_log

SUBMISSIONS = 200
KILLED = 36
KILLS = 3
MARGIN = 16 << 20
"""By how much the runner's memory may differ after 50 and after 200 submissions."""

LIMITS = """
[limits]
fit_cpu = 0.5
memory = "150MiB"
processes = 16
output = "1MiB"
"""

HOSTILE = {
    "exit": (classifier(fit="os._exit(0)"), "runtime_error"),
    "raise": (classifier(predict="raise ValueError('no')"), "runtime_error"),
    "nan": (classifier(predict="return np.full(len(X), np.nan)"), "invalid_submission"),
    "loop": (classifier(fit="while True: pass"), "cpu_limit"),
    "memory": (classifier(fit="held = np.ones(300 << 17)\ntime.sleep(90)"), "memory_limit"),
    "fork": (
        classifier(fit="for _ in range(30):\n    if not os.fork(): time.sleep(90)\ntime.sleep(90)"),
        "process_limit",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _level() -> None:
    need(Isolation.NAMESPACES)


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    one_fold = PROBLEM.replace("for k in range(3)]", "for k in range(1)]")
    assert one_fold != PROBLEM
    folder = write_kit(tmp_path_factory.mktemp("load") / "kit", one_fold)
    (folder / "challenge.toml").write_text(LIMITS)
    return folder


@pytest.fixture(scope="module")
def expected(kit: Path) -> dict[str, str]:
    """Write the submissions; return the verdict of each by its name."""
    verdicts = {}
    for number in range(SUBMISSIONS):
        kind, code, verdict = "good", GOOD, "scored"
        if number % 3 == 2:
            kind = list(HOSTILE)[number // 3 % len(HOSTILE)]
            code, verdict = HOSTILE[kind]
        name = f"{number:03d} {kind}"
        write_submission(kit / "submissions" / name, f"{code}\n# {number}")
        verdicts[name] = verdict
    return verdicts


def _start(kit: Path, folder: Path, names: list[str]) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
    line = [sys.executable, str(Path(__file__).with_name("many.py")), str(kit), str(folder / "workspace")]
    line += [str(kit / "submissions" / name) for name in names]
    return subprocess.Popen(
        line, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        out, err = process.communicate(timeout=400)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def _cgroups_of(pid: int) -> list[str]:
    return [place for place, *_ in os.walk("/sys/fs/cgroup") if f"benchmark_hepchallenge_{pid}_" in place]


def _check_verdicts(answer: dict[str, Any], expected: dict[str, str]) -> None:
    wrong = {
        name: (verdict, answer["messages"][name])
        for name, verdict in answer["verdicts"].items()
        if verdict != expected[name]
    }
    assert wrong == {}
    scores = [answer["scores"][name] for name in answer["verdicts"] if expected[name] == "scored"]
    assert all(score == scores[0] for score in scores), "equal submissions have equal scores"


def _check_workspace(workspace: Path, submissions: int, killed: bool = False) -> None:
    """Look whether records and files are whole and belong together, and nothing else is there."""
    with closing(sqlite3.connect(workspace / "hepchallenge.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for table in ("submissions", "runs", "folds", "scorings"):
            (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert (table, count) == (table, submissions)
        assert database.execute("SELECT count(*) FROM infrastructure_failures").fetchone() == (0,)
        outcomes = [loads(text) for (text,) in database.execute("SELECT outcome FROM folds")]
    for outcome in outcomes:
        for array in outcome["predictions"].values():
            load_array(workspace, StoredArray(**{**array, "shape": tuple(array["shape"])}))
        if outcome["log"]:
            load_log(workspace, outcome["log"])
    copies = [path for path in (workspace / "submissions").iterdir() if not path.name.startswith(".")]
    assert len(copies) == submissions
    assert list((workspace / "logs" / "running").iterdir()) == []
    # Files in the making that a kill left are told apart by their name, and swept when they are a day old.
    left = [path for path in workspace.glob("**/.*") if not (killed and path.suffix == ".part")]
    assert left == [], "a file in the making was left behind"


def test_all_verdicts_are_right_memory_is_flat_and_nothing_is_left(
    kit: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    process = _start(kit, tmp_path, list(expected))
    answer = _finish(process)
    assert len(answer["verdicts"]) == SUBMISSIONS
    _check_verdicts(answer, expected)
    resident = answer["resident"]
    assert max(resident[150:]) - max(resident[:50]) < MARGIN
    assert answer["left"] == [], "processes outlive their folds"
    assert list((tmp_path / "tmp").iterdir()) == [], "scratch folders are left"
    assert _cgroups_of(process.pid) == []
    _check_workspace(tmp_path / "workspace", SUBMISSIONS)


def test_a_command_that_is_killed_again_and_again_gives_the_same_verdicts(
    kit: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    rng = random.Random(60)
    names = sorted(rng.sample(list(expected), KILLED))
    database = tmp_path / "workspace" / "hepchallenge.sqlite"
    pids = []
    for _ in range(KILLS):
        process = _start(kit, tmp_path, names)
        pids.append(process.pid)
        # Not while it still imports; there is little to break in that.
        before = _recorded(database)
        deadline = time.monotonic() + 200
        while process.poll() is None and _recorded(database) == before and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.2))
        below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(below, timeout=60)
        assert alive == [], "processes outlive a killed command"
    assert 0 < _recorded(database) < KILLED, "it was killed in the middle"
    answer = _finish(_start(kit, tmp_path, names))
    assert sorted(answer["verdicts"]) == names
    _check_verdicts(answer, expected)
    assert list((tmp_path / "tmp").iterdir()) == [], "what a killed command left is swept by the next one"
    assert [_cgroups_of(pid) for pid in pids] == [[]] * KILLS
    _check_workspace(tmp_path / "workspace", KILLED, killed=True)


def _recorded(database: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM folds").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # Not made yet.
