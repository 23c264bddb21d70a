"""The command on Slurm and HTCondor, whose programs are stand-ins that run here what they are given."""

from __future__ import annotations

import json
import os
import stat
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from farm_processes import Farm, wait_for
from small_kit import write_kit

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (extra: farm)")

RUN = """
import os, subprocess, sys
from pathlib import Path

folder = Path(os.environ["BATCH_FOLDER"])

def take(submitted):
    \"\"\"Keep what was submitted, since it is gone as soon as this program has answered.\"\"\"
    number = len(list(folder.glob("*.job"))) + 1
    kept = folder / f"{number}.job"
    kept.write_text(submitted)
    return number, kept

def start(number, words):
    with open(folder / f"{number}.log", "ab") as log:
        process = subprocess.Popen(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    (folder / f"{number}.pid").write_text(str(process.pid))
"""

SBATCH = """
submitted = Path(sys.argv[-1]).read_text()
if not submitted.startswith("#!"):
    sys.exit("sbatch: error: This does not look like a batch script.")
if "#SBATCH -p closed" in submitted:
    sys.exit("sbatch: error: invalid partition specified: closed")
number, kept = take(submitted)
start(number, ["bash", str(kept)])
print(f"Submitted batch job {number}")
"""

CONDOR_SUBMIT = """
def words_of(quoted):
    \"\"\"Split arguments in the syntax of submit files: '' and "" stand for one quote each.\"\"\"
    assert quoted[0] == quoted[-1] == '"', quoted
    words, word, within, rest = [], "", False, quoted[1:-1].replace('""', '"')
    while rest:
        if rest.startswith("''") and within:
            word, rest = word + "'", rest[2:]
            continue
        if rest[0] == "'":
            within = not within
        elif rest[0] == " " and not within:
            words, word = [*words, word], ""
        else:
            word += rest[0]
        rest = rest[1:]
    return [*words, word]

submitted = Path(sys.argv[-1]).read_text()
number, kept = take(submitted)
lines = [line.partition(" = ") for line in submitted.splitlines() if " = " in line]
told = {key.strip().lower(): value.strip() for key, _, value in lines}
assert submitted.rstrip().endswith("Queue"), submitted
start(number, [told["executable"], *words_of(told["arguments"])])
print(f"Submitting job(s).\\n1 job(s) submitted to cluster {number}.")
"""

CANCEL = """
import signal
number = sys.argv[-1].partition(".")[0]
with open(folder / "cancelled", "a") as file:
    print(number, file=file)
try:
    os.killpg(int((folder / f"{number}.pid").read_text()), signal.SIGTERM)
except ProcessLookupError:
    sys.exit("no such job")
"""

SYSTEMS = {
    "slurm": ({"sbatch": SBATCH, "scancel": CANCEL}, ["#SBATCH -p short", "#SBATCH --cpus-per-task=2"]),
    "htcondor": (
        {"condor_submit": CONDOR_SUBMIT, "condor_rm": CANCEL},
        ['MY.DaskWorkerName = "htcondor', "MY.DaskWorkerCores = 2", "MY.Accounting = short"],
    ),
}

CLUSTER = """
class = "{system}"
jobs = 2
patience = {patience}

[options]
cores = 2
processes = 1
memory = "4GiB"
interface = "lo"
local_directory = "{folder}/workers"
worker_extra_args = ["--memory-limit", "0"]
scheduler_options = {{ dashboard_address = ":0" }}
job_script_prologue = ["export HEPCHALLENGE_NODE_CACHE={folder}/cache"]
{own}
"""

OWN = {
    "slurm": 'queue = "short"',
    "htcondor": 'disk = "1GiB"\njob_extra_directives = { "MY.Accounting" = "short" }',
}


class Batch:
    """A batch system of this host, and the command that uses it.

    Parameters
    ----------
    folder
        Of everything.
    system
        As it is called in cluster files.
    """

    def __init__(self, folder: Path, farm: Farm, system: str) -> None:
        self.system = system
        self.folder = folder
        self.jobs = folder / "batch"
        self.jobs.mkdir()
        self._farm = farm
        self._programs = folder / "programs"
        self._programs.mkdir()
        self._kit = write_kit(folder / "kit")

    def install(self) -> None:
        """Put the programs of the batch system where they are found."""
        for name, text in SYSTEMS[self.system][0].items():
            program = self._programs / name
            program.write_text(f"#!{sys.executable} -I\n" + RUN + text)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def score(self, *words: str, own: str | None = None) -> tuple[int, dict[str, Any], str]:
        """Score the kit; return the exit code, the document, and what was said."""
        file = self.folder / "cluster.toml"
        own = OWN[self.system] if own is None else own
        file.write_text(CLUSTER.format(system=self.system, folder=self.folder, own=own, patience=100))
        line = ["score", self._kit, "--workspace", self.folder / "workspace", "--isolation", "none", "--json"]
        command = self._farm.start_command(
            *line,
            *(words or ("--backend", "dask", "--cluster", str(file))),
            environment={
                "BATCH_FOLDER": str(self.jobs),
                "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            },
        )
        code, out = command.communicate()
        return code, json.loads(out) if out else {}, command.log_text()

    def submitted(self) -> list[str]:
        """Return what was submitted."""
        return [file.read_text() for file in sorted(self.jobs.glob("*.job"))]

    def running(self) -> list[int]:
        """Return the jobs that have not ended."""
        pids = (int(file.read_text()) for file in self.jobs.glob("*.pid"))
        return [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.fixture(params=sorted(SYSTEMS))
def batch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Batch]:
    with Farm(tmp_path / "farm") as farm:
        batch = Batch(tmp_path, farm, request.param)
        yield batch
        for pid in batch.running():
            psutil.Process(pid).kill()


def test_a_kit_is_scored_by_jobs_of_a_batch_system_which_end_with_the_command(batch: Batch) -> None:
    batch.install()
    code, there, said = batch.score()
    logs = "\n".join(file.read_text() for file in batch.jobs.glob("*.log"))
    assert code == 0, said + logs
    wait_for(lambda: not batch.running(), "end of the jobs")
    assert list((batch.folder / "cache" / "objects").rglob("*")), (
        "what the job's first lines set was not heard"
    )
    submitted = batch.submitted()
    assert len(submitted) == 2
    for wanted in [*SYSTEMS[batch.system][1], "--nthreads 2", "--memory-limit 0"]:
        assert all(wanted in job for job in submitted), f"{wanted} is not in\n{submitted[0]}"
    assert sorted((batch.jobs / "cancelled").read_text().split()) == ["1", "2"]
    code, here, said = batch.score("--rerun")
    assert code == 0, said
    assert there["submissions"][0]["verdict"] == "scored"
    assert there["submissions"][0]["scores"] == here["submissions"][0]["scores"]


def test_without_its_programs_the_command_says_which_one_is_missing(batch: Batch) -> None:
    code, document, said = batch.score()
    assert (code, document) == (3, {})
    program = next(iter(SYSTEMS[batch.system][0]))
    assert f"there is no program {program} on this host" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("batch", ["slurm"], indirect=True)
def test_what_a_batch_system_refuses_is_said_in_its_words(batch: Batch) -> None:
    batch.install()
    code, document, said = batch.score(own='queue = "closed"')
    assert (code, document) == (3, {})
    assert "sbatch: error: invalid partition specified: closed" in said
    assert "Traceback" not in said
    assert batch.running() == []


@pytest.mark.parametrize("batch", ["htcondor"], indirect=True)
def test_an_option_that_is_missing_is_an_error_of_the_file(batch: Batch) -> None:
    code, _, said = batch.score(own="")
    assert code == 2
    assert "cluster.toml: options: expected what dask_jobqueue.HTCondorCluster takes" in said
    assert "disk" in textwrap.fill(said)
