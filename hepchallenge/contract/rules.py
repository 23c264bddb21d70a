"""Rules of a board: which submissions stand for a team, how many it may send, what is revealed when."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from hepchallenge.contract.reader import TableReader, read_document, show
from hepchallenge.exceptions import UsageError

__all__ = ["ONE_CLASS", "SCHEMA", "BoardRules", "Phase", "duration", "read_rules", "take_rules"]

SCHEMA = Path(__file__).parent / "schemas" / "board-rules.schema.json"
"""JSON schema of what `[board]` and `[[phase]]` may hold; date-times as strings."""

ONE_CLASS = "one"
"""A `host_class` that is any, as long as it is the same for all."""

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_MOST_SECONDS = 1e8
_MOST_REPLICAS = 100_000


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A span of time in which submissions are received, with its own quotas; None is no limit."""

    name: str
    start: datetime | None = None
    """Aware; the first moment of the phase."""
    end: datetime | None = None
    """Aware; the first moment after it."""
    submissions: int | None = None
    """How many a team may send in the phase."""
    per_day: int | None = None
    """How many a team may send on one day, in UTC."""
    interval: timedelta | None = None
    """The least time between two submissions of a team."""


@dataclass(frozen=True, kw_only=True)
class BoardRules:
    """What `[board]` and `[[phase]]` of challenge.toml say; the defaults are no rules."""

    entry: Literal["best", "last", "chosen", "all"] = "all"
    """What is ranked of a team: its best by the public board, its last, those it chose, or all."""
    most_chosen: int = 2
    """How many submissions a team may choose."""
    reveal: datetime | None = None
    """Aware; from then on an exported board shows the private part too."""
    ladder: bool = False
    """Whether the public board follows the Ladder of Blum and Hardt."""
    ladder_step: float | None = None
    """The fixed step of the Ladder; None for its parameter-free version."""
    confidence: float = 0.95
    """Coverage of intervals of ranks."""
    replicas: int = 1000
    """How many bootstrap replicas are made of the official score, for errors and ranks; 0 makes none."""
    show_logs: bool = False
    """Whether an exported board shows the end of what a submission printed."""
    host_class: str = ""
    """On which hosts a ranked run was: a model of processor as records tell it, `one` for any one of them,
    or empty for no matter which."""
    exclusive_cores: bool = False
    """Whether every fold of a ranked run had its cores for itself."""
    phases: tuple[Phase, ...] = ()
    """In order of time, none beginning before the one before it has ended."""


def _moment(reader: TableReader, key: str) -> datetime | None:
    """Take a date and time that names its offset: a clock without one is another moment on every host."""
    value = reader.take_any(key)
    if value is None:
        return None
    expected = "a date and time with its offset, such as 2026-05-04T09:00:00+02:00"
    if not isinstance(value, datetime):
        raise reader.error(key, expected, show(value))
    if value.utcoffset() is None:
        raise reader.error(key, expected, f"{value.isoformat()}, which has no offset")
    return value


def _interval(reader: TableReader, key: str) -> timedelta | None:
    value = reader.take_any(key)
    if value is None:
        return None
    if isinstance(value, str):
        written = re.fullmatch(r"([1-9][0-9]{0,4}) ?(s|min|h|d)", value)
        if written:
            return timedelta(seconds=int(written[1]) * _UNITS[written[2]])
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_SECONDS:
        return timedelta(seconds=value)
    expected = (
        f'a number of seconds above 0 and up to {_MOST_SECONDS:g}, or a text such as "10 min" (s, min, h, d)'
    )
    raise reader.error(key, expected, show(value))


def _count(reader: TableReader, key: str) -> int | None:
    value: int | None = reader.take(key, int)
    if value is not None and value < 1:
        raise reader.error(key, "a whole number from 1", show(value))
    return value


def _take_board(reader: TableReader) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "entry" in reader.table:
        values["entry"] = reader.choice("entry", ("best", "last", "chosen", "all"))
    reader.taken.append("entry")
    values["most_chosen"] = _count(reader, "most_chosen")
    if values["most_chosen"] is not None and values.get("entry") != "chosen":
        raise reader.error("most_chosen", 'entry = "chosen" beside it', show(values.get("entry", "all")))
    values["reveal"] = _moment(reader, "reveal")
    values["ladder"] = reader.take("ladder", bool)
    values["ladder_step"] = step = reader.take("ladder_step", float)
    if step is not None:
        if step <= 0:
            raise reader.error("ladder_step", "a number above 0", show(step))
        if not values["ladder"]:
            raise reader.error("ladder_step", "ladder = true beside it", "no Ladder")
        values["ladder_step"] = float(step)
    values["confidence"] = confidence = reader.take("confidence", float)
    if confidence is not None and not 0.5 <= confidence < 1:
        raise reader.error("confidence", "a number from 0.5 to below 1", show(confidence))
    values["replicas"] = replicas = reader.take("replicas", int)
    if replicas is not None and not 0 <= replicas <= _MOST_REPLICAS:
        raise reader.error("replicas", f"a whole number from 0 to {_MOST_REPLICAS}", show(replicas))
    values["show_logs"] = reader.take("show_logs", bool)
    if "host_class" in reader.table:
        values["host_class"] = " ".join(reader.text("host_class", required=True).split())
    reader.taken.append("host_class")
    values["exclusive_cores"] = reader.take("exclusive_cores", bool)
    reader.finish()
    return {key: value for key, value in values.items() if value is not None}


def _take_phase(reader: TableReader) -> Phase:
    phase = Phase(
        name=reader.text("name", required=True),
        start=_moment(reader, "start"),
        end=_moment(reader, "end"),
        submissions=_count(reader, "submissions"),
        per_day=_count(reader, "per_day"),
        interval=_interval(reader, "interval"),
    )
    reader.finish()
    if phase.start is not None and phase.end is not None and phase.end <= phase.start:
        raise reader.error("end", f"a moment after the start, {phase.start}", str(phase.end))
    return phase


def duration(span: timedelta) -> str:
    """Return a span of time in words, in the largest unit of which it is a multiple."""
    seconds = span.total_seconds()
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def take_rules(reader: TableReader) -> BoardRules:
    """Take the tables `[board]` and `[[phase]]` out of a document; without them there are no rules.

    Raises
    ------
    ContractError
        If a key is unknown, a value has the wrong type or range, a moment lacks its offset, or phases have
        the same name, are out of order or overlap.
    """
    board = reader.table_at("board")
    values = {} if board is None else _take_board(board)
    tables = reader.tables_at("phase")
    phases = [_take_phase(table) for table in tables]
    for number, (before, after) in enumerate(itertools.pairwise(phases), start=1):
        table = tables[number]
        if before.end is None:
            raise tables[number - 1].error("end", f"an end, since phase {after.name!r} follows", "none")
        if after.start is None:
            raise table.error("start", f"a start, since phase {before.name!r} comes before", "none")
        if after.start < before.end:
            expected = f"no start before the end of phase {before.name!r}, {before.end}"
            raise table.error("start", expected, str(after.start))
        if after.name in [phase.name for phase in phases[:number]]:
            raise table.error("name", "every name once", f"{after.name!r} twice")
    return BoardRules(**values, phases=tuple(phases))


def read_rules(file: Path) -> BoardRules:
    """Read a file of rules: the same two tables that `challenge.toml` may hold, and nothing else.

    Raises
    ------
    UsageError
        If there is no such file.
    ContractError
        As by `take_rules`; also for any other table or key.
    """
    try:
        reader = read_document(file)
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file of rules") from None
    rules = take_rules(reader)
    reader.finish()
    return rules
