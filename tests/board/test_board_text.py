"""Strangers' text on a board is one visible, lifeless line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.board.text import csv_cell, file_stem, markdown_cell
from hepchallenge.text import clean

anything = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    "formula", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", " =1", "\uff1d1", "\uff0d1"]
)
def test_no_cell_is_a_formula(formula: str) -> None:
    assert csv_cell(formula) == f"'{formula}"


def test_an_honest_cell_is_kept() -> None:
    assert [csv_cell(text) for text in ("kit", "a=b", "")] == ["kit", "a=b", ""]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("[x](y)", r"\[x\](y)"),
        ("`c` *i* ~s~", r"\`c\` \*i\* \~s\~"),
        ("my_kit _i_", r"my_kit \_i\_"),
        ("@all #1 $x$", r"\@all \#1 \$x\$"),
        ("https://x.y", r"https:\//x.y"),
        ("www.x.y", r"www\.x.y"),
        ("back\\|slash", r"back\\\|slash"),
    ],
)
def test_markdown_shows_the_characters_themselves(text: str, shown: str) -> None:
    assert markdown_cell(text) == shown


@given(anything)
def test_markdown_never_ends_a_cell_or_opens_a_tag(text: str) -> None:
    cell = markdown_cell(clean(text))
    assert "<" not in cell
    assert ">" not in cell
    unescaped = cell.replace("\\\\", "").replace("\\|", "")
    assert "|" not in unescaped


@given(anything)
def test_a_file_name_stays_in_its_folder(name: str) -> None:
    stem = file_stem(name)
    assert stem
    assert not set(stem) & set("/\\\0 ")
    assert not stem.startswith(".")
