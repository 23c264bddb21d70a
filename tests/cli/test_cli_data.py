"""`data` prepares and chooses data, and says what is in use."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hepchallenge.cli.data import command, progress_display
from hepchallenge.exceptions import UsageError

PROBLEM = """
import pyarrow as pa

from hepchallenge.data import TableSchema, find_published, read_csv, write_prepared

problem_title = "A kit"


class Predictions:
    combine = classmethod(lambda cls, predictions_list, index_list=None: predictions_list[0])


class workflow:
    train_submission = test_submission = print


class Score:
    name, precision, is_lower_the_better = "acc", 2, False

    def score_function(self, ground_truths, predictions):
        return 0.0


score_types = [Score()]


def get_cv(X, y): return []
def get_train_data(path="."): return [], []
def get_test_data(path="."): return [], []


def make_toy_data(target, seed, n_events):
    write_prepared(target, {"train": pa.table({"x": [float(seed)] * n_events})})


def prepare_data(source, target):
    table = read_csv(find_published(source, "a.csv"), TableSchema(columns={"x": pa.float64()}))
    write_prepared(target, {"train": table})
"""
TOML = """
[toy]
events = 5
[[source]]
name = "k"
kind = "kaggle"
location = "some-contest"
filename = "a.csv"
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "kit"
    folder.mkdir()
    (folder / "problem.py").write_text(PROBLEM)
    (folder / "challenge.toml").write_text(TOML)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)


def test_toy_data_are_the_default_and_say_so(kit: Path) -> None:
    output = run(kit).output
    assert "kit: toy data (simulated)" in output
    assert "train: 5 rows" in output
    assert "a.csv: log in at https://www.kaggle.com/c/some-contest/data" in output


def test_a_choice_stays_until_the_next_one(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1.5\n")
    chosen = run(kit, "--from", tmp_path / "a.csv").output
    assert "kit: real data" in chosen
    assert "from a.csv (6 bytes, sha256 " in chosen
    assert run(kit).output == chosen
    assert "train: 7 rows" in run(kit, "--toy", "--events", 7, "--seed", 3).output
    assert "train: 7 rows" in run(kit).output
    assert "train: 5 rows" in run(kit, "--toy").output


def test_a_kit_that_reads_its_own_data_is_told_apart(kit: Path) -> None:
    (kit / "problem.py").write_text(PROBLEM + "\ndel make_toy_data, prepare_data\n")
    assert f"kit reads its own data from {kit}" in run(kit).output


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--toy", "--fetch"], "exclude each other"),
        (["--fetch", "--from", "x"], "exclude each other"),
        (["--seed", "3"], "need --toy"),
        (["--toy", "--events", "0"], "events"),
    ],
)
def test_options_that_do_not_go_together_are_refused(kit: Path, options: list[str], match: str) -> None:
    result = run(kit, *options)
    assert result.exit_code == 2
    assert match in result.output


def test_fetch_without_a_free_source_explains_the_login(kit: Path) -> None:
    with pytest.raises(UsageError, match="log in at"):
        run(kit, "--fetch")


def test_progress_is_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as tell:
        for done in range(0, 101, 2):
            tell("a.csv", done, 100)
        tell("b.csv", 5, None)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "a.csv: 0 of 100 bytes"
    assert lines[10] == "a.csv: 100 of 100 bytes"
    assert lines[11:] == ["b.csv: 5 of unknown bytes"]


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_display() as tell:
        tell("a.csv", 50, 100)
        tell("a.csv", 100, 100)
    assert "a.csv" in terminal.getvalue()
    assert "100/100 bytes" in terminal.getvalue()
