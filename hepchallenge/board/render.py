"""A board as terminal table, CSV, JSON and Markdown.

Numbers are rounded to a metric's precision where people read (terminal, Markdown) and exact where
programs do (CSV, JSON). Every output of toy data says so.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepchallenge.board.hosts import classes_of, clock_of
from hepchallenge.board.latex import to_latex
from hepchallenge.board.ranking import ALL_PARTS, Board, RankedRow
from hepchallenge.board.text import LARGE, cleaned, csv_cell, file_stem, large, markdown_cell, said, told_of
from hepchallenge.exceptions import UnknownName
from hepchallenge.records import PARTS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from hepchallenge.board.site import Extras

__all__ = ["EXPORTERS", "FORMAT", "FORMATS", "export", "to_csv", "to_json", "to_markdown", "to_terminal"]

FORMAT = 1
"""Version of the JSON export; raised when a key changes its meaning."""

_TOY = "toy data (simulated)"
_SHORT_DIGEST = 8
_USAGE = ("wall", "CPU", "memory")
_PUBLISHED = "Published, on the original data; not ranked"


def _number(value: float | None, precision: int) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.{precision}f}" if abs(value) < LARGE else large(value)


def _mean_and_spread(board: Board, row: RankedRow, metric: str, part: str) -> str:
    """Return the rounded score, with its spread if it is a mean over several folds."""
    scoring = row.entry.scoring
    precision = board.metric_info(metric).precision
    mean = _number(scoring.scores.get(metric, {}).get(part), precision)
    spread = _number(scoring.spread.get(metric, {}).get(part), precision)
    several = part in PARTS and row.has_several_folds
    return f"{mean} ± {spread}" if mean and spread and several else mean


_UNCERTAINTIES = {"folds": "over folds", "trainings": "over trainings", "test": "test sample"}
"""Heads of the columns of uncertainties, by origin."""
_ORDER = ("ranks", "stays ahead", "tie")


def _uncertainties(board: Board) -> list[list[str]]:
    """Return a line per submission, metric and part but that which ranks, with uncertainties kept apart.

    Empty unless some submission was trained several times or errors of the test sample are known: otherwise
    the spread over folds, which stands beside the scores, is all there is.
    """
    if not _has_uncertainties(board):
        return []
    ranking = (board.metric, board.part)
    columns = [
        (metric, part) for metric, part in board.columns() if part in PARTS and (metric, part) != ranking
    ]
    lines = []
    for row in board.ranked:
        for metric, part in columns:
            found = _kept_apart(board, row, metric, part)
            if any(found[1:]):
                lines.append([str(row.rank), _name(row), cleaned(metric), _part(part), *found])
    return lines


def _has_uncertainties(board: Board) -> bool:
    scorings = [row.entry.scoring for row in board.ranked]
    return any(scoring.training_spread or scoring.errors for scoring in scorings)


def _kept_apart(board: Board, row: RankedRow, metric: str, part: str) -> list[str]:
    """Return the score and its three uncertainties, empty where they are not known."""
    score = row.entry.scoring.scores.get(metric, {}).get(part)
    known = row.uncertainties(metric, part)
    # One digit more than the score: an error is of interest when it is small.
    precision = board.metric_info(metric).precision + 1
    return [_number(value, precision) for value in (score, *(known[origin] for origin in _UNCERTAINTIES))]


def _order(row: RankedRow) -> list[str]:
    """Return what the sample says of the rank, the order and ties."""
    ranks = tie = ahead = ""
    if row.rank_interval is not None:
        first, last = row.rank_interval
        ranks = str(first) if first == last else f"{first}-{last}"
    if row.holds is not None:
        percent = 100 * row.holds
        ahead = "> 99 %" if percent > 99 else "< 1 %" if percent < 1 else f"{percent:.0f} %"
    if row.tie is not None:
        tie = chr(ord("a") + row.tie - 1) if row.tie <= 26 else str(row.tie)
    return [ranks, ahead, tie]


def _said_of_order(board: Board) -> tuple[list[str], list[list[str]]]:
    """Return heads and a line per ranked row: the score that ranks, its uncertainties, and its order.

    Columns that are empty in all rows are left out; there is no line if all of them are.
    """
    if not _has_uncertainties(board) or board.part not in PARTS:
        return [], []
    heads = ["#", "submission", "score", *_UNCERTAINTIES.values(), *_ORDER]
    lines = [
        [str(row.rank), _name(row), *_kept_apart(board, row, board.metric, board.part), *_order(row)]
        for row in board.ranked
    ]
    kept = [place for place in range(len(heads)) if place < 3 or any(line[place] for line in lines)]
    if len(kept) == 3:
        return [], []
    return [heads[place] for place in kept], [[line[place] for place in kept] for line in lines]


def _explanation(board: Board) -> str:
    """Return what the columns of the order mean, if there are any."""
    if not any(row.rank_interval is not None for row in board.ranked):
        return ""
    return (
        f"ranks: what the sample allows, {100 * board.rules.confidence:g} % for all rows at once; "
        "stays ahead: of the next row, on another sample; rows of one letter are tied"
    )


def _name(row: RankedRow) -> str:
    name = cleaned(row.entry.submission.name) or "(no name)"
    return f"{name} (quick)" if row.entry.run_key.quick else name


def _short(digest: str) -> str:
    return cleaned(digest[:_SHORT_DIGEST])


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _memory(size: int) -> str:
    return f"{size / 1024**2:.0f} MiB"


def _part(part: str) -> str:
    return part.replace("_", " ")


def _heading(board: Board) -> str:
    toy = f" — {_TOY}" if board.is_toy else ""
    return (
        f"{cleaned(board.challenge)}: {cleaned(board.title, 100)}{toy}"
        if board.title
        else (f"{cleaned(board.challenge)}{toy}")
    )


def _caption(board: Board) -> str:
    direction = "lowest" if board.metric_info(board.metric).lower_is_better else "highest"
    data = f"{board.data.kind} data {_short(board.data.digest)}"
    ladder = ", as the Ladder answered" if board.laddered else ""
    return f"Ranked by {cleaned(board.metric)} on {_part(board.part)}, {direction} first{ladder}; {data}"


def to_terminal(board: Board, console: Console) -> None:
    """Print the board; what has no rank follows in a table of its own.

    A terminal that is wide enough gets one table with a line a submission and metric; a narrower one gets
    the ranks first and all scores below, so that no number is ever cut.
    """
    from rich.measure import Measurement
    from rich.text import Text

    console.print(Text(_heading(board), style="bold"))
    console.print(Text(_caption(board)))
    if board.ranked:
        whole = _whole_table(board)
        needed = Measurement.get(console, console.options.update(width=10_000), whole).maximum
        for table in [whole] if needed <= console.width else [_rank_table(board), _score_table(board)]:
            console.print(table)
    heads, lines = _said_of_order(board)
    if lines:
        title = f"Uncertainties of {cleaned(board.metric)} on {_part(board.part)}, kept apart"
        table = _table(board, title, heads[:2], heads[2:])
        for line in lines:
            _add(table, line)
        console.print(table)
        if explanation := _explanation(board):
            console.print(Text(explanation))
    if board.unranked:
        console.print(_unranked_table(board))
    # Only the score that ranks: a terminal is narrow.
    heads, lines = _references(board, [board.metric])
    if lines:
        table = _empty_table(_PUBLISHED, heads[:1], heads[1:])
        for line in lines:
            _add(table, line)
        console.print(table)
    for note in board.notes:
        console.print(Text(note, style="yellow"))


def _references(board: Board, metrics: list[str]) -> tuple[list[str], list[list[str]]]:
    """Return heads and lines of published scores: a line a name, a column for each metric and part."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for reference in board.references:
        if reference.metric not in metrics:
            continue
        doubt = "" if reference.confirmed else " (unconfirmed)"
        value = f"{_number(reference.value, board.metric_info(reference.metric).precision)}{doubt}"
        found.setdefault(reference.name, {})[reference.metric, reference.part] = value
    columns = board.reference_columns(metrics)
    heads = ["published", *(f"{cleaned(metric)} {_part(part)}" for metric, part in columns)]
    lines = [[cleaned(name, 80), *(values.get(key, "") for key in columns)] for name, values in found.items()]
    return heads, lines


def _more_heads(board: Board) -> list[str]:
    """Return the heads of columns that only some boards have."""
    rules, rows = board.rules, board.ranked
    there = {
        "parameters": any(row.entry.submission.parameters is not None for row in rows),
        "moved": any(row.moved is not None for row in rows),
        "entries": bool(rules.phases) or rules.entry != "all",
        "phase": len(rules.phases) > 1,
    }
    return [head for head, is_there in there.items() if is_there]


def _more(row: RankedRow, heads: list[str]) -> list[str]:
    """Return the cells of these columns."""
    count = row.entry.submission.parameters
    cells = {
        "parameters": "" if count is None else str(count),
        "moved": "" if row.moved is None else f"{row.moved:+d}" if row.moved else "0",
        "entries": str(row.entries),
        "phase": cleaned(row.phase),
    }
    return [cells[head] for head in heads]


def _table(board: Board, title: str, left: Iterable[str], right: Iterable[str], last: str = "") -> Table:
    """Return an empty table whose title says so if the data are toy data."""
    return _empty_table(f"{title} — {_TOY}" if board.is_toy else title, left, right, last)


def _empty_table(title: str, left: Iterable[str], right: Iterable[str], last: str = "") -> Table:
    """Return an empty table whose names may fold but whose numbers, aligned right, may not."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold", no_wrap=name == "#")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    if last:
        table.add_column(last, no_wrap=True)
    return table


def _add(table: Table, cells: Iterable[str], *, bold: bool = False, last: bool = False) -> None:
    from rich.text import Text

    # Text, not str: rich would read a stranger's [brackets] as markup.
    table.add_row(*(Text(cell, style="bold" if bold else "") for cell in cells), end_section=last)


def _usage(row: RankedRow) -> list[str]:
    entry = row.entry
    return [
        _seconds(entry.wall_seconds),
        _seconds(entry.cpu_seconds),
        _memory(entry.peak_memory_bytes),
        _short(entry.submission.digest),
    ]


def _whole_table(board: Board) -> Table:
    """Return everything in one table: parts across, metrics down."""
    columns = board.columns()
    parts = [part for part in board.parts if any(part == other for _, other in columns)]
    metrics = [metric.name for metric in board.metrics if any(metric.name == name for name, _ in columns)]
    more = _more_heads(board)
    table = _table(
        board,
        "Ranked",
        ["#", "submission", "team", "metric"],
        [*map(_part, parts), *more, *_USAGE],
        "digest",
    )
    for row in board.ranked:
        before = [str(row.rank), _name(row), cleaned(row.entry.submission.team)]
        after = [*_more(row, more), *_usage(row)]
        for metric in metrics:
            scores = [_mean_and_spread(board, row, metric, part) for part in parts]
            if metric == metrics[0]:
                line = [*before, cleaned(metric), *scores, *after]
            else:
                line = [*[""] * len(before), cleaned(metric), *scores, *[""] * len(after)]
            _add(table, line, bold=metric == board.metric, last=metric == metrics[-1])
    return table


def _rank_table(board: Board) -> Table:
    """Return the ranks, the score that ranks and what the runs used."""
    score = f"{cleaned(board.metric)} {_part(board.part)}"
    more = _more_heads(board)
    # Names need the room where teams compete: then phases and what the runs used are for wider terminals.
    teams = any(row.entry.submission.team for row in board.ranked)
    if teams and more:
        more = [head for head in more if head != "phase"]
    usage = () if teams and more else _USAGE
    names = ["#", "submission", "team"] if teams else ["#", "submission"]
    table = _table(board, "Ranked", names, [score, *more, *usage], "digest")
    for row in board.ranked:
        submission = row.entry.submission
        called = [_name(row), cleaned(submission.team)][: len(names) - 1]
        value = _mean_and_spread(board, row, board.metric, board.part)
        used = [*_usage(row)[: len(usage)], _short(submission.digest)]
        _add(table, [str(row.rank), *called, value, *_more(row, more), *used])
    return table


def _score_table(board: Board) -> Table:
    """Return all scores: metrics across, parts down, so that the table stays narrow."""
    columns = board.columns()
    parts = [part for part in board.parts if any(part == other for _, other in columns)]
    metrics = [metric.name for metric in board.metrics if any(metric.name == name for name, _ in columns)]
    table = _table(board, "All scores", ["#", "submission", "part"], map(cleaned, metrics))
    for row in board.ranked:
        for part in parts:
            first = part == parts[0]
            scores = [_mean_and_spread(board, row, metric, part) for metric in metrics]
            name = [str(row.rank), _name(row)] if first else ["", ""]
            _add(table, [*name, _part(part), *scores], bold=first, last=part == parts[-1])
    return table


def _unranked_table(board: Board) -> Table:
    table = _table(board, "Without a rank", ["submission", "team", "verdict", "message"], [], "digest")
    for row in board.unranked:
        submission = row.entry.submission
        _add(
            table,
            [
                _name(row),
                cleaned(submission.team),
                row.entry.scoring.verdict.value,
                said(row.reason),
                _short(submission.digest),
            ],
        )
    return table


def _markdown_table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def to_markdown(board: Board) -> str:
    """Return the board as GitHub Markdown, scores rounded to their metrics' precision."""
    lines = [f"# {markdown_cell(_heading(board))}", "", f"{markdown_cell(_caption(board))}.", ""]
    if board.is_toy:
        lines += ["**Toy data: simulated, not measured. These are not results of the challenge.**", ""]
    lines += [line for note in board.notes for line in (f"*{markdown_cell(note)}*", "")]
    columns = board.columns()
    if board.ranked:
        more = _more_heads(board)
        heads = [
            *("#", "submission", "team"),
            *(markdown_cell(f"{cleaned(metric)} {_part(part)}") for metric, part in columns),
            *more,
            *("wall", "CPU", "memory", "digest", "data"),
        ]
        rows = [
            [
                str(row.rank),
                markdown_cell(_name(row)),
                markdown_cell(cleaned(row.entry.submission.team)),
                *(_mean_and_spread(board, row, metric, part) for metric, part in columns),
                *_more(row, more),
                _seconds(row.entry.wall_seconds),
                _seconds(row.entry.cpu_seconds),
                _memory(row.entry.peak_memory_bytes),
                markdown_cell(_short(row.entry.submission.digest)),
                row.entry.data.kind,
            ]
            for row in board.ranked
        ]
        lines += [*_markdown_table(heads, rows), ""]
    heads, order = _said_of_order(board)
    if order:
        title = markdown_cell(f"Uncertainties of {cleaned(board.metric)} on {_part(board.part)}")
        lines += [f"## {title}" + (f" — {_TOY}" if board.is_toy else ""), ""]
        lines += [*_markdown_table(heads, [[markdown_cell(cell) for cell in line] for line in order]), ""]
        if explanation := _explanation(board):
            lines += [f"{explanation}.", ""]
    if found := _uncertainties(board):
        lines += ["## Uncertainties of all other scores" + (f" — {_TOY}" if board.is_toy else ""), ""]
        heads = ["#", "submission", "metric", "part", "score", *_UNCERTAINTIES.values()]
        lines += [*_markdown_table(heads, [[markdown_cell(cell) for cell in line] for line in found]), ""]
    if board.unranked:
        lines += ["## Without a rank" + (f" — {_TOY}" if board.is_toy else ""), ""]
        rows = [
            [
                markdown_cell(_name(row)),
                markdown_cell(cleaned(row.entry.submission.team)),
                row.entry.scoring.verdict.value,
                markdown_cell(said(row.reason)),
                markdown_cell(_short(row.entry.submission.digest)),
            ]
            for row in board.unranked
        ]
        lines += [*_markdown_table(["submission", "team", "verdict", "message", "digest"], rows), ""]
    if board.references:
        heads, published = _references(board, [metric.name for metric in board.metrics])
        sources = sorted({markdown_cell(cleaned(reference.source, 200)) for reference in board.references})
        lines += [f"## {_PUBLISHED}", ""]
        cells = [[markdown_cell(cell) for cell in line] for line in published]
        lines += [*_markdown_table([markdown_cell(head) for head in heads], cells), ""]
        lines += [f"Sources: {'; '.join(sources)}.", ""]
    return "\n".join(lines)


def to_csv(board: Board) -> str:
    """Return the board as CSV: exact scores, empty where there is none, the data's kind on every row."""
    columns = board.columns()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            *("rank", "name", "team", "kind", "verdict", "message"),
            *(csv_cell(f"{cleaned(metric)} {part}") for metric, part in columns),
            *(
                csv_cell(f"{cleaned(metric)} {part} {kind}")
                for kind in ("spread", "training spread", "error")
                for metric, part in columns
                if part in PARTS
            ),
            *("wall_seconds", "cpu_seconds", "peak_memory_bytes", "digest", "received_at", "run_at"),
            "parameters",
            *("data", "data_digest", "challenge_version", "scorer_version", "versions"),
            *("isolation", "accounting", "seed", "quick"),
            *("rank_first", "rank_last", "holds", "tie", "phase", "late", "entries", "moved"),
            *("host_class", "exclusive_cores", "reference_seconds"),
        ]
    )
    for row in board.rows:
        entry, scoring = row.entry, row.entry.scoring

        def exact(value: float | None) -> str:
            return "" if value is None or not math.isfinite(value) else repr(float(value))

        scores = [exact(scoring.scores.get(metric, {}).get(part)) for metric, part in columns]
        spreads = [
            exact(kind.get(metric, {}).get(part))
            for kind in (scoring.spread, scoring.training_spread, scoring.errors)
            for metric, part in columns
            if part in PARTS
        ]
        versions = "; ".join(f"{name} {version}" for name, version in sorted(entry.versions.items()))
        texts = [cleaned(entry.submission.name), cleaned(entry.submission.team), entry.submission.kind]
        told = [scoring.verdict.value, said(row.reason)]
        record = [
            cleaned(entry.submission.digest, 100),
            cleaned(entry.received_at),
            cleaned(entry.run_at),
            "" if entry.submission.parameters is None else str(entry.submission.parameters),
            entry.data.kind,
            cleaned(entry.data.digest, 100),
            cleaned(entry.run_key.challenge_version, 100),
            cleaned(scoring.scorer_version, 100),
            cleaned(versions, 1000),
            cleaned(entry.isolation),
            cleaned(entry.accounting),
        ]
        writer.writerow(
            [
                "" if row.rank is None else row.rank,
                *map(csv_cell, texts + told),
                *scores,
                *spreads,
                exact(entry.wall_seconds),
                exact(entry.cpu_seconds),
                entry.peak_memory_bytes,
                *map(csv_cell, record),
                entry.run_key.seed,
                entry.run_key.quick,
                *(("", "") if row.rank_interval is None else row.rank_interval),
                exact(row.holds),
                "" if row.tie is None else row.tie,
                csv_cell(cleaned(row.phase)),
                row.late,
                row.entries,
                "" if row.moved is None else row.moved,
                csv_cell(said("; ".join(classes_of(entry)))),
                *(("", "") if (clock := clock_of(entry)) is None else clock),
            ]
        )
    return stream.getvalue()


def _harmless(value: Any, hidden: frozenset[str]) -> Any:
    """Return plain data without hidden parts, hostile text or numbers that JSON lacks."""
    if isinstance(value, dict):
        return {cleaned(str(k)): _harmless(v, hidden) for k, v in value.items() if k not in hidden}
    if isinstance(value, list | tuple):
        return [_harmless(item, hidden) for item in value]
    if isinstance(value, str):
        return said(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _visible_scores(scores: dict[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    # A metric may be called like a part, so only the inner names are looked at.
    return {cleaned(metric): _harmless(by_part, hidden) for metric, by_part in scores.items()}


def _visible_fold(fold: dict[str, Any], board: Board) -> dict[str, Any]:
    """Return a fold's record without scores of hidden parts, and without what they could be made from."""
    hidden = frozenset(ALL_PARTS) - set(board.parts)
    own = ("scores", "event_seconds", "host")
    # Which test events are private is not known here.
    seconds = {
        key: value for key, value in fold["event_seconds"].items() if key.partition("/")[0] in board.parts
    }
    # How an organiser's hosts are called is nobody's business.
    host = {key: value for key, value in (fold["host"] or {}).items() if key != "name"}
    own_facts = {key: value for key, value in fold.items() if key not in own}
    own_facts["message"] = told_of(fold["verdict"], fold["message"])
    return {
        **_harmless(own_facts, frozenset()),
        "host": _harmless(host, frozenset()) or None,
        "event_seconds": _harmless(seconds, frozenset()),
        "scores": _visible_scores(fold["scores"], hidden),
    }


def to_json(board: Board) -> str:
    """Return the board as one JSON document, `format` 1; its `submissions` are those of `score --json`."""
    hidden = frozenset(ALL_PARTS) - set(board.parts)
    submissions = []
    for row in board.rows:
        item = row.entry.to_dict()
        item["message"] = told_of(item["verdict"], item["message"])
        by_part = {key: item.pop(key) for key in ("scores", "spread", "training_spread", "errors")}
        folds = item.pop("folds")
        submissions.append(
            {
                "rank": row.rank,
                "rank_interval": None if row.rank_interval is None else list(row.rank_interval),
                "holds": row.holds,
                "tie": row.tie,
                "phase": cleaned(row.phase),
                "late": row.late,
                "entries": row.entries,
                "moved": row.moved,
                "reason": said(row.reason),
                **_harmless(item, frozenset()),
                **{key: cleaned(item[key], 200) for key in ("name", "team", "title")},
                "gates": _harmless(item["gates"], hidden),
                **{key: _visible_scores(scores, hidden) for key, scores in by_part.items()},
                "folds": [_visible_fold(fold, board) for fold in folds],
            }
        )
    document = {
        "format": FORMAT,
        "challenge": cleaned(board.challenge),
        "title": cleaned(board.title, 100),
        "data": {"kind": board.data.kind, "digest": cleaned(board.data.digest, 100)},
        "metric": cleaned(board.metric),
        "lower_is_better": board.metric_info(board.metric).lower_is_better,
        "part": board.part,
        "ladder": board.laddered,
        "revealed": board.revealed,
        "notes": list(board.notes),
        "published": [
            {
                "name": cleaned(reference.name, 200),
                "metric": cleaned(reference.metric),
                "part": reference.part,
                "value": reference.value,
                "source": cleaned(reference.source, 500),
                "confirmed": reference.confirmed,
            }
            for reference in board.references
        ],
    }
    head = json.dumps(document, allow_nan=False, indent=2).removesuffix("\n}")
    # A line a submission: a board may have many.
    lines = ",\n".join(json.dumps(item, allow_nan=False) for item in submissions)
    # ASCII, and no angle brackets: harmless even when pasted into a page.
    text = f'{head},\n  "submissions": [\n{lines}\n  ]\n}}'
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text + "\n"


EXPORTERS: dict[str, Callable[[Board], str]] = {
    "csv": to_csv,
    "json": to_json,
    "md": to_markdown,
    "tex": to_latex,
}
"""Formats of `export`, by file ending."""


FORMATS = (*EXPORTERS, "html")
"""All formats of `export`; `html` is a site of several files."""


def export(
    board: Board,
    directory: Path,
    formats: Iterable[str],
    *,
    others: Sequence[Board] = (),
    extras: Extras | None = None,
) -> list[Path]:
    """Write the board to `<challenge>-<part>[-toy].<format>` in `directory`, each file whole or not at all.

    Parameters
    ----------
    formats
        Of `FORMATS`. `html` writes `index.html` and a folder beside it, see `hepchallenge.board.site`.
    others, extras
        For the site alone: boards that a reader may switch to, and what it shows besides.

    Raises
    ------
    UnknownName
        If a format is not one of `FORMATS`; nothing is written then.
    StoreError
        If the directory cannot be written.
    """
    from hepchallenge.store import write_atomically

    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in FORMATS:
            raise UnknownName("export format", name, FORMATS)
    toy = "-toy" if board.is_toy else ""
    stem = f"{file_stem(board.challenge)}-{board.part}{toy}"
    # All are rendered before the first is written, so that an error leaves no mixture of old and new.
    contents = {directory / f"{stem}.{name}": EXPORTERS[name](board) for name in wanted if name in EXPORTERS}
    written = [write_atomically(path, text.encode("utf-8")) for path, text in contents.items()]
    if "html" in wanted:
        from dataclasses import replace

        from hepchallenge.board.site import Extras, export_site

        known = extras or Extras()
        names = (*known.downloads, *(path.name for path in written))
        written.append(export_site([board, *others], directory, replace(known, downloads=names)))
    return written
