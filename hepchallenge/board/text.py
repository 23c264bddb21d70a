"""Cells and file names of a board's exports, from text that `hepchallenge.text` has made harmless."""

from __future__ import annotations

import re

__all__ = ["LARGE", "csv_cell", "file_stem", "large", "markdown_cell"]

LARGE = 1e15
"""From here on numbers are shown with a power of ten: a score of 1e308 would else fill a page."""


def large(value: float) -> str:
    """Return a large number with six digits and a power of ten."""
    return f"{value:.5e}"


def csv_cell(text: str) -> str:
    """Return cleaned text that no spreadsheet takes for a formula."""
    # The full-width signs start a formula under some Asian locales.
    signs = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"
    # Where lists are separated by semicolons, a spreadsheet begins a cell after each, quotes or not.
    text = re.sub(rf"(;[\s\"']*)(?=[{signs}])", r"\1'", text)
    return f"'{text}" if text.lstrip(" ")[:1] in tuple(signs) else text


_MARKUP = re.compile(r"[\\`*\[\]{}#!|~$@^]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=:)//|(?<=w)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_cell(text: str) -> str:
    """Return cleaned text that Markdown shows as it is: no cell border, markup, HTML or link."""
    escaped = _MARKUP.sub(lambda match: f"\\{match.group(0)}", text)
    return re.sub("[&<>]", lambda match: _ENTITIES[match.group(0)], escaped)


def file_stem(name: str) -> str:
    """Return `name` as the plain first part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "challenge"
