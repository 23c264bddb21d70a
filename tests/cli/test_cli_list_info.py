"""`list` and `info` tell what a challenge is; nothing is simulated or downloaded for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hepchallenge.cli import info
from hepchallenge.cli import list as list_module
from hepchallenge.contract import list_challenges

PROBLEM = """
problem_title = "A kit"


class Predictions:
    combine = classmethod(lambda cls, predictions_list, index_list=None: predictions_list[0])


class workflow:
    train_submission = test_submission = print


class Score:
    precision = 3

    def __init__(self, name, lower):
        self.name, self.is_lower_the_better = name, lower

    def score_function(self, ground_truths, predictions):
        return 0.0


score_types = [Score("nll", True), Score("auc", False)]


def get_cv(X, y): return []
def get_train_data(path="."): raise AssertionError("info must not read data")
def get_test_data(path="."): raise AssertionError("info must not read data")
def make_toy_data(target, seed, n_events): raise AssertionError("info must not simulate")
"""
TOML = """
title = "Kit [bold] of a test"
summary = "Tells signal from noise."
official_metric = "auc"
licence = "CC0 for [all]"
[limits]
memory = "1536MiB"
[toy]
seed = 4
events = 12
[[source]]
name = "a"
kind = "url"
location = "https://example.org/a.csv"
filename = "a.csv"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
size = 2048
[[source]]
name = "k"
kind = "kaggle"
location = "some-contest"
filename = "k.zip"
licence = "rules"
[[reference]]
name = "winner"
metric = "auc"
part = "private"
value = 0.9
source = "paper"
confirmed = true
[[reference]]
name = "second"
metric = "auc"
part = "private"
value = 0.8
source = "memory"
confirmed = false
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "kit"
    (folder / "submissions" / "forest").mkdir(parents=True)
    (folder / "submissions" / "forest" / "submission.toml").write_text('title = "Some trees"\n')
    (folder / "problem.py").write_text(PROBLEM)
    (folder / "challenge.toml").write_text(TOML)
    return folder


def test_info_shows_everything_that_a_participant_asks(kit: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(info.command, [str(kit)], catch_exceptions=False)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    for expected in (
        "kit: Kit [bold] of a test",
        "Tells signal from noise.",
        "nll lower 3",
        "auc higher 3 official",
        "a.csv (2 KiB, sha256 0123456789ab)",
        "https://example.org/a.csv",
        "licence: not stated",
        "k.zip",
        "https://www.kaggle.com/c/some-contest/data (login needed)",
        "licence: rules",
        "CC0 for [all]",
        "toy data, simulated with seed 4, 12 events",
        "memory 1.5 GiB",
        "fit 600 s wall clock, 1200 s CPU (whole process tree)",
        "forest Some trees",
        "winner auc private 0.9 paper",
        "second auc private 0.8 (unconfirmed) memory",
    ):
        assert expected in lines
    assert not (tmp_path / "cache").exists()


def test_info_tells_the_rules_of_the_board_if_there_are_any(kit: Path) -> None:
    def said() -> list[str]:
        result = CliRunner().invoke(info.command, [str(kit)], catch_exceptions=False)
        return [" ".join(line.split()) for line in result.output.splitlines()]

    assert "Rules of the board" not in said()
    with (kit / "challenge.toml").open("a") as file:
        file.write(
            '[board]\nentry = "chosen"\nladder = true\nreveal = 2026-05-05T02:00:00+02:00\n'
            '[[phase]]\nname = "[red]day"\nstart = 2026-05-04T07:00:00Z\nend = 2026-05-04T17:30:00Z\n'
            "submissions = 20\nper_day = 10\ninterval = 600\n"
        )
    lines = said()
    for expected in (
        "Rules of the board",
        "ranked of a team the best of up to 2 that it chose",
        "public board the Ladder, parameter-free",
        "private part revealed 2026-05-05 00:00 UTC",
    ):
        assert expected in lines
    (phase,) = [at for at, line in enumerate(lines) if line.startswith("phase [red]day")]
    # A narrow terminal folds the line.
    words = (
        "from 2026-05-04 07:00 UTC until 2026-05-04 17:30 UTC, 20 of a team, 10 a day (UTC), 10 min between"
    )
    assert " ".join(lines[phase : phase + 3]).startswith(f"phase [red]day {words}")


def test_list_names_every_built_in_challenge_and_kit() -> None:
    result = CliRunner().invoke(list_module.command, catch_exceptions=False)
    assert result.exit_code == 0
    for challenge in list_challenges():
        assert challenge.name in result.output
        for kit in challenge.kits:
            assert kit.name in result.output


def test_list_imports_no_problem_and_nothing_heavy() -> None:
    code = "import sys; from hepchallenge.cli.list import command; command(standalone_mode=False); "
    code += "bad = {'pandas', 'sklearn', 'pyarrow', 'rampwf', 'requests', 'pooch'} & set(sys.modules); "
    code += "print(sorted(bad), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
