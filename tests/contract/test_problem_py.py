"""Every mistake in `problem.py` is an error that names the file, the key, what was expected and found."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hepchallenge.contract import load_challenge
from hepchallenge.exceptions import ContractError, UnknownName, UsageError

Write = Callable[..., Path]


def test_a_right_problem_loads_with_its_names(write: Write) -> None:
    challenge = load_challenge(write())
    assert (challenge.name, challenge.title, challenge.official_metric) == ("small", "A small problem", "acc")
    assert challenge.problem.get_test_parts is None
    assert not challenge.builtin
    assert challenge.kits_folder == challenge.folder / "submissions"
    assert not challenge.problem.takes_data_label


@pytest.mark.parametrize(
    "name",
    [
        "problem_title",
        "Predictions",
        "workflow",
        "score_types",
        "get_cv",
        "get_train_data",
        "get_test_data",
    ],
)
def test_a_missing_name_is_named(write: Write, name: str) -> None:
    with pytest.raises(ContractError) as caught:
        load_challenge(write(extra=f"\ndel {name}\n"))
    assert caught.value.where == name
    assert caught.value.found == "no such name"
    assert caught.value.file.endswith("problem.py")


@pytest.mark.parametrize(
    ("extra", "where", "found"),
    [
        ("problem_title = 3", "problem_title", "int 3"),
        ("problem_title = '  '", "problem_title", "str"),
        ("Predictions = 'x'", "Predictions", "str 'x'"),
        ("del Predictions.combine", "Predictions.combine", "type"),
        ("del workflow.test_submission", "workflow.test_submission", "type"),
        ("score_types = Score()", "score_types", "Score"),
        ("score_types = []", "score_types", "an empty list"),
        ("score_types = [Score]", "score_types[0]", "the class Score; call it"),
        ("score_types = [Score(), Score()]", "score_types[1].name", "'acc' as in score_types[0]"),
        ("score_types = [Score(name=None)]", "score_types[0].name", "NoneType"),
        ("score_types = [Score(precision=1.5)]", "score_types[0].precision", "float 1.5"),
        ("score_types = [Score(precision=-1)]", "score_types[0].precision", "int -1"),
        ("score_types = [Score(is_lower_the_better='no')]", "score_types[0].is_lower_the_better", "str 'no'"),
        ("del Score.score_function", "score_types[0].score_function", "a Score without it"),
        ("del score_types[0].name", "score_types[0].name", "a Score without it"),
        ("get_cv = 3", "get_cv", "int 3"),
        ("def get_cv(X): pass", "get_cv", "get_cv(X)"),
        ("def get_test_data(folder): pass", "get_test_data", "get_test_data(folder)"),
        ("def get_test_parts(): pass", "get_test_parts", "get_test_parts()"),
        ("get_test_ids = [1, 2]", "get_test_ids", "list [1, 2]"),
        ("def make_toy_data(target): pass", "make_toy_data", "make_toy_data(target)"),
        ("def draw_results(folder): pass", "draw_results", "draw_results(folder)"),
        ("def get_curves(truth): pass", "get_curves", "get_curves(truth)"),
        ("gates = 1", "gates", "int 1"),
        ("def predictions_from_columns(c): pass", "prediction_file", "none although problem.py has"),
    ],
)
def test_a_wrong_name_tells_what_was_found(write: Write, extra: str, where: str, found: str) -> None:
    with pytest.raises(ContractError, match=re.escape(where)) as caught:
        load_challenge(write(extra=f"\n{extra}\n"))
    assert caught.value.where == where
    assert found in caught.value.found


def test_an_exception_in_problem_py_keeps_its_line(write: Write) -> None:
    folder = write("problem_title = ", "\n\n1 / 0\nproblem_title = ")
    with pytest.raises(ContractError, match=r"line 4: .*ZeroDivisionError") as caught:
        load_challenge(folder)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_syntax_error_keeps_its_line(write: Write) -> None:
    with pytest.raises(ContractError, match=r"problem\.py: line 2: .*SyntaxError"):
        load_challenge(write("problem_title = ", "problem_title = = "))


def test_a_problem_that_exits_does_not_end_the_command(write: Write) -> None:
    with pytest.raises(ContractError, match="SystemExit: 1"):
        load_challenge(write(extra="\nraise SystemExit(1)\n"))


def test_external_imports_are_found_and_problem_stays_out_of_sys_modules(write: Write) -> None:
    folder = write(extra="\nimport only_of_this_kit\n")
    (folder / "external_imports").mkdir()
    (folder / "external_imports" / "only_of_this_kit.py").write_text("")
    try:
        assert load_challenge(folder).problem.module.__name__ == "problem"
        assert "problem" not in sys.modules
    finally:
        sys.path.remove(str(folder / "external_imports"))
        sys.modules.pop("only_of_this_kit", None)


def test_data_label_is_seen_in_the_signatures(write: Write) -> None:
    labelled = "\ndef get_train_data(path='.', data_label=None): pass\n"
    labelled += "def get_test_data(path='.', data_label=None): pass\n"
    assert load_challenge(write(extra=labelled)).problem.takes_data_label


def test_the_version_follows_code_and_toml_but_not_submissions(write: Write) -> None:
    folder = write()
    first = load_challenge(folder).version
    (folder / "submissions").mkdir()
    (folder / "submissions" / "classifier.py").write_text("")
    assert load_challenge(folder).version == first
    (folder / "challenge.toml").write_text('title = "x"\n')
    second = load_challenge(folder).version
    (folder / "helper.py").write_text("")
    assert len({first, second, load_challenge(folder).version}) == 3


def test_rules_of_the_board_do_not_change_the_version_so_nothing_is_run_again_for_them(write: Write) -> None:
    folder = write()
    first = load_challenge(folder).version
    rules = '[board]\nentry = "best"\n[[phase]]\nname = "one"\nend = 2026-01-01T00:00:00Z\n'
    (folder / "challenge.toml").write_text(rules)
    assert load_challenge(folder).version == first
    (folder / "challenge.toml").write_text(f'title = "x"\n{rules}')
    second = load_challenge(folder).version
    (folder / "challenge.toml").write_text('title = "x"\n')
    assert first != second == load_challenge(folder).version


def test_kits_are_folders_in_order_without_hidden_ones(write: Write) -> None:
    folder = write()
    for name in ("b", "a", ".hidden", "__pycache__"):
        (folder / "submissions" / name).mkdir(parents=True)
    (folder / "submissions" / "file.txt").write_text("")
    assert [kit.name for kit in load_challenge(folder).kits] == ["a", "b"]


def test_what_is_no_challenge_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no challenge or folder is called 'higsml'"):
        load_challenge("higsml")
    with pytest.raises(UsageError, match="not a folder"):
        load_challenge(tmp_path / "absent")
    with pytest.raises(ContractError, match="no such file"):
        load_challenge(tmp_path)
