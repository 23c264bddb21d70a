"""ramp-test itself, run as a participant runs it, and what it says."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hepchallenge.records import Scores

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class RampResult:
    """Scores of the folds and of the bags at full precision, and the rows of the printed table of means."""

    folds: list[Scores]
    bagged: Scores
    printed_means: dict[str, list[str]]


def run_ramp_test(folder: Path, *options: str) -> str:
    """Run `ramp-test` in a kit's folder and return what it prints; it must succeed."""
    command = [str(Path(sys.executable).with_name("ramp-test")), "--save-output", *options]
    # One thread, so that sums inside BLAS are made in the same order on both sides.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        command, cwd=folder, env=os.environ | threads, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return _COLOUR.sub("", done.stdout)


def _means(printed: str) -> dict[str, list[str]]:
    """Return `mean±std` of each metric by part, as printed."""
    table = printed.split("Mean CV scores")[1].split("Bagged scores")[0].replace("+-", "±")
    table = re.sub(r"\s*±\s*", "±", table)
    rows = [line.split() for line in table.splitlines() if "±" in line]
    return {row[0]: row[1:-1] for row in rows}


def _scores(file: Path, prefix: str = "") -> Scores:
    """Return the scores of a table with one row a part; of several rows of a part the last, the whole bag."""
    scores: Scores = {}
    with open(file, newline="") as lines:
        for row in csv.DictReader(lines):
            for metric in row.keys() - {"step", "n_bag", "time"}:
                scores.setdefault(metric, {})[prefix + row["step"]] = float(row[metric])
    return scores


def ramp_result(folder: Path, data_label: str | None = None, quick: bool = False) -> RampResult:
    """Run `ramp-test` on the starting kit and read the files that it writes."""
    options = ["--data-label", data_label] if data_label else []
    printed = run_ramp_test(folder, *options, *(["--quick-test"] if quick else []))
    output = folder / "submissions" / "starting_kit" / "training_output" / (data_label or "")
    folds = [_scores(file) for file in sorted(output.glob("fold_*/scores.csv"))]
    return RampResult(folds, _scores(output / "bagged_scores.csv", "bagged_"), _means(printed))
