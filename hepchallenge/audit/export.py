"""What a public export holds, byte by byte: no score, path, host or trace that is not the public's."""

from __future__ import annotations

import contextlib
import csv
import getpass
import json
import math
import platform
import re
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hepchallenge.board import EXPORTERS, Board, export
from hepchallenge.findings import Answer, Status, fine
from hepchallenge.records import BoardEntry

__all__ = ["check_columns", "check_host", "check_scores", "exported_files", "host_words", "split_scores"]

Files = Mapping[str, bytes]

_NUMBER = re.compile(rb"(?<![\w.])-?\d+\.\d{4,}(?:[eE][+-]?\d+)?(?![\w.])")
_UNLIKELY = 0.01
_SHORT = 4
_TRACE = "Traceback (most recent call last)"
_ORDINARY = frozenset({"root", "user", "test", "home", "data", "localhost", "local"})


def exported_files(board: Board) -> dict[str, bytes]:
    """Return what `hepchallenge board --export` writes for a board, tables and site, by name of the file."""
    from hepchallenge.board.site import export_site

    with tempfile.TemporaryDirectory(prefix="hepchallenge-audit-") as folder:
        export(board, Path(folder), EXPORTERS)
        export_site([board], Path(folder))
        written = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in written}


def _all_scores(entry: BoardEntry) -> Iterator[tuple[str, float]]:
    """Yield part and value of every number about a score that is recorded of an entry."""
    scoring = entry.scoring
    tables = (scoring.scores, scoring.spread, scoring.training_spread, scoring.errors, *scoring.fold_scores)
    for table in tables:
        for by_part in table.values():
            yield from by_part.items()


def split_scores(
    entries: Sequence[BoardEntry], shown: Iterable[str], told: Iterable[BoardEntry] | None = None
) -> tuple[list[float], list[float]]:
    """Return the scores that a board may show, and those that it must not.

    Parameters
    ----------
    entries
        All that is recorded.
    shown
        Parts that the board may show.
    told
        The entries with the scores that its rules leave them; what these do not have is hidden, too. By
        default `entries`.
    """
    parts = set(shown)
    public = [
        float(value)
        for entry in (entries if told is None else told)
        for part, value in _all_scores(entry)
        if part in parts and math.isfinite(value)
    ]
    known = set(public)
    secret = [
        float(value)
        for entry in entries
        for part, value in _all_scores(entry)
        if math.isfinite(value) and (part not in parts or value not in known)
    ]
    for entry in entries:
        public += [entry.wall_seconds, entry.cpu_seconds, entry.gpu_seconds]
    return public, secret


def _significant(text: str) -> int:
    """Return the number of significant digits of a number as it is written."""
    return len(text.lower().partition("e")[0].lstrip("-").replace(".", "").lstrip("0"))


def _decimals(text: str) -> int:
    """Return to how many decimals a number is written; fewer if it has a power of ten."""
    digits, _, power = text.lower().partition("e")
    return len(digits.partition(".")[2]) - int(power or 0)


class _Rounded:
    """Tells whether a number, as it is written, is one of many values rounded."""

    def __init__(self, values: Iterable[float]) -> None:
        self._values = sorted(set(values))

    def holds(self, text: str) -> bool:
        number = float(text)
        margin = 0.5 * 10.0 ** -_decimals(text) * (1 + 1e-9) + 4e-16 * abs(number)
        place = bisect_left(self._values, number - margin)
        return place < len(self._values) and self._values[place] <= number + margin

    def coincidences(self, texts: Sequence[str], decimals: int) -> float:
        """Return how many numbers of so many decimals would equal a value if they fell by chance."""
        low, high = self._values[0], self._values[-1]
        spread = max(high - low, 0.1 * max(abs(low), abs(high)))
        inside = sum(1 for text in texts if low - spread <= float(text) <= high + spread)
        return inside * len(self._values) * 10.0**-decimals / spread


def check_scores(files: Files, public: Iterable[float], secret: Sequence[float]) -> Answer:
    """Look for scores of hidden parts among the numbers of an export.

    Every number with at least four decimals that is a hidden score, rounded to as many, and no public one.
    It is a failure if chance would hardly make it so, and a warning if it may be a coincidence.
    """
    if not secret:
        return fine("nothing is hidden: there is no private score")
    # Short ones, such as 0.5, are found everywhere.
    telling = [value for value in secret if value and _significant(repr(value)) >= _SHORT]
    where = f"{len(telling)} hidden numbers in {len(files)} files"
    if not telling:
        return fine(f"none of {where}")
    hidden, known = _Rounded(telling), _Rounded(public)
    written = {
        text: name
        for name, content in files.items()
        for text in (match.decode() for match in set(_NUMBER.findall(content)))
        if _significant(text) >= _SHORT
    }
    found = [text for text in written if hidden.holds(text) and not known.holds(text)]
    sure = [
        text
        for text in found
        if hidden.coincidences([t for t in written if _decimals(t) >= _decimals(text)], _decimals(text))
        < _UNLIKELY
    ]
    if sure:
        fact = f"{len(sure)} of {where}, such as {sure[0]} in {written[sure[0]]}"
        return Status.FAIL, fact, "do not publish this export; report it"
    if found:
        example = f"such as {found[0]} in {written[found[0]]}"
        fact = f"{len(found)} numbers equal hidden scores as far as they are written, {example}"
        return Status.WARN, fact, "see whether it is a coincidence"
    return fine(f"none of {where}")


def host_words(places: Mapping[str, Path]) -> dict[str, str]:
    """Return what would tell of this host, by what it is: paths, its name, and its user's name."""
    words = {f"the path of the {what}": str(path.absolute()) for what, path in places.items()}
    words["the path of the home folder"] = str(Path.home())
    words["the path of temporary files"] = str(Path(tempfile.gettempdir()) / "hepchallenge")
    words["the host's name"] = platform.node()
    # A user without a name has none to tell.
    with contextlib.suppress(OSError, KeyError):
        words["the user's name"] = getpass.getuser()
    # A name that is an ordinary word says nothing where it stands alone.
    return {
        what: word
        for what, word in words.items()
        if len(word) >= _SHORT
        and word.casefold() not in _ORDINARY
        and word.strip("/").casefold() not in _ORDINARY
    }


def check_host(files: Files, words: Mapping[str, str]) -> Answer:
    """Look for paths, names of host and user, and Python's traces in an export, also as JSON and HTML."""
    found = []
    for name, content in files.items():
        text = content.decode("utf-8", "replace")
        # A backslash before a slash is how some write one in JSON.
        text = text.replace("\\/", "/")
        found += [f"{what} in {name}" for what, word in words.items() if _stands_in(word, text)]
        if _TRACE in text:
            found.append(f"a Python trace in {name}")
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return Status.FAIL, "; ".join(found[:3]) + more, "do not publish this export; report it"
    return fine(f"no path, host, user or trace in {len(files)} files ({sum(map(len, files.values()))} bytes)")


def _stands_in(word: str, text: str) -> bool:
    if word not in text:
        return False
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _keys(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{prefix}{key}"
            yield from _keys(item, f"{prefix}{key}.")
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, prefix)


def check_columns(files: Files, secret_parts: Iterable[str]) -> Answer:
    """Tell the columns that the tables of an export have, and look whether one is of a hidden part."""
    columns: list[str] = []
    for name, content in files.items():
        if name.endswith(".csv"):
            columns += next(csv.reader([content.decode().split("\n", 1)[0]]), [])
    keys = {
        key
        for name, content in files.items()
        if name.endswith(".json")
        for key in _keys(json.loads(content))
        if ".scores." in key
    }
    hidden = set(secret_parts)
    found = [column for column in columns if hidden & set(column.split())]
    found += sorted(key for key in keys if key.rpartition(".")[2] in hidden)
    if found:
        return (
            Status.FAIL,
            f"of hidden parts: {', '.join(found[:5])}",
            "do not publish this export; report it",
        )
    return fine(f"{', '.join(files)}; columns: {', '.join(dict.fromkeys(columns))}")
