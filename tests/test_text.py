"""Strangers' text is text and nothing else, wherever it is shown."""

from __future__ import annotations

import platform
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.text import clean, html_text, safe_message, safe_text

anything = st.text(st.characters(exclude_categories=()))
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(anything)
def test_safe_text_holds_nothing_that_acts_on_a_terminal(text: str) -> None:
    safe = safe_text(text)
    assert not any(unicodedata.category(c) in UNSEEN for c in safe if c not in "\n\t")
    assert safe_text(safe) == safe
    safe.encode("utf-8")


@given(st.binary())
def test_bytes_of_any_kind_become_safe_text(content: bytes) -> None:
    assert not any(unicodedata.category(c) in UNSEEN for c in safe_text(content) if c not in "\n\t")


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("two\n\tlines of Ünïcode 数据\n", "two\n\tlines of Ünïcode 数据\n"),
        ("\x1b[2J\x1b]0;title\x07\x9b1m", "�[2J�]0;title��1m"),
        ("\x1b]8;;http://x\x1b\\", "�]8;;http://x�\\"),
        (" 10%\r 20%\r\nend", " 10%\n 20%\nend"),
        ("user\u202egnp.exe\u2066\u200b", "user�gnp.exe��"),
        ("a\x85b\u2028c\x08d\x7f", "a�b�c�d�"),
        (b"\xff\xc3(\xc3\xa9", "��(é"),
        ("x" + "\u0301" * 50, "x" + "\u0301" * 3),
    ],
)
def test_what_was_printed_is_shown_line_by_line(printed: str | bytes, shown: str) -> None:
    assert safe_text(printed) == shown


@given(anything)
def test_html_text_opens_no_tag_entity_or_attribute(text: str) -> None:
    escaped = html_text(text)
    assert not set(escaped) & set("<>\"'\x1b")
    rest = escaped
    for entity in ("&lt;", "&gt;", "&quot;", "&#x27;", "&amp;"):
        rest = rest.replace(entity, "")
    assert "&" not in rest


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
    ("message", "shown"),
    [
        ("cannot open /home/alice/secret/labels.npy: denied", "cannot open labels.npy: denied"),
        ("No such file: '/data/My Folder/x.csv'", "No such file: 'x.csv'"),
        ('File "/tmp/work/classifier.py", line 3', 'File "classifier.py", line 3'),
        ("see file:///srv/x/y", "see file:y"),
        ("at C:\\Users\\me\\a.py", "at a.py"),
        ("~/private/a and ~bob", "a and ~bob"),
        ("-/srv/x/y *\\\\host\\share\\z", "-y *z"),
        ("shape (3,)/(4,), [a]/b and 5 %/h", "shape (3,)/(4,), [a]/b and 5 %/h"),
        ("and/or 1/2, km / h", "and/or 1/2, km / h"),
        ("fold 1: expected 3 rows, found 2", "fold 1: expected 3 rows, found 2"),
    ],
)
def test_a_message_names_no_folder(message: str, shown: str) -> None:
    assert safe_message(message) == shown


TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/home/alice/kit/classifier.py", line 5, in fit\n    secret()\nValueError: no good\n'
)


@pytest.mark.parametrize(
    "trace",
    [
        TRACE,
        " ".join(TRACE.split()),
        f"{TRACE}\nDuring handling of the above exception, another exception occurred:\n\n{TRACE}",
        " ".join(f"{TRACE}\nThe above exception was the direct cause of:\n{TRACE}".split()),
        TRACE.replace("k (most", "k\u200b  (most").replace("last):", "last)"),
        TRACE.replace("most recent call", "innermost"),
        f"{TRACE[:-1]} Traceback (most recent call last): ValueError: no good",
        f"{TRACE}    +----------------------------------\n",
    ],
)
def test_of_tracebacks_only_the_last_error_is_kept(trace: str) -> None:
    assert safe_message(f"fold 2: {trace}") == "fold 2: ValueError: no good"


def test_a_traceback_that_is_cut_off_names_no_file() -> None:
    assert safe_message(" ".join(TRACE.split()[:9])) == ""


def test_a_message_does_not_name_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "node-17")
    assert safe_message("timeout on node-17 and node-171") == "timeout on (host) and node-171"
