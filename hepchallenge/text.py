"""Strangers' text made harmless for whoever reads it: in a terminal, on a page, on a board.

Names, messages and logs come from participants. Shown, they must not move the cursor, turn the reading
direction, hide behind what cannot be seen, become markup, or tell where files lie on the organiser's
host.
"""

from __future__ import annotations

import html
import platform
import re
import unicodedata

__all__ = ["clean", "html_text", "safe_message", "safe_text", "without_unseen"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Letters and symbols by category, yet drawn as nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_MOST_MARKS = 3
# Visible ASCII, blanks, line ends: nearly all that is ever printed, and nothing to look at closely.
_PLAIN = re.compile(r"[\n\t -~]*")
_PLAIN_LINE = re.compile(r"(?:[!-~]+(?: [!-~]+)*)?")


def _is_unseen(character: str, category: str) -> bool:
    return category in _UNSEEN_CATEGORIES or character in _BLANK or "\ufe00" <= character <= "\ufe0f"


def without_unseen(text: str) -> str:
    """Return `text` without the characters that nobody sees; whitespace other than blanks goes too."""
    return "".join(c for c in text if not _is_unseen(c, unicodedata.category(c)))


def safe_text(text: str | bytes) -> str:
    """Return a stranger's text of any number of lines so that it is text and nothing else.

    Bytes are read as UTF-8. Line ends of every kind become newlines (also the lone carriage returns with
    which progress bars overwrite their line, so that nothing printed can be covered); newlines and tabs
    stay; escape and all other control, direction, zero-width, unassigned and blank characters, and bytes
    that are no UTF-8, become U+FFFD; more than three accents on a letter are dropped.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _PLAIN.fullmatch(text):
        return text
    kept: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if character in "\n\t":
            kept.append(character)
        elif _is_unseen(character, category):
            kept.append(_REPLACEMENT)
        elif marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def html_text(text: str | bytes) -> str:
    """Return a stranger's text, safe as by `safe_text`, as the content of an HTML element or attribute."""
    return html.escape(safe_text(text))


def clean(text: str, limit: int = 60) -> str:
    """Return `text` as one line of at most `limit` visible characters.

    Control, direction, zero-width, unassigned and blank characters become U+FFFD, so that two names that
    differ only in what cannot be seen do not look alike; whitespace runs become one space; more than three
    accents on a letter are dropped; what is too long ends in an ellipsis.
    """
    if len(text) <= limit and _PLAIN_LINE.fullmatch(text):
        return text
    kept: list[str] = []
    marks = 0
    # What is far too long is cut first, so that its price is bounded.
    for character in text[: 20 * limit]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if character.isspace() or category == "Zs":
            if kept and kept[-1] != " ":
                kept.append(" ")
        elif _is_unseen(character, category):
            kept.append(_REPLACEMENT)
        elif marks <= _MOST_MARKS:
            kept.append(character)
    line = "".join(kept).strip()
    if len(line) > limit or len(text) > 20 * limit:
        line = line[: limit - 1].rstrip() + "…"
    return line


_QUOTED_PATH = re.compile(r"""(["'`])(?:~|[A-Za-z]:|file:)?[/\\][^"'`\n]*[/\\]([^"'`\n/\\]*)\1""")
_BARE_PATH = re.compile(r"""(?<![\w./\\)\]}%])(?:~|[A-Za-z]:)?(?:[/\\]+[^\s"'`/\\:,;)\]}>|]+)+[/\\]?""")
_TRACEBACK = re.compile(
    r"Traceback\W{1,9}(?:most\s+recent\s+call|innermost)\W{1,9}last\W{0,9}", re.IGNORECASE
)
_FRAME = re.compile(r"""File (?:"[^"]*"|'[^']*'), line \d+(?:, in \S+)?""")
_ERROR = re.compile(r"(?<!\w)[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning)(?=:|\s|$)")


def _last_name(match: re.Match[str]) -> str:
    return re.split(r"[/\\]", match.group(0).rstrip("/\\"))[-1]


def _without_traceback(message: str) -> str:
    """Return what stands before the first traceback and, of the last one, the error itself."""
    markers = list(_TRACEBACK.finditer(message))
    if not markers:
        return message
    lines = [line for line in message[markers[-1].end() :].splitlines() if any(map(str.isalnum, line))]
    error = lines[-1] if lines else ""
    # Lines may have been joined before. The code of the last frame follows it, and then the error.
    if frames := list(_FRAME.finditer(error)):
        error = error[frames[-1].end() :]
        found = list(_ERROR.finditer(error))
        told = [at for at in found if error[at.end() : at.end() + 1] == ":"] or found[-1:]
        error = error[told[0].start() :] if told else ""
    return f"{message[: markers[0].start()]} {error}"


def safe_message(message: str, limit: int = 200) -> str:
    """Return a message as one line without traceback, folders or this host's name.

    Of a traceback only what stands before it and its last line, the error itself, are kept; of a path
    only its last component.
    """
    message = _without_traceback(message[:100_000])
    message = _QUOTED_PATH.sub(r"\1\2\1", message)
    message = _BARE_PATH.sub(_last_name, message)
    host = platform.node()
    if len(host) > 3:
        message = re.sub(rf"(?<!\w){re.escape(host)}(?!\w)", "(host)", message)
    return clean(message, limit)
