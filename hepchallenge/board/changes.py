"""What became other on a board, such as by scoring again: ranks, scores and verdicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hepchallenge.board.ranking import Board, RankedRow
from hepchallenge.board.text import LARGE, large
from hepchallenge.text import clean

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Change", "changes", "changes_to_terminal"]

_MOST_DECIMALS = 17


@dataclass(frozen=True, kw_only=True)
class Change:
    """One submission whose rank, score or verdict is another; None where there is none, or no row of it."""

    name: str
    digest: str
    rank_before: int | None
    rank_after: int | None
    score_before: float | None
    score_after: float | None
    verdict_before: str | None
    verdict_after: str | None

    @property
    def is_one(self) -> bool:
        """Whether anything differs."""
        return (self.rank_before, self.score_before, self.verdict_before) != (
            self.rank_after,
            self.score_after,
            self.verdict_after,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the change as a plain mapping."""
        return asdict(self)


def changes(before: Board, after: Board) -> tuple[Change, ...]:
    """Return what differs between two boards of one challenge that rank by the same part.

    Parameters
    ----------
    before, after
        The boards; submissions are the same if name and digest are.

    Returns
    -------
    tuple of Change
        Only submissions whose rank, unrounded score or verdict differs; in the order of `after`, then those
        that only `before` has.
    """
    old, new = _by_submission(before), _by_submission(after)
    found = [
        Change(
            name=name,
            digest=digest,
            rank_before=was.rank if was else None,
            rank_after=now.rank if now else None,
            score_before=was.value if was else None,
            score_after=now.value if now else None,
            verdict_before=_verdict(was),
            verdict_after=_verdict(now),
        )
        for name, digest in [*new, *(key for key in old if key not in new)]
        for was, now in [(old.get((name, digest)), new.get((name, digest)))]
    ]
    return tuple(change for change in found if change.is_one)


def _by_submission(board: Board) -> dict[tuple[str, str], RankedRow]:
    return {(row.entry.submission.name, row.entry.submission.digest): row for row in board.rows}


def _verdict(row: RankedRow | None) -> str | None:
    return None if row is None else row.entry.scoring.verdict.value


def changes_to_terminal(found: tuple[Change, ...], board: Board, console: Console) -> None:
    """Print what differs as a table, or that nothing does.

    Parameters
    ----------
    found
        What `changes` returned.
    board
        The board after the change; it gives metric, part and precision.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    what = f"{clean(board.metric)} {board.part.replace('_', ' ')}"
    if not found:
        console.print(Text(f"Nothing changed: every rank, every verdict and every {what} is what it was."))
        return
    toy = " — toy data (simulated)" if board.is_toy else ""
    table = Table(title=f"What changed{toy}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("submission", overflow="fold")
    for head in ("rank", what):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("verdict")
    precision = board.metric_info(board.metric).precision
    for change in found:
        cells = [
            clean(change.name) or "(no name)",
            _arrow(_rank(change.rank_before), _rank(change.rank_after)),
            _arrow(*_numbers(change.score_before, change.score_after, precision)),
            _arrow(change.verdict_before or "-", change.verdict_after or "-"),
        ]
        # Text, not str: rich would read a stranger's [brackets] as markup.
        table.add_row(*map(Text, cells))
    console.print(table)


def _rank(rank: int | None) -> str:
    return "-" if rank is None else str(rank)


def _numbers(before: float | None, after: float | None, precision: int) -> tuple[str, str]:
    """Return two numbers with the metric's decimals, or as many more as are needed to tell them apart."""

    def shown(decimals: int) -> tuple[str, str]:
        first, second = (
            "-" if value is None else f"{value:.{decimals}f}" if abs(value) < LARGE else large(value)
            for value in (before, after)
        )
        return first, second

    decimals = precision
    while before != after and len(set(shown(decimals))) == 1 and decimals < _MOST_DECIMALS:
        decimals += 1
    return shown(decimals)


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
