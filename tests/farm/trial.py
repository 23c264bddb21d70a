"""Submissions that wait in the middle of a fold until a test lets them go on, and what became of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from farm_processes import HERE, Farm, Here, Process, wait_for
from small_kit import GOOD, classifier, write_kit, write_submission

import hepchallenge
from hepchallenge.records import Verdict

__all__ = ["FOLDS", "Mark", "Trial"]

FOLDS = 3
"""Of the small kit."""

_TOP = """
import socket
MARKS = Path({marks!r})
"""

_FIT = """
self.value = y.mean() + {offset}
(MARKS / f"run {name} {{socket.gethostname()}} {{os.getpid()}} {{time.time_ns()}}").touch()
while not (MARKS / "go").exists():
    time.sleep(0.02)
"""

KILLER = """
pid = os.getpid()
while b"--multiprocessing-fork" not in Path(f"/proc/{pid}/cmdline").read_bytes():
    pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
os.kill(pid, signal.SIGKILL)
time.sleep(1000)
"""
"""Ends the worker under whose nanny it runs."""

OFFSETS = {"near": 0.25, "far": 4.0}
"""How far from the mean each submission predicts; so they have different scores."""


_JOBS = """
SELECT submissions.name, folds.fold, folds.verdict FROM folds
JOIN runs ON runs.id = folds.run_id JOIN submissions ON submissions.id = runs.submission_id
"""


@dataclass(frozen=True)
class Mark:
    """What a submission says when it begins."""

    name: str
    host: str
    pid: int
    """As its host counts."""

    def runs_below(self, process: Process) -> bool:
        """Whether a worker of this host runs it."""
        try:
            return process.pid in {parent.pid for parent in psutil.Process(self.pid).parents()}
        except psutil.NoSuchProcess:
            return False


class Trial:
    """A kit, two submissions that wait, and the workspace in which a command records them.

    Parameters
    ----------
    folder
        Empty, for everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kit = write_kit(folder / "kit")
        self.marks_folder = folder / "marks"
        self.marks_folder.mkdir()
        self.workspace = folder / "workspace"
        self.submissions = [self.write_waiting(name) for name in OFFSETS]

    def write_waiting(self, name: str) -> Path:
        """Write a submission that waits in its fit."""
        top = _TOP.format(marks=str(self.marks_folder))
        code = classifier(fit=_FIT.format(name=name, offset=OFFSETS[name]), top=top)
        code = code.replace("np.zeros(len(X))", "np.full(len(X), self.value)")
        return write_submission(self.kit / "submissions" / name, code)

    def write_at_once(self) -> Path:
        """Write a submission that waits for nothing."""
        return write_submission(self.kit / "submissions" / "at once", GOOD)

    def write_killer(self) -> Path:
        """Write a submission that ends every worker on which it runs."""
        return write_submission(self.kit / "submissions" / "killer", classifier(fit=KILLER))

    def let_go(self) -> None:
        """Let all that wait go on, and all that will come not wait."""
        (self.marks_folder / "go").touch()

    def hold(self) -> None:
        """Let all that come wait again."""
        (self.marks_folder / "go").unlink()

    def marks(self) -> list[Mark]:
        """Return what has begun so far."""
        words = [path.name.split() for path in self.marks_folder.glob("run *")]
        return [Mark(name, host, int(pid)) for _, name, host, pid, _ in words]

    def start(
        self, farm: Farm, *words: object, host: Here = HERE, patience: float = 100, shared: Path | None = None
    ) -> Process:
        """Start the command that scores on a farm, the submissions that wait if no others are named."""
        lines = [f"scheduler = {json.dumps(farm.address)}", f"patience = {patience}"]
        lines += [f"shared = {json.dumps(str(shared))}"] if shared else []
        cluster = self.folder / "cluster.toml"
        cluster.write_text("\n".join(lines))
        words = words or tuple(self.submissions)
        options = ("--isolation", "none", "--workspace", self.workspace, "--json")
        farm_options = ("--backend", "dask", "--cluster", cluster)
        return farm.start_command("score", self.kit, *words, *options, *farm_options, host=host)

    def wait_for_marks(self, number: int, *alive: Process) -> list[Mark]:
        """Wait until so many jobs have begun, and return all that have."""
        return wait_for(
            lambda: marks if len(marks := self.marks()) >= number else [], f"{number} jobs", *alive
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the workspace's database answers; nothing before it is there."""
        file = self.workspace / "hepchallenge.sqlite"
        if not file.exists():
            return []
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            try:
                return database.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []  # Its tables are not made yet.

    def recorded(self) -> dict[str, set[tuple[Any, ...]]]:
        """Return all rows of the tables of what ran."""
        tables = ("submissions", "runs", "folds", "infrastructure_failures", "scorings")
        return {table: set(self.rows(f"SELECT * FROM {table}")) for table in tables}

    def failures(self) -> list[str]:
        """Return why the infrastructure failed, a message for each failed try."""
        return [
            json.loads(row[0])["message"] for row in self.rows("SELECT outcome FROM infrastructure_failures")
        ]

    def check_whole(self, code: int, out: str, *others: str) -> None:
        """Check that all is scored, as on one host, and that every job is on record once.

        `others` are submissions that do not wait.
        """
        assert code == 0, out
        entries = json.loads(out)["submissions"]
        names = {*OFFSETS, *others}
        assert {entry["name"]: entry["verdict"] for entry in entries} == dict.fromkeys(names, "scored")
        scores = {entry["name"]: entry["scores"] for entry in entries if entry["name"] in OFFSETS}
        assert scores == local_scores()
        jobs = self.rows(_JOBS)
        assert sorted(jobs) == sorted((name, fold, "scored") for name in names for fold in range(FOLDS))
        assert self.rows("SELECT count(*) FROM runs") == [(len(names),)]
        assert self.rows("SELECT count(*) FROM scorings") == [(len(names),)]

    def check_kept(self, before: dict[str, set[tuple[Any, ...]]]) -> None:
        """Check that what `recorded` gave before is on record still."""
        now = self.recorded()
        assert before["folds"]
        assert all(before[table] <= now[table] for table in before)


@cache
def local_scores() -> Mapping[str, Any]:
    """Return the scores of the submissions that wait, as one host finds them."""
    with TemporaryDirectory() as folder:
        trial = Trial(Path(folder) / "trial")
        trial.let_go()
        document = hepchallenge.score(
            trial.kit, trial.submissions, workspace=trial.workspace, isolation="none", jobs=1
        )
        assert {entry.scoring.verdict for entry in document.submissions} == {Verdict.SCORED}
        return {entry.submission.name: entry.scoring.scores for entry in document.submissions}
