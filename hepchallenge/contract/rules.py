"""Rules of a board: which submissions stand for a team, how many it may send, what is revealed when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

__all__ = ["BoardRules", "Phase"]


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
    show_logs: bool = False
    """Whether an exported board shows the end of what a submission printed."""
    phases: tuple[Phase, ...] = ()
    """In order of time, none beginning before the one before it has ended."""
