"""What a farm costs a job: 10 000 submissions x 8 folds that do nothing, on two worker processes.

Run it on an idle machine; the whole takes some ten minutes on two cores, `--submissions 1000` a tenth of it:

    python benchmarks/bench_farm.py

Everything is what `hepchallenge score --backend dask` does, but for the run itself: workers answer with a
constant prediction where they would start a submission. So submissions are archived, sent, unpacked and
verified, jobs are dispatched, predictions checked, stored, scored and recorded, verdicts and all. On the
other side Dask's own `client.map` of a function that returns its argument, for as many jobs on as many
workers. Both are given per job, and their ratio.

Then the memory of the organiser's process while it works, and how long the same command takes to its first
job after it was killed early, and late.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil

WORKERS = 2
N_ROWS = 40

PROBLEM = """
import numpy as np
import rampwf as rw

problem_title = "A challenge whose submissions are not run"
Predictions = rw.prediction_types.make_regression(label_names=["y"])
workflow = rw.workflows.Regressor()
score_types = [rw.score_types.RMSE(name="rmse")]


def _data(rows):
    return np.arange(2.0 * rows).reshape(rows, 2), np.arange(float(rows)).reshape(rows, 1)


def get_train_data(path="."):
    return _data(N_ROWS)


def get_test_data(path="."):
    return _data(N_ROWS)


def get_cv(X, y):
    rows = np.arange(len(y))
    return [(rows[rows % N_FOLDS != fold], rows[rows % N_FOLDS == fold]) for fold in range(N_FOLDS)]
"""

# Loaded by the workers before anything else: the one thing that is not what it is in earnest.
PRELOAD = """
import numpy as np

from hepchallenge.farm import node
from hepchallenge.records import Verdict
from hepchallenge.run.jobs import FoldResult


class NoRunner(node.Runner):
    def run_fold(self, job):
        parts = {"train": np.zeros((job.n_train, 1)), "test": np.zeros((job.n_test, 1))}
        return FoldResult(verdict=Verdict.SCORED, predictions=parts)


node.Runner = NoRunner
"""

BARE = """
import sys
import time

from distributed import Client, LocalCluster


def nothing(number):
    return number


def main():
    n_jobs, n_workers = map(int, sys.argv[1:])
    with LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.gather(client.map(nothing, range(100), pure=False))
            started = time.perf_counter()
            answers = client.gather(client.map(nothing, range(n_jobs), pure=False))
            seconds = time.perf_counter() - started
    assert answers == list(range(n_jobs))
    print(seconds)


if __name__ == "__main__":
    main()
"""

OURS = """
import sys
import time
from pathlib import Path

import psutil

from hepchallenge.contract import BoardRules
from hepchallenge.pipeline import score
from hepchallenge.progress import Silent


class Watching(Silent):
    def __init__(self, n_jobs):
        self.started = time.perf_counter()
        self.first = self.last = None
        self.done = 0
        self.step = max(1, n_jobs // 20)
        self.me = psutil.Process()

    def job_started(self, name, fold, training, host):
        if self.first is None:
            self.first = time.perf_counter()
            print("first", self.first - self.started, flush=True)

    def fold_done(self, name, outcome):
        self.done += 1
        if self.done % self.step == 0:
            print("memory", self.done, self.me.memory_info().rss, flush=True)

    def submission_done(self, entry):
        self.last = time.perf_counter()


def main():
    kit, cluster, n_folds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sources = sorted((kit / "submissions").iterdir())
    watching = Watching(len(sources) * n_folds)
    document = score(
        kit,
        sources,
        workspace=kit / "workspace",
        isolation="none",
        backend="dask",
        cluster=cluster,
        rules=BoardRules(replicas=0),
        progress=watching,
    )
    assert document.exit_code == 0, document.exit_code
    assert len(document.submissions) == len(sources)
    if watching.first is not None:
        print("jobs", watching.last - watching.first, flush=True)


if __name__ == "__main__":
    main()
"""


def write(folder: Path, n_submissions: int, n_folds: int) -> None:
    """Write the kit, its submissions, the file of the cluster and the programs."""
    kit = folder / "kit"
    (kit / "submissions").mkdir(parents=True)
    problem = PROBLEM.replace("N_FOLDS", str(n_folds)).replace("N_ROWS", str(N_ROWS))
    (kit / "problem.py").write_text(problem)
    for number in range(n_submissions):
        one = kit / "submissions" / f"s{number:06d}"
        one.mkdir()
        (one / "regressor.py").write_text(f"NUMBER = {number}\n")
    for name, text in (("preload.py", PRELOAD), ("bare.py", BARE), ("ours.py", OURS)):
        (folder / name).write_text(text)
    (folder / "cluster.toml").write_text(
        textwrap.dedent(
            f"""
            class = "LocalCluster"
            workers = {WORKERS}

            [options]
            threads_per_worker = 1
            preload = ["{folder / "preload.py"}"]
            """
        )
    )


def bare(folder: Path, n_jobs: int) -> float:
    """Return the seconds of Dask's own map of so many jobs."""
    words = [sys.executable, str(folder / "bare.py"), str(n_jobs), str(WORKERS)]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


@contextlib.contextmanager
def ours(folder: Path, n_folds: int) -> Iterator[subprocess.Popen[str]]:
    """Start the command on the kit; whatever is left of it is ended."""
    words = [sys.executable, "ours.py", str(folder / "kit"), str(folder / "cluster.toml"), str(n_folds)]
    environment = {**os.environ, "HEPCHALLENGE_NODE_CACHE": str(folder / "cache")}
    for name in ("PYTHONDONTWRITEBYTECODE", "HEPCHALLENGE_DATABASE", "HEPCHALLENGE_RULES"):
        environment.pop(name, None)
    process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            for child in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(below, 30)
        process.wait()


def lines(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """Give what the command prints, in words."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.split()


def whole(folder: Path, n_jobs: int, n_folds: int) -> tuple[float, list[tuple[int, int]]]:
    """Run the command to its end; return the seconds from first to last job, and memory by jobs done."""
    memory: list[tuple[int, int]] = []
    seconds = 0.0
    with ours(folder, n_folds) as process:
        for words in lines(process):
            if words[0] == "memory":
                memory.append((int(words[1]), int(words[2])))
            elif words[0] == "jobs":
                seconds = float(words[1])
        if process.wait():
            raise SystemExit(f"the command ended with {process.returncode}")
    return seconds, memory


def killed_then_first(folder: Path, n_folds: int, n_until: int) -> float:
    """Kill the command when so many more jobs are done; return the next one's seconds to its first job."""
    with ours(folder, n_folds) as process:
        for words in lines(process):
            if words[0] == "memory" and int(words[1]) >= n_until:
                break
    with ours(folder, n_folds) as process:
        for words in lines(process):
            if words[0] == "first":
                return float(words[1])
    raise SystemExit("the command that went on started no job")


def measure_overhead(n_submissions: int, n_folds: int) -> None:
    """Print what a job costs on both sides, and the organiser's memory on the way."""
    n_jobs = n_submissions * n_folds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, n_submissions, n_folds)
        theirs = bare(folder, n_jobs)
        print(f"  client.map        {theirs:8.1f} s  {theirs / n_jobs * 1e3:6.3f} ms a job", flush=True)
        seconds, memory = whole(folder, n_jobs, n_folds)
        print(f"  hepchallenge      {seconds:8.1f} s  {seconds / n_jobs * 1e3:6.3f} ms a job", flush=True)
        print(f"  ratio             {seconds / theirs:8.2f}    (aim: at most 1.5)", flush=True)
        for done, used in memory[:: max(1, len(memory) // 5)]:
            print(f"  memory after {done:8d} jobs {used / 2**20:8.0f} MiB", flush=True)


def measure_resume(n_submissions: int, n_folds: int) -> None:
    """Print how long a command takes to its first job after it was killed early, and late."""
    n_jobs = n_submissions * n_folds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, n_submissions, n_folds)
        early = killed_then_first(folder, n_folds, n_jobs // 10)
        print(f"  first job after a kill at 10 % {early:8.1f} s", flush=True)
        late = killed_then_first(folder, n_folds, int(n_jobs * 0.7))
        print(f"  first job after a kill at 80 % {late:8.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--submissions", type=int, default=10_000)
    parser.add_argument("--folds", type=int, default=8)
    parser.add_argument("--only", choices=["overhead", "resume"], help="one of the two parts")
    options = parser.parse_args()
    print(f"{options.submissions} submissions x {options.folds} folds on {WORKERS} workers", flush=True)
    if options.only != "resume":
        measure_overhead(options.submissions, options.folds)
    if options.only != "overhead":
        measure_resume(options.submissions, options.folds)


if __name__ == "__main__":
    main()
