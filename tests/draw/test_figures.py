"""Figures: equal figures are equal files, anybody's text is only text, and nothing is left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from hepchallenge.exceptions import UsageError
from hepchallenge.pictures import figure_style, new_figure, require_plots, save, write

HOSTILE = "$\\frac{x$ \\undefined{ _^ %s \x1b[31m \u202e \U0001f98b 例 " + "a\u0301" * 30 + "x" * 500


def figure_with(text: str) -> Figure:
    figure = new_figure(4, 3)
    axes = figure.add_subplot()
    axes.plot([1, 2, 4])
    write(figure, 0.1, 0.9, text)
    write(axes, 0.1, 0.5, text)
    return figure


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_equal_figures_are_equal_files(tmp_path: Path, ending: str) -> None:
    contents = []
    for name in ("a", "b"):
        with figure_style():
            contents.append(save(figure_with("x"), tmp_path / f"{name}.{ending}").read_bytes())
    assert contents[0] == contents[1]
    assert b"<dc:date>" not in contents[0]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_text_of_strangers_is_no_formula_and_has_no_unseen_signs(tmp_path: Path, ending: str) -> None:
    with figure_style():
        figure = figure_with(HOSTILE)
        assert save(figure, tmp_path / f"a.{ending}").stat().st_size > 1000
    shown = figure.texts[0].get_text()
    assert shown.startswith("$\\frac{x$ \\undefined{")
    assert len(shown) <= 110
    assert not {"\x1b", "\u202e"} & set(shown)


def test_nothing_of_the_callers_matplotlib_changes(tmp_path: Path) -> None:
    mpl.rcParams["font.size"] = 3.0
    try:
        before = dict(mpl.rcParams)
        with figure_style():
            assert mpl.rcParams["font.size"] != 3.0
            save(figure_with("x"), tmp_path / "a.png")
        assert dict(mpl.rcParams) == before
        assert plt.get_fignums() == []
    finally:
        mpl.rcParams["font.size"] = mpl.rcParamsDefault["font.size"]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with figure_style(), pytest.raises(ValueError, match=r"\.png or \.svg"):
        save(figure_with("x"), tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["matplotlib", "mplhep"])
def test_a_missing_library_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf'{name}.*pip install "hepchallenge\[plots\]"'):
        require_plots()
