"""Blends are those of ramp-blend, number by number."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ramp_kits import KITS, LEAST_SQUARES, NEAREST_MEAN, REGRESSION, Kit

import hepchallenge
from hepchallenge.blend import blend

# Both commands in one process, since most of their time goes into imports.
BOTH = """
import sys
from rampwf.utils.cli.blend import main as ramp_blend
from rampwf.utils.cli.testing import main as ramp_test

names, options = sys.argv[1].split(), sys.argv[2].split()
for name in names:
    ramp_test(["--submission", name, "--save-output"], standalone_mode=False)
ramp_blend(["--submissions", repr(names), "--save-output", *options], standalone_mode=False)
"""

NAMES = ["alpha", "beta", "gamma", "delta"]


def read(file: Path) -> list[dict[str, str]]:
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


def noisy(code: str, method: str, noise: str) -> dict[str, str]:
    """Return submissions by name that spoil what `method` of some code returns, each in a way of its own."""
    honest = code.replace(f"def {method}", "def honest")
    return {
        name: f"{honest}\n    def {method}(self, X):\n"
        f"        y, rng = self.honest(X), np.random.default_rng({seed})\n        return {noise}\n"
        for seed, name in enumerate(NAMES)
    }


CASES = {
    # Lower is better; errors average out, so ensembles are large.
    "regression": (
        "regressor.py",
        REGRESSION
        + """
workflow = rw.workflows.Regressor()
get_train_data, get_test_data = both(lambda df: (df[["a", "b"]].to_numpy(), df["target"].to_numpy()))
""",
        noisy(LEAST_SQUARES, "predict", "y + rng.normal(size=len(y))"),
        [],
        {},
    ),
    "regression in single precision": (
        "regressor.py",
        KITS[0].problem,
        noisy(LEAST_SQUARES, "predict", "(y + rng.normal(size=len(y))).astype(np.float32)"),
        ["--min-improvement", "0.01"],
        {"min_improvement": 0.01},
    ),
    "mixed precision": (
        "regressor.py",
        KITS[0].problem,
        noisy(LEAST_SQUARES, "predict", "(y + rng.normal(size=len(y))).astype(rng.choice(['f4', 'f8']))"),
        [],
        {},
    ),
    # Higher is better, and with 30 rows there are many ties.
    "accuracy": (
        "classifier.py",
        KITS[1].problem,
        noisy(NEAREST_MEAN, "predict_proba", "(y + rng.dirichlet([1, 1, 1], len(y))) / 2"),
        [],
        {},
    ),
    "likelihood": (
        "classifier.py",
        KITS[1].problem,
        noisy(NEAREST_MEAN, "predict_proba", "(y + rng.dirichlet([1, 1, 1], len(y))) / 2"),
        ["--score-type-index", "1"],
        {"metric": "nll"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_blend_is_that_of_ramp_blend(case: str, tmp_path: Path) -> None:
    file, problem, codes, options, arguments = CASES[case]
    folder = Kit("kit", problem, {}, {f"submissions/{name}/{file}": codes[name] for name in NAMES}).write(
        tmp_path
    )

    workspace = tmp_path / "workspace"
    document = hepchallenge.score(folder, workspace=workspace, jobs=1)
    assert {entry.scoring.message for entry in document.submissions} == {""}
    ours = blend(folder, NAMES, workspace=workspace, **arguments)

    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-c", BOTH, " ".join(NAMES), " ".join(options)]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | threads, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    output = folder / "submissions" / "training_output"

    assert max(map(len, ours.picks)) > 1, "else there is little to compare"
    theirs = {row["submission"]: row for row in read(output / "contributivities.csv")}
    for member in ours.members:
        row = theirs[member.submission.name]
        assert round(member.contributivity) == int(row["contributivity"])
        for fold, (count, picks) in enumerate(zip(member.taken, ours.picks, strict=True)):
            assert count / len(picks) / len(ours.picks) == pytest.approx(
                float(row[f"fold_{fold}"]), abs=1e-15
            )
    for scoring, name in ((ours.blended, "combined"), (ours.foldwise_best, "foldwise_best")):
        rows = read(output / f"bagged_scores_{name}.csv")
        # Of several rows a part the last, the whole bag.
        bags = {f"bagged_{row['step']}": float(row[ours.metric]) for row in rows}
        assert {part: scoring.scores[ours.metric][part] for part in bags} == bags
