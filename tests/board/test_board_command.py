"""`hepchallenge board` on a workspace of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from board_entries import TOY, entry, parts
from click.testing import CliRunner, Result

from hepchallenge.cli.board import command
from hepchallenge.exceptions import HepChallengeError, UnknownName, UsageError
from hepchallenge.store import Store

PROBLEM = """
problem_title = "A small problem"

class Predictions:
    @classmethod
    def combine(cls, predictions_list, index_list=None):
        return predictions_list[0]

class workflow:
    train_submission = print
    test_submission = print

class Score:
    def __init__(self, name, precision, is_lower_the_better):
        self.name = name
        self.precision = precision
        self.is_lower_the_better = is_lower_the_better

    def score_function(self, ground_truths, predictions):
        return 0.0

score_types = [Score("nll", 2, True), Score("auc", 3, False)]

def get_cv(X, y):
    return []

def get_train_data(path="."):
    return [], []

def get_test_data(path="."):
    return [], []
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HEPCHALLENGE_WORKSPACE", raising=False)
    monkeypatch.delenv("HEPCHALLENGE_DATABASE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "problem.py").write_text(PROBLEM)
    return tmp_path


def record(workspace: Path) -> None:
    with Store(workspace) as store:
        for name, value in (("worse", 0.9), ("better", 0.2)):
            one = entry(name, parts("valid", "public", public=value, private=1 - value), data=TOY)
            submission_id = store.add_submission("small", one.submission)
            run = store.open_run(one.run_key, submission_id, TOY, "none", "sampled", {})
            for fold in one.folds:
                store.record_fold(run, fold)
            store.record_scoring(run, one.scoring)


def call(*words: str) -> Result:
    result = CliRunner().invoke(command, ["small", *words])
    if isinstance(result.exception, HepChallengeError):
        raise result.exception
    return result


def test_the_board_ranks_by_the_first_metric_in_its_direction(folder: Path) -> None:
    record(folder / "hepchallenge-workspace")
    result = call()
    assert result.exit_code == 0
    assert "A small problem" in result.stdout
    assert "Ranked by nll on public, lowest first" in result.stdout
    assert result.stdout.index("better") < result.stdout.index("worse")
    assert "toy" in result.stdout
    assert "private" not in result.stdout


def test_the_private_board_is_shown_when_asked_for(folder: Path) -> None:
    record(folder / "hepchallenge-workspace")
    result = call("--part", "private")
    assert result.stdout.index("worse") < result.stdout.index("better")


def test_all_formats_are_exported_unless_some_are_named(folder: Path) -> None:
    record(folder / "there")
    assert call("--workspace", "there", "--export", "out", "--format", "json").exit_code == 0
    assert [path.name for path in Path("out").iterdir()] == ["small-public-toy.json"]
    document = json.loads(Path("out/small-public-toy.json").read_text())
    assert [item["name"] for item in document["submissions"]] == ["better", "worse"]
    call("--workspace", "there", "--export", "all")
    suffixes = sorted(path.suffix for path in Path("all").iterdir())
    assert suffixes == ["", ".csv", ".html", ".json", ".md", ".tex"]


def test_the_workspace_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(folder / "there")
    monkeypatch.setenv("HEPCHALLENGE_WORKSPACE", str(folder / "there"))
    assert "better" in call().stdout


def test_wrong_usage_is_said_and_makes_nothing(folder: Path) -> None:
    with pytest.raises(UsageError, match="no workspace here"):
        call()
    assert [path.name for path in folder.iterdir()] == ["small"]
    Store("hepchallenge-workspace")
    with pytest.raises(UsageError, match="nothing is scored yet"):
        call()
    with pytest.raises(UsageError, match="give --export"):
        call("--format", "csv")
    record(folder / "hepchallenge-workspace")
    with pytest.raises(UnknownName, match="no export format is called 'xlsx'"):
        call("--export", "out", "--format", "xlsx")
    assert call("--part", "secret").exit_code == 2


@pytest.mark.parametrize(("reveal", "parts_exported"), [("2020-01-01", 2), ("2999-01-01", 1)])
def test_a_site_has_the_private_part_from_its_reveal_on(
    folder: Path, reveal: str, parts_exported: int
) -> None:
    record(folder / "hepchallenge-workspace")
    Path("rules.toml").write_text(f"[board]\nreveal = {reveal}T00:00:00Z\n")
    assert call("--rules", "rules.toml", "--export", "out").exit_code == 0
    written = {path.name for path in Path("out").rglob("*") if path.is_file()}
    both = {"small-public-toy.csv", "small-private-toy.csv"}
    assert len(written & both) == len(written & {"rows-public-0.js", "rows-private-0.js"}) == parts_exported
    page = Path("out/index.html").read_text()
    assert ("Private board" in page) == ("private" in page) == (parts_exported == 2)


def test_a_private_site_is_exported_if_the_organiser_asks_for_it(folder: Path) -> None:
    record(folder / "hepchallenge-workspace")
    assert call("--part", "private", "--export", "out", "--format", "html").exit_code == 0
    assert len(list(Path("out").rglob("rows-*.js"))) == 2
    assert call("--part", "public", "--export", "other", "--format", "html").exit_code == 0
    assert [path.name for path in Path("other").rglob("rows-*.js")] == ["rows-public-0.js"]


def test_what_an_earlier_export_left_of_the_private_part_is_told(folder: Path) -> None:
    record(folder / "hepchallenge-workspace")
    warning = "still there, of an earlier export, and private: "
    assert warning not in call("--part", "private", "--export", "out").stderr
    told = call("--export", "out", "--format", "csv").stderr.split(warning)[1:]
    assert sorted(Path(line.strip()).name for line in told) == [
        "rows-private-0.js",
        *(f"small-private-toy.{ending}" for ending in ("csv", "json", "md", "tex")),
    ]
    # A new site takes the place of the old one.
    told = call("--export", "out").stderr.split(warning)[1:]
    assert {Path(line.strip()).suffix for line in told} == {".csv", ".json", ".md", ".tex"}
    assert warning not in call("--export", "fresh").stderr
