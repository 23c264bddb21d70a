"""Cells and file names of a board's exports, and the harmless text that they are made from."""

from __future__ import annotations

import re
from functools import lru_cache

from hepchallenge import text
from hepchallenge.records import Verdict

__all__ = ["LARGE", "cleaned", "csv_cell", "file_stem", "large", "markdown_cell", "said", "told_of"]

LARGE = 1e15
"""From here on numbers are shown with a power of ten: a score of 1e308 would else fill a page."""


def large(value: float) -> str:
    """Return a large number with six digits and a power of ten."""
    return f"{value:.5e}"


@lru_cache(maxsize=200_000)
def cleaned(words: str, limit: int = 60) -> str:
    """Return one harmless line, as `hepchallenge.text.clean` does; once for words that many rows have."""
    return text.clean(words, limit)


@lru_cache(maxsize=20_000)
def said(message: str, limit: int = 200) -> str:
    """Return a message as `hepchallenge.text.safe_message` does; once for those that many rows have."""
    return text.safe_message(message, limit)


def told_of(verdict: str, message: str) -> str:
    """Return the message of a verdict as everybody may read it.

    What the host failed at is the organiser's business: it names hosts, addresses and folders of theirs.
    """
    if verdict == Verdict.INFRASTRUCTURE:
        return "failed on the organiser's side; it costs the team nothing"
    return message


# The full-width signs start a formula under some Asian locales.
_SIGNS = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
_LATER_FORMULA = re.compile(rf"(;[\s\"']*)(?=[{''.join(_SIGNS)}])")


def csv_cell(text: str) -> str:
    """Return cleaned text that no spreadsheet takes for a formula."""
    # Where lists are separated by semicolons, a spreadsheet begins a cell after each, quotes or not.
    if ";" in text:
        text = _LATER_FORMULA.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" ").startswith(_SIGNS) else text


_MARKUP = re.compile(r"[\\`*\[\]{}#!|~$@^]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)//|(?<=w)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_cell(text: str) -> str:
    """Return cleaned text that Markdown shows as it is: no cell border, markup, HTML or link."""
    escaped = _MARKUP.sub(lambda match: f"\\{match.group(0)}", text)
    return re.sub("[&<>]", lambda match: _ENTITIES[match.group(0)], escaped)


def file_stem(name: str) -> str:
    """Return `name` as the plain first part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "challenge"
