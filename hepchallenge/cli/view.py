"""What the live view of a terminal looks like: numbers in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from hepchallenge.cli.tally import Row, Totals, span
from hepchallenge.text import clean

__all__ = ["bar", "lines", "most_rows", "summary"]

_WIDEST_BAR = 40
_NARROWEST_BAR = 6


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _time_left(seconds: float | None) -> str:
    return "time left: ?" if seconds is None else f"about {span(seconds)} left"


def _numbers(totals: Totals) -> list[str]:
    """Return what is known besides how many jobs have ended, the most important first."""
    words = [f"{totals.running} running"]
    if totals.failed:
        words.append(f"{totals.failed} failed")
    if totals.failed_tries:
        words.append(_counted(totals.failed_tries, "failed try", "failed tries"))
    words.append(
        f"{totals.submissions_done} of {_counted(totals.submissions, 'submission', 'submissions')} done"
    )
    if totals.dropped:
        words.append(f"{totals.dropped} not needed")
    if totals.recorded:
        words.append(f"{totals.recorded} on record before")
    return words


def summary(totals: Totals, seconds_left: float | None) -> str:
    """Return everything in one line, as long as it gets."""
    words = [f"{totals.settled}/{totals.jobs} jobs", *_numbers(totals)]
    if totals.settled < totals.jobs:
        words.append(_time_left(seconds_left))
    return ", ".join(words)


def most_rows(height: int) -> int:
    """Return how many submissions a terminal has room for, with some lines of what has ended above them."""
    return max(0, height - 7)


def bar(done: int, total: int, width: int, *, ascii_only: bool = False) -> Text:
    """Return a bar of so many columns; what is done differs from the rest in more than its colour."""
    full, empty = ("#", "-") if ascii_only else ("━", "┄")
    filled = width if done >= total else width * max(0, done) // total
    return Text.assemble((full * filled, "green"), (empty * (width - filled), "bright_black"))


def _fitting(words: Sequence[str], width: int) -> str:
    """Return as many of the words, from the first, as fit; the first always."""
    line = words[0]
    for word in words[1:]:
        if len(line) + 2 + len(word) > width:
            break
        line += f", {word}"
    return line


def _with_bar(done: int, total: int, words: str, width: int, ascii_only: bool) -> Text:
    room = min(_WIDEST_BAR, width - len(words) - 1)
    if room < _NARROWEST_BAR:
        return Text(words)
    return bar(done, total, room, ascii_only=ascii_only) + Text(f" {words}")


def lines(
    totals: Totals,
    seconds_left: float | None,
    rows: Sequence[Row],
    more: int,
    width: int,
    *,
    ascii_only: bool = False,
) -> list[Text]:
    """Return the lines of the view, none of which is wider than so many columns.

    Parameters
    ----------
    totals, seconds_left
        Of the command.
    rows, more
        Submissions that run, and how many more do.
    """
    jobs = f"{totals.settled}/{totals.jobs} jobs"
    head = _fitting([jobs, _time_left(seconds_left)], width)
    drawn = [
        _with_bar(totals.settled, totals.jobs, head, width, ascii_only),
        Text(_fitting(_numbers(totals), width)),
    ]
    if rows:
        names = [clean(row.name, 60) for row in rows]
        room = min(max(map(cell_len, names)), max(8, width // 3))
        counts = [f"{row.settled}/{row.total}" for row in rows]
        most = max(map(len, counts))
        for row, name, count in zip(rows, names, counts, strict=True):
            shown = name if cell_len(name) <= room else set_cell_size(name, room - 1) + "…"
            start = f"{set_cell_size(shown, room)}  {count:>{most}}  "
            drawn.append(Text(start + _fitting(_facts(row), width - room - most - 4)))
    if more:
        drawn.append(Text(f"and {more} more"))
    for line in drawn:
        line.truncate(width, overflow="ellipsis")
    return drawn


def _facts(row: Row) -> list[str]:
    """Return what is told of a submission that runs, the most important first."""
    words = [f"{row.running} running {span(row.seconds)}"]
    if row.failed_tries:
        words.append(_counted(row.failed_tries, "failed try", "failed tries"))
    if row.events:
        words.append("{} of {} events".format(*row.events))
    if row.hosts:
        words.append("on " + clean(" ".join(row.hosts), 200))
    return words
