"""A board as a LaTeX table: rounding of errors, what TeX would take for a command, and what stays secret."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from board_entries import TOY, board, entry
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.board.latex import latex_text, rounded, to_latex
from hepchallenge.contract import Reference

SCORES = {"auc": {"public": 0.82714, "private": 0.7654321}, "nll": {"public": 1.23456}}


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.827, 0.119, ["0.83", "0.12"]),
        (0.827, 0.367, ["0.8", "0.4"]),
        (0.827, 0.0957, ["0.83", "0.10"]),
        (0.827, 0.354, ["0.83", "0.35"]),
        (0.827, 0.355, ["0.8", "0.4"]),
        (1298.4957, 86.2, ["1300", "90"]),
        (1298.4957, 0.9996, ["1298.5", "1.0"]),
    ],
)
def test_values_are_rounded_as_the_particle_data_group_does(
    value: float, error: float, expected: list[str]
) -> None:
    assert rounded(value, [error], 3) == expected


def test_the_smallest_error_rounds_them_all() -> None:
    assert rounded(3.64321, [0.0521, None, 0.0012], 2) == ["3.6432", "0.0521", "0.0012"]


def test_without_an_error_the_precision_of_the_metric_rounds() -> None:
    assert rounded(3.64321, [None, float("nan")], 2) == ["3.64"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e5))
def test_a_rounded_value_is_within_half_a_unit_of_what_it_was(value: float, error: float) -> None:
    shown, width = rounded(value, [error], 3)
    # Two digits at most, one at least: no error is told to less than a tenth or so of itself.
    assert abs(float(shown) - value) <= 0.15 * error
    assert float(width) == pytest.approx(error, rel=0.16)


def test_a_table_shows_each_error_with_where_it_comes_from() -> None:
    one = entry(
        "one", SCORES, spread={"auc": {"public": 0.03}}, errors={"auc": {"public": 0.012}},
        training_spread={"auc": {"public": 0.02}}, trainings=2, folds=4,
    )  # fmt: skip
    text = to_latex(board(one, part="public"))
    assert r"$0.827 \pm 0.012_\mathrm{test} \pm 0.030_\mathrm{folds} \pm 0.020_\mathrm{trainings}$" in text
    assert r"\toprule" in text
    assert text.count(r"\begin{tabular}{rlrr}") == 1


def test_a_public_table_holds_no_private_score() -> None:
    text = to_latex(board(entry("one", SCORES), part="public"))
    assert "0.7654" not in text
    assert "0.765" not in text
    assert "0.765" in to_latex(board(entry("one", SCORES), part="private"))


def test_what_has_no_rank_is_not_printed() -> None:
    nan = entry("nobody", {"auc": {"public": float("nan")}})
    assert "nobody" not in to_latex(board(entry("one", SCORES), nan, part="public"))


def test_a_long_board_ends_where_a_page_would() -> None:
    many = [entry(f"kit{i}", 0.5 + i / 1000) for i in range(120)]
    text = to_latex(board(*many))
    assert text.count(" & kit") == 100
    assert "kit119" in text
    assert "% 20 more" in text


def test_toy_data_are_called_toy() -> None:
    assert "toy data" in to_latex(board(entry("one", SCORES, data=TOY), part="public"))


def test_an_unconfirmed_published_score_is_questioned() -> None:
    paper = Reference(name="A & B", metric="auc", part="test", value=0.9, source="x", confirmed=False)
    text = to_latex(board(entry("one", SCORES), part="public", references=(paper,)))
    assert r"-- & A \& B (published) & $0.900$\,? & --" in text


@given(st.text())
def test_no_sign_of_a_stranger_means_anything_to_tex(text: str) -> None:
    printed = latex_text(text)
    # What is left after our own words must hold none of TeX's special signs.
    for ours in (
        r"\\text[a-z]+\{\}",
        r"\\textbf\{\?\}",
        r"\\[{}$&#%_]",
        r"\{[-*\[\]]\}",
        r"\$\\(pm|to)\$",
        r"\\ldots\{\}",
    ):
        printed = re.sub(ours, "", printed)
    assert not set(printed) & set("\\{}$&#%_^~\n")


HOSTILE = [
    r"\input{/etc/passwd}", r"\write18{id}", "100% & more_#1 ~^", "$x$ {", "}", r"\end{tabular}", "a``b''--c",
    "[x]", "*", "-5 < 3 > |x| \"q\"", r"\\[10pt]", "^^41^^5c", "=cmd|' /C calc'!A0",
]  # fmt: skip


def has_booktabs() -> bool:
    if shutil.which("pdflatex") is None or shutil.which("kpsewhich") is None:
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_booktabs(), reason="needs pdflatex with booktabs (texlive-latex-recommended)")
def test_a_table_of_hostile_names_is_typeset(tmp_path: Path) -> None:
    entries = [entry(name, SCORES, team=name, received=i) for i, name in enumerate(HOSTILE)]
    table = to_latex(board(*entries, part="public"))
    document = (
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,textcomp}"
        f"\\begin{{document}}\n{table}\n\\end{{document}}\n"
    )
    (tmp_path / "board.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "board.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"! " not in done.stdout
