"""The files of a site, rendered: one page, its table's rows and the facts of submissions in chunks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from hepchallenge._version import __version__
from hepchallenge.board.site.cells import cell_classes, cell_text, fixed
from hepchallenge.board.site.figures import Drawn, can_draw, figures_of
from hepchallenge.board.site.model import SiteBoard
from hepchallenge.board.text import cleaned
from hepchallenge.text import clean

__all__ = ["GENERATOR", "render_index", "site_files"]

GENERATOR = f"hepchallenge {__version__}"

_ROWS = 4000
"""Rows of the table in one file."""
_PAGES = 250
"""Submissions whose facts are in one file."""
_STATIC_ROWS = 100
"""Rows that are in the page itself, for who reads it without scripts."""
_ASSETS = ("board.css", "board.js", "theme.js")
_NO_FIGURES = (
    'No figures: matplotlib and mplhep were missing when this page was written ("hepchallenge[plots]").'
)
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


def _asset(name: str) -> bytes:
    return (files("hepchallenge.board.site") / "assets" / name).read_bytes()


def _script(name: str, value: Any) -> bytes:
    """Return a script that hands over plain data; ASCII, and nothing in it can end the script."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)
    return f"hepchallenge.take({json.dumps(name)},{text});\n".encode("ascii")


def _title(first: SiteBoard) -> str:
    return f"{first.title} (toy data)" if first.board.is_toy else first.title


def _head(boards: Sequence[SiteBoard]) -> dict[str, Any]:
    verdicts = {row.entry.scoring.verdict.value for site in boards for row in site.board.rows}
    return {
        "title": _title(boards[0]),
        "toy": boards[0].board.is_toy,
        "pages": _PAGES,
        "verdicts": sorted(verdicts),
        "boards": [
            {
                "key": site.key,
                "caption": f"{site.caption}. Toy data (simulated)" if site.board.is_toy else site.caption,
                "columns": [column.to_dict() for column in site.columns],
                "ranking": f"score {cleaned(site.board.metric)} {site.board.part}",
                "rows": len(site.rows),
                "chunks": -(-len(site.rows) // _ROWS),
            }
            for site in boards
        ],
    }


def site_files(boards: Sequence[SiteBoard]) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of all files but `index.html`, one by one: there may be hundreds.

    Parameters
    ----------
    boards
        The one that is shown first, and those one can switch to.
    """
    for name in _ASSETS:
        yield name, _asset(name)
    yield "data/head.js", _script("head", _head(boards))
    for site in boards:
        for number, start in enumerate(range(0, len(site.rows), _ROWS)):
            name = f"rows-{site.key}-{number}"
            yield f"data/{name}.js", _script(name.replace("-", " "), site.rows[start : start + _ROWS])
        for number, start in enumerate(range(0, len(site.rows), _PAGES)):
            pages = []
            for index in range(start, min(start + _PAGES, len(site.rows))):
                page = site.page(index)
                page["pictures"] = []
                for picture, file in _pictures(site, index):
                    page["pictures"].append({"file": file, "title": clean(picture.stem.replace("_", " "))})
                    yield file, picture.read_bytes()
                pages.append(page)
            name = f"pages-{site.key}-{number}"
            yield f"data/{name}.js", _script(name.replace("-", " "), pages)


def _pictures(site: SiteBoard, index: int) -> list[tuple[Path, str]]:
    if site.extras.pictures is None:
        return []
    found = sorted(site.extras.pictures(site.board.rows[index].entry))
    return [
        (path, f"pictures/{site.key}-{index}-{number}{path.suffix}")
        for number, path in enumerate(found)
        if path.suffix in (".svg", ".png")
    ]


def drawn_files(boards: Sequence[SiteBoard]) -> dict[str, list[Drawn]]:
    """Return the figures of each board by its key; nothing if the libraries for them are missing."""
    return {site.key: figures_of(site) for site in boards} if can_draw() else {}


def _legend(boards: Sequence[SiteBoard]) -> list[str]:
    """Return what explains the columns of the table that are there."""
    have = {column.key for site in boards for column in site.columns}
    notes = {column.note for site in boards for column in site.columns}
    lines = []
    if "range" in have:
        lines.append(
            "Rank range: the ranks that the finite test sample allows a submission; the ranges of all "
            "submissions hold at once."
        )
    if "tie" in have:
        lines.append("Statistically tied: the test sample is too small to tell the order within a group.")
    if "± test sample" in notes:
        lines.append("± test sample: standard error from the finite number of test events.")
    if "± over folds" in notes:
        lines.append("± over folds: standard deviation between the folds of the cross-validation.")
    return lines


def _published(boards: Sequence[SiteBoard]) -> dict[str, Any]:
    """Return published scores: a line a name, a column for each metric and part, the source last."""
    board = boards[0].board
    metrics = [metric.name for metric in board.metrics]
    found: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for reference in board.references:
        if reference.metric not in metrics:
            continue
        digits = board.metric_info(reference.metric).precision
        doubt = "" if reference.confirmed else " (unconfirmed)"
        cells = found.setdefault((cleaned(reference.name, 80), cleaned(reference.source, 300)), {})
        cells[reference.metric, reference.part] = fixed(reference.value, digits) + doubt
    keys = board.reference_columns(metrics)
    return {
        "heads": ["published", *(f"{cleaned(m)} {part.replace('_', ' ')}" for m, part in keys), "source"],
        "lines": [
            [name, *(cells.get(key, "") for key in keys), source] for (name, source), cells in found.items()
        ],
    }


def render_index(boards: Sequence[SiteBoard], folder: str, figures: dict[str, list[Drawn]]) -> str:
    """Return `index.html`, which finds everything else in `folder`.

    The table of the first board's first rows is in it, for readers without scripts and for print.
    """
    from jinja2 import Environment, StrictUndefined

    first = boards[0]
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["classes"] = cell_classes
    shown = [(at, column) for at, column in enumerate(first.columns) if column.shown]
    rows = [
        [
            {
                "text": cell_text(column, cells[at]),
                "classes": cell_classes(column),
                "head": column.kind == "name",
            }
            for at, column in shown
        ]
        for _, cells in first.rows[:_STATIC_ROWS]
    ]
    template = environment.from_string(_asset("index.html.j2").decode("utf-8"))
    page = template.render(
        boards=boards,
        first=first,
        folder=folder,
        generator=GENERATOR,
        challenge=cleaned(first.board.challenge),
        summary=clean(first.extras.summary, 600),
        columns=[column for _, column in shown],
        rows=rows,
        left_out=max(0, len(first.rows) - _STATIC_ROWS),
        legend=_legend(boards),
        figures={
            site.key: [
                {
                    "file": f"figures/{drawn.stem}.svg",
                    "alt": drawn.alt,
                    "caption": drawn.caption,
                    "width": drawn.width,
                    "height": drawn.height,
                }
                for drawn in figures.get(site.key, ())
            ]
            for site in boards
        },
        no_figures="" if figures else _NO_FIGURES,
        published=_published(boards),
        downloads=first.extras.downloads,
    )
    # Blank lines are where templates had their statements.
    return re.sub(r"\n\s*\n+", "\n", page) + "\n"
