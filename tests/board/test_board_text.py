"""Strangers' text on a board is one visible, lifeless line."""

from __future__ import annotations

import platform
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.board.text import clean, csv_cell, file_stem, markdown_cell, safe_message

anything = st.text(st.characters(exclude_categories=()))


@given(anything)
def test_cleaned_text_is_one_short_line_without_unseen_characters(text: str) -> None:
    cleaned = clean(text, 20)
    assert len(cleaned) <= 20
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for c in cleaned)
    assert cleaned == cleaned.strip()
    assert clean(cleaned, 20) == cleaned
    cleaned.encode("utf-8")


@pytest.mark.parametrize(
    "name", ["two_tree_forest", "Équipe Ångström №1", "数据 队", "v1.2-rc", "Δφ (η<2.5)"]
)
def test_an_honest_name_is_kept(name: str) -> None:
    assert clean(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred", "�[31mred"),
        ("a\u202eb", "a�b"),
        ("a\u200bb", "a�b"),
        ("a\ufeff", "a�"),
        ("a\nb\tc\r\nd", "a b c d"),
        ("a\0b\ud800", "a�b�"),
        ("\u3164", "�"),
        ("x" + "\u0301" * 50, "x" + "\u0301" * 3),
        ("y" * 100_000, "y" * 59 + "…"),
    ],
)
def test_a_hostile_name_shows_what_it_is(name: str, shown: str) -> None:
    assert clean(name) == shown


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


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot open /home/alice/secret/labels.npy: denied", "cannot open labels.npy: denied"),
        ("No such file: '/data/My Folder/x.csv'", "No such file: 'x.csv'"),
        ('File "/tmp/work/classifier.py", line 3', 'File "classifier.py", line 3'),
        ("see file:///srv/x/y", "see file:y"),
        ("at C:\\Users\\me\\a.py", "at a.py"),
        ("~/private/a and ~bob", "a and ~bob"),
        ("and/or 1/2, km / h", "and/or 1/2, km / h"),
        ("fold 1: expected 3 rows, found 2", "fold 1: expected 3 rows, found 2"),
    ],
)
def test_a_message_names_no_folder(message: str, shown: str) -> None:
    assert safe_message(message) == shown


def test_of_a_traceback_only_the_error_is_kept() -> None:
    message = (
        "fold 2: Traceback (most recent call last):\n"
        '  File "/home/alice/kit/classifier.py", line 5, in fit\n    secret()\nValueError: no good\n'
    )
    assert safe_message(message) == "fold 2: ValueError: no good"


def test_a_message_does_not_name_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "node-17")
    assert safe_message("timeout on node-17 and node-171") == "timeout on (host) and node-171"


@given(anything)
def test_a_file_name_stays_in_its_folder(name: str) -> None:
    stem = file_stem(name)
    assert stem
    assert not set(stem) & set("/\\\0 ")
    assert not stem.startswith(".")
