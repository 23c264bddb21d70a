"""Columns and cells of the site's table: what a program sorts by, and the words that people read."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hepchallenge.board.text import LARGE, large

__all__ = ["Column", "Kind", "Value", "cell_classes", "cell_text", "fixed", "grouped"]

Kind = Literal[
    "rank",
    "range",
    "tie",
    "chance",
    "move",
    "name",
    "text",
    "verdict",
    "score",
    "count",
    "seconds",
    "memory",
    "time",
]

Value = Any
"""A cell: null, a number, a text, or a list as its column's kind says (see `Column`)."""

_NUMBERS = ("rank", "range", "chance", "move", "score", "count", "seconds", "memory")
_FIGURE_SPACE = "\u2007"
_NARROW_SPACE = "\u202f"
_MINUS = "\u2212"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its cells are null where there is nothing to say.

    Cells by kind: `range` two ranks, first and last; `tie` a number of a group; `chance` a probability;
    `move` ranks gained; `name` a list of a name and of marks that tell it apart; `score` a list of a value
    and, if known, its error; `seconds`, and `memory` in bytes; `time` a text in ISO 8601 that sorts as
    it is read; all others a number or a text.
    """

    key: str
    label: str
    kind: Kind
    note: str = ""
    """Said below the label: a unit, or what an error is."""
    digits: int = 0
    """Decimals of a score."""
    pad: int = 0
    """Characters of the longest error in the column, so that decimals stand below each other."""
    down: bool = False
    """Whether the largest comes first when one sorts by this column."""
    shown: bool = True
    """Whether the column is there before one asks for it."""

    def to_dict(self) -> dict[str, Any]:
        """Return what the page's script needs to know."""
        return asdict(self)

    @property
    def is_number(self) -> bool:
        """Whether cells stand at the right."""
        return self.kind in _NUMBERS


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals and a true minus sign; never a negative zero.

    A tie goes to the even digit, as everywhere in this package. From 1e15 on it has a power of ten.
    """
    text = f"{value:.{digits}f}" if abs(value) < LARGE else large(value)
    if text.startswith("-"):
        text = text[1:] if float(text) == 0 else _MINUS + text[1:]
    return text


def grouped(value: int) -> str:
    """Return a whole number, in groups of three from five digits on."""
    text = f"{value:,}".replace(",", _NARROW_SPACE) if abs(value) >= 10_000 else str(value)
    return text.replace("-", _MINUS)


def cell_text(column: Column, cell: Value) -> str:
    """Return a cell as people read it; the page's script writes the same characters.

    The error of a score is padded with blanks as wide as digits to `column.pad` characters, and one digit
    longer than the score: it is of interest when it is small.
    """
    if cell is None:
        return "–" if column.kind == "rank" else ""
    match column.kind:
        case "range":
            return str(cell[0]) if cell[0] == cell[1] else f"{cell[0]}–{cell[1]}"
        case "tie":
            return f"tied, group {cell}"
        case "chance":
            return f"{fixed(100 * cell, 0)} %"
        case "move":
            return f"▲ {cell}" if cell > 0 else f"▼ {-cell}" if cell < 0 else "="
        case "name":
            return " ".join(cell)
        case "score":
            return _score(column, *cell)
        case "seconds":
            return fixed(cell, 1)
        case "memory":
            return fixed(cell / 1024**2, 0)
        case "time":
            return str(cell)[:16].replace("T", " ")
        case "verdict":
            return str(cell).replace("_", " ")
        case "count":
            return grouped(cell)
    return str(cell)


def error_text(error: float, digits: int) -> str:
    """Return what follows a score's digits: plus or minus its error."""
    return f" ± {fixed(error, digits + 1)}"


def _score(column: Column, value: float, error: float | None = None) -> str:
    text = fixed(value, column.digits)
    after = "" if error is None or not math.isfinite(error) else error_text(error, column.digits)
    return text + after.ljust(column.pad, _FIGURE_SPACE)


def cell_classes(column: Column) -> str:
    """Return the CSS classes of a column's cells."""
    return f"{'number ' if column.is_number else ''}kind-{column.kind}"
