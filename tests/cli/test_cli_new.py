"""`new` begins a submission and never overwrites one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hepchallenge.cli.new import command
from hepchallenge.exceptions import UnknownName, UsageError


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = tmp_path / "kit"
    for name in ("alpha", "beta"):
        (folder / "submissions" / name / "__pycache__").mkdir(parents=True)
        (folder / "submissions" / name / "classifier.py").write_text(f"# {name}\n")
    (folder / "problem.py").write_text("")
    return folder


def new(*arguments: object) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_kit_is_copied_with_a_readme_that_says_how_to_score_it(kit: Path, tmp_path: Path) -> None:
    output = new(kit, tmp_path / "deep" / "mine")
    made = tmp_path / "deep" / "mine"
    assert sorted(file.name for file in made.iterdir()) == ["README.md", "classifier.py"]
    assert (made / "classifier.py").read_text() == "# alpha\n"
    scored = f"hepchallenge score {kit} {made}"
    assert scored in (made / "README.md").read_text()
    assert scored in output
    assert "other kits: beta" in output
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["mine"]


def test_a_named_kit_and_a_starting_kit_are_preferred(kit: Path, tmp_path: Path) -> None:
    new(kit, tmp_path / "b", "--kit", "beta")
    assert (tmp_path / "b" / "classifier.py").read_text() == "# beta\n"
    (kit / "submissions" / "starting_kit").mkdir()
    (kit / "submissions" / "starting_kit" / "README.md").write_text("mine\n")
    new(kit, tmp_path / "s")
    assert (tmp_path / "s" / "README.md").read_text() == "mine\n"


def test_who_copies_what_the_kit_says_of_itself_is_told_to_change_it(kit: Path, tmp_path: Path) -> None:
    (kit / "submissions" / "beta" / "submission.toml").write_text('team = "baseline"\n')
    assert "put your own team" in new(kit, tmp_path / "b", "--kit", "beta")
    assert "put your own team" not in new(kit, tmp_path / "a", "--kit", "alpha")


def test_an_empty_folder_is_filled_and_a_full_one_left_alone(kit: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    new(kit, target)
    (target / "classifier.py").write_text("# my work\n")
    with pytest.raises(UsageError, match="is not an empty folder; nothing was written"):
        new(kit, target)
    assert (target / "classifier.py").read_text() == "# my work\n"
    with pytest.raises(UsageError):
        new(kit, target / "classifier.py")


def test_an_unknown_kit_lists_the_known_ones(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'alpha'\? \(known: alpha, beta\)"):
        new(kit, tmp_path / "mine", "--kit", "alfa")
    assert not (tmp_path / "mine").exists()


def test_a_challenge_without_kits_is_told(tmp_path: Path) -> None:
    (tmp_path / "problem.py").write_text("")
    with pytest.raises(UsageError, match="has no starting kits"):
        new(tmp_path, tmp_path / "mine")
