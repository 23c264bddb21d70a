"""Strangers' text made harmless: one line, visible characters only, no formulas, no markup, no paths.

Names and messages come from participants. On a board they must not move the cursor, turn the reading
direction, run as a spreadsheet's formula, become a link, or tell where files lie on the organiser's host.
"""

from __future__ import annotations

import platform
import re
import unicodedata

__all__ = ["clean", "csv_cell", "file_stem", "markdown_cell", "safe_message"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Letters and symbols by category, yet drawn as nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_MOST_MARKS = 3


def clean(text: str, limit: int = 60) -> str:
    """Return `text` as one line of at most `limit` visible characters.

    Control, direction, zero-width, unassigned and blank characters become U+FFFD, so that two names that
    differ only in what cannot be seen do not look alike; whitespace runs become one space; more than three
    accents on a letter are dropped; what is too long ends in an ellipsis.
    """
    kept: list[str] = []
    marks = 0
    # What is far too long is cut first, so that its price is bounded.
    for character in text[: 20 * limit]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if character.isspace() or category == "Zs":
            if kept and kept[-1] != " ":
                kept.append(" ")
        elif category in _UNSEEN_CATEGORIES or character in _BLANK or "\ufe00" <= character <= "\ufe0f":
            kept.append(_REPLACEMENT)
        elif marks <= _MOST_MARKS:
            kept.append(character)
    line = "".join(kept).strip()
    if len(line) > limit or len(text) > 20 * limit:
        line = line[: limit - 1].rstrip() + "…"
    return line


_QUOTED_PATH = re.compile(r"""(["'`])(?:~|[A-Za-z]:|file:)?[/\\][^"'`\n]*[/\\]([^"'`\n/\\]*)\1""")
_BARE_PATH = re.compile(
    r"""(?:(?<=^)|(?<=[\s"'`(\[{<=,:;|]))(?:~|[A-Za-z]:)?(?:[/\\]+[^\s"'`/\\:,;)\]}>|]+)+[/\\]?"""
)
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):", re.IGNORECASE)


def _last_name(match: re.Match[str]) -> str:
    return re.split(r"[/\\]", match.group(0).rstrip("/\\"))[-1]


def safe_message(message: str, limit: int = 200) -> str:
    """Return a message as one line without traceback, folders or this host's name.

    Of a traceback only what stands before it and its last line, the error itself, are kept; of a path
    only its last component.
    """
    message = message[:100_000]
    trace = _TRACEBACK.search(message)
    if trace:
        lines = [line for line in message[trace.end() :].splitlines() if line.strip()]
        message = f"{message[: trace.start()]} {lines[-1] if lines else ''}"
    message = _QUOTED_PATH.sub(r"\1\2\1", message)
    message = _BARE_PATH.sub(_last_name, message)
    host = platform.node()
    if len(host) > 3:
        message = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "(host)", message)
    return clean(message, limit)


def csv_cell(text: str) -> str:
    """Return cleaned text that no spreadsheet takes for a formula."""
    # The full-width signs start a formula under some Asian locales.
    signs = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"
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
