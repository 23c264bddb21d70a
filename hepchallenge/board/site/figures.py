"""Figures of a board as SVG: score over time, score against what it cost, curves over each other."""

from __future__ import annotations

import importlib
import importlib.util
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from hepchallenge.board.ranking import RankedRow
from hepchallenge.board.site.model import Curve, Curves, SiteBoard, finite
from hepchallenge.board.text import cleaned
from hepchallenge.records import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Drawn", "can_draw", "figures_of"]

Place = Literal["upper left", "upper right", "lower right"]

_WIDTH, _HEIGHT = 7.0, 4.4
_PIXELS = 100
_MOST_DRAWN = 4000
"""Submissions in the course of time; of more an even choice is drawn, and all that were the best so far."""
_MOST_POINTS = 2000
"""More become one picture within the SVG: a page with a hundred thousand paths is slow."""
_MOST_LINES = 6
_LARGEST = 1e100
_MOST_WORDS = 500
_BESIDE = 0.05
"""Inches."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure: the file's stem, its bytes, and its words for who sees it and who does not."""

    stem: str
    content: bytes
    alt: str
    caption: str
    width: int = round(_WIDTH * _PIXELS)
    height: int = round(_HEIGHT * _PIXELS)


def can_draw() -> bool:
    """Whether the libraries of the extra `plots` are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("matplotlib", "mplhep"))


def figures_of(site: SiteBoard) -> list[Drawn]:
    """Return the figures of a board that there is something to draw for."""
    # No axis reaches further: one absurd score must not keep the others from being drawn.
    ranked = [row for row in site.board.ranked if abs(_value(row)) < _LARGEST]
    if not ranked:
        return []
    from hepchallenge.pictures import figure_style

    with figure_style():
        drawn = [_over_time(site, ranked)]
        for what, words in (("cpu_seconds", "CPU time"), ("gpu_seconds", "GPU time")):
            spent = [(getattr(row.entry, what), row) for row in ranked]
            if any(seconds > 0 for seconds, _ in spent):
                drawn.append(_against(site, [(s, row) for s, row in spent if s > 0], words))
        drawn += [_overlaid(site, curves, number) for number, curves in enumerate(site.extras.curves)]
    return drawn


def _time(received_at: str) -> datetime:
    # Without a zone: matplotlib would turn it into its own, and all are UTC.
    return datetime.fromisoformat(received_at).replace(tzinfo=None)


def _value(row: RankedRow) -> float:
    assert row.value is not None
    return row.value


def _direction(site: SiteBoard) -> int:
    return -1 if site.board.metric_info(site.board.metric).lower_is_better else 1


def _metric(site: SiteBoard) -> str:
    return f"{cleaned(site.board.metric)} ({site.key.replace('_', ' ')})"


def _axes(site: SiteBoard, title: str) -> tuple[Figure, Axes]:
    from hepchallenge.pictures import new_figure, write

    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_axes((0.115, 0.145, 0.865, 0.76))
    write(axes, 0.0, 1.03, title, size=11, weight="bold", ha="left")
    side = cleaned(site.board.challenge, 30)
    side = f"{side}, toy data (simulated)" if site.board.is_toy else side
    write(axes, 1.0, 1.03, side, size=9.5, ha="right", color="#444444")
    return figure, axes


def _frame_values(axes: Axes, values: Sequence[float], direction: int) -> int:
    """Frame the better scores; return how many lie beyond, since one failure should not flatten the rest."""
    ordered = sorted(values, key=lambda value: -direction * value)
    kept = ordered[: max(2, math.ceil(0.9 * len(ordered)))]
    best, worst = kept[0], kept[-1]
    # Also all that are not far out.
    reach = 1.5 * abs(best - worst)
    kept = [value for value in ordered if abs(best - value) <= reach] or kept
    low, high = min(kept), max(kept)
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - margin, high + margin)
    return len(values) - len(kept)


def _beyond(axes: Axes, count: int) -> None:
    if count:
        from hepchallenge.pictures import write

        words = f"{count} worse score{'s' if count > 1 else ''} outside the frame"
        write(axes, 0.985, 0.03, words, ha="right", size=8.5, color="#666666")


def _over_time(site: SiteBoard, ranked: Sequence[RankedRow]) -> Drawn:
    from hepchallenge.pictures import COLOURS

    direction = _direction(site)
    # Also those in whose place another one of their team stands: they are the course of the challenge.
    course = [(row.entry.received_at, _value(row)) for row in ranked]
    course += [
        (row.entry.received_at, row.value)
        for row in site.board.gave_way
        if row.value is not None and abs(row.value) < _LARGEST
    ]
    course.sort(key=itemgetter(0))
    best: list[float] = []
    leader = course[0][1]
    for _, value in course:
        if direction * (value - leader) > 0:
            leader = value
        best.append(leader)
    n_rows = len(course)
    if n_rows > _MOST_DRAWN:
        step = math.ceil(n_rows / _MOST_DRAWN)
        kept = [n for n in range(n_rows) if n % step == 0 or n == n_rows - 1 or best[n] != best[n - 1]]
        course, best = [course[n] for n in kept], [best[n] for n in kept]
    times, values = [_time(received_at) for received_at, _ in course], [value for _, value in course]
    figure, drawing = _axes(site, "Score over time")
    # Annotations of matplotlib do not know that dates can be drawn.
    axes: Any = drawing
    dates: Any = importlib.import_module("matplotlib.dates")
    axes.plot(
        times,
        values,
        "o",
        color=COLOURS[3],
        markersize=4,
        label="submission",
        rasterized=len(course) > _MOST_POINTS,
    )
    # A step that lasts until now would need to know when now is: it ends with the last submission.
    axes.step(times, best, where="post", color=COLOURS[0], linewidth=1.8, label="best so far")
    locator = dates.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    # Days say their month: the offset at the end of the axis would stand in the label's place.
    formats = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
    zeros = ["", "%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M"]
    axes.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator, formats=formats, zero_formats=zeros, show_offset=False)
    )
    axes.xaxis.set_minor_locator(_none())
    if times[0] == times[-1] or (times[-1] - times[0]).total_seconds() < 1:
        axes.set_xlim(times[0] - timedelta(hours=1), times[0] + timedelta(hours=1))
    beyond = _frame_values(axes, values, direction)
    _beyond(axes, beyond)
    days = sorted({f"{moment:%Y-%m-%d}" for moment in (times[0], times[-1])})
    axes.set_xlabel(f"received ({' to '.join(days)}, UTC)")
    axes.set_ylabel(_metric(site), parse_math=False)
    _legend(axes, "upper right" if direction < 0 else "lower right", len(course))
    digits = site.board.metric_info(site.board.metric).precision
    alt = (
        f"Score over time: {n_rows} submissions; the best {_metric(site)} went "
        f"from {best[0]:.{digits}f} to {best[-1]:.{digits}f}."
    )
    caption = "Submissions by the time they were received, and the best score so far."
    if len(course) < n_rows:
        caption += f" Of {n_rows:,} submissions {len(course):,} are drawn."
    return _drawn(figure, f"{site.key}-time", alt, caption)


def _legend(axes: Axes, where: Place, points: int) -> None:
    """Put the legend where no points are, or, with so many that looking for it is slow, at a fixed place."""
    axes.legend(loc="best" if points <= _MOST_POINTS else where, fontsize=9, frameon=False, numpoints=1)


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _against(site: SiteBoard, spent: Sequence[tuple[float, RankedRow]], words: str) -> Drawn:
    from hepchallenge.pictures import COLOURS

    direction = _direction(site)
    seconds = [used for used, _ in spent]
    values = [_value(row) for _, row in spent]
    figure, axes = _axes(site, f"Score against {words}")
    many = len(spent) > _MOST_POINTS
    errors = [_error(site, row) for _, row in spent]
    if not many and any(errors):
        axes.errorbar(seconds, values, yerr=errors, fmt="none", ecolor="#9fb6c6", elinewidth=1, zorder=1)
    axes.plot(seconds, values, "o", color=COLOURS[0], markersize=4.5, rasterized=many)
    front = _front(spent, direction)
    axes.step(
        [used for used, _ in front],
        [_value(row) for _, row in front],
        where="post",
        color=COLOURS[1],
        linewidth=1.5,
        label="best for the time",
    )
    low, high = min(seconds), max(seconds)
    _logarithmic_x(axes, (low, high))
    axes.set_xlim(low / 1.6, high * 1.6)
    _beyond(axes, _frame_values(axes, values, direction))
    axes.set_xlabel(f"{words} over all folds [s]")
    axes.set_ylabel(_metric(site), parse_math=False)
    _legend(axes, "upper left" if direction < 0 else "lower right", len(spent))
    alt = (
        f"{_metric(site)} of {len(spent)} submissions against {words}, from {low:.3g} to {high:.3g} seconds."
    )
    error = ", with the errors of the test sample" if any(errors) and not many else ""
    caption = f"Score against {words}{error}; the line joins those that no faster one beats."
    return _drawn(figure, f"{site.key}-{words.split()[0].lower()}", alt, caption)


def _error(site: SiteBoard, row: RankedRow) -> float:
    errors = row.entry.scoring.errors.get(site.board.metric, {})
    error = (finite(errors.get(site.key)) or 0.0) if site.key in PARTS else 0.0
    return error if 0 < error < _LARGEST else 0.0


def _front(spent: Sequence[tuple[float, RankedRow]], direction: int) -> list[tuple[float, RankedRow]]:
    """Return those that beat all that cost less."""
    front: list[tuple[float, RankedRow]] = []
    for used, row in sorted(spent, key=lambda item: (item[0], -direction * _value(item[1]))):
        if not front or direction * (_value(row) - _value(front[-1][1])) > 0:
            front.append((used, row))
    return front


def _overlaid(site: SiteBoard, curves: Curves, number: int) -> Drawn:
    from hepchallenge.pictures import COLOURS

    figure, axes = _axes(site, cleaned(curves.title, 60))
    styles = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)))
    markers = ("o", "s", "^", "D", "v", "P")
    lines = curves.lines[:_MOST_LINES]
    for place, (line, colour, style, marker) in enumerate(zip(lines, COLOURS, styles, markers, strict=False)):
        # An underscore in front would hide a label, and a dollar sign would begin a formula.
        label = "\u200a" + cleaned(line.label, 32).replace("$", r"\$")
        if not line.low:
            axes.plot(line.x, line.y, color=colour, linestyle=style, linewidth=1.6, label=label)
            continue
        # All have their points at the same places: bars stand beside each other, not over each other.
        inches = (place - (len(lines) - 1) / 2) * _BESIDE
        _with_bars(figure, axes, line, inches, color=colour, linestyle=style, marker=marker, label=label)
    if curves.log_x:
        _logarithmic_x(axes, [x for line in lines for x in line.x])
    if curves.log_y:
        axes.set_yscale("log")
    axes.set_xlabel(cleaned(curves.x_label), parse_math=False)
    axes.set_ylabel(cleaned(curves.y_label), parse_math=False)
    axes.margins(x=0.04 if any(line.low for line in lines) else 0.01)
    axes.legend(loc="best", fontsize=8.5, frameon=True, framealpha=0.7, edgecolor="none")
    names = ", ".join(cleaned(line.label, 32) for line in lines)
    words = cleaned(curves.description, _MOST_WORDS)
    return _drawn(figure, f"{site.key}-curves-{number}", f"{words} Shown: {names}.", words)


def _logarithmic_x(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    if max(values, default=1.0) < 1e3 * min(values, default=1.0):
        # With less than three decades matplotlib labels so much between them that words overlap.
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())


def _with_bars(figure: Figure, axes: Axes, line: Curve, inches: float, **look: Any) -> None:
    """Draw points with error bars, joined and so far to the right of their places."""
    import numpy as np
    from matplotlib.transforms import ScaledTranslation

    drawn = axes.errorbar(
        line.x,
        line.y,
        yerr=(np.subtract(line.y, line.low), np.subtract(line.high, line.y)),
        markersize=4,
        linewidth=0.8,
        elinewidth=1.3,
        **look,
    )
    # Moved only now: the frame is found from where points are in the units of the axes.
    shift = ScaledTranslation(inches, 0, figure.dpi_scale_trans)
    for artist in drawn.get_children():
        artist.set_transform(axes.transData + shift)
    # Looking for its place, a legend minds lines but not error bars.
    axes.plot((line.x, line.x), (line.low, line.high), visible=False)


def _drawn(figure: Figure, stem: str, alt: str, caption: str) -> Drawn:
    content = io.BytesIO()
    metadata = {"Date": None, "Creator": None, "Title": alt}
    figure.savefig(content, format="svg", metadata=metadata)
    return Drawn(stem=stem, content=content.getvalue(), alt=alt, caption=caption)
