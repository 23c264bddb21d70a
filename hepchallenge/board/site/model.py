"""What the site shows, as plain data: nothing private, nothing hostile, no path of this host.

A board is turned into columns and rows of cells (see `cells`), and each of its rows into the facts of
a page of its own. Rendering and writing know boards only through these.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hepchallenge import text
from hepchallenge.board.hosts import classes_of, clock_of
from hepchallenge.board.ranking import ALL_PARTS, Board, RankedRow
from hepchallenge.board.rules import team_key, team_of
from hepchallenge.board.site.cells import Column, Value, error_text
from hepchallenge.board.text import cleaned, said, told_of
from hepchallenge.records import PARTS, BoardEntry, FoldOutcome, Verdict

__all__ = ["Curve", "Curves", "Extras", "SiteBoard", "site_board"]

_MOST_LOG_LINES = 60
_MOST_SAID = 300
_SHORT = 8
_KEY = 16
"""Digits of a digest in the address of a submission's page; the page finds it by all of them as well."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure: a label (anybody's text), its points, and the ends of their error bars if any."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Lines that are drawn over each other, such as the ROC of the best submissions."""

    title: str
    description: str
    """What a reader who cannot see the figure is told."""
    x_label: str
    y_label: str
    lines: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a site shows that is not in a board; whoever gives it answers for its being public."""

    summary: str = ""
    """What the challenge asks for, in a sentence or two."""
    curves: tuple[Curves, ...] = ()
    log: Callable[[BoardEntry], str] | None = None
    """The log of a submission; its end is shown. None shows no logs."""
    pictures: Callable[[BoardEntry], Sequence[Path]] | None = None
    """Pictures of a submission (`.svg` or `.png`), copied to the site."""
    downloads: tuple[str, ...] = ()
    """Names of files beside `index.html` that have the same board for programs."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SiteBoard:
    """One board of the site: `public`, `private`, or by whatever part it ranks."""

    board: Board
    key: str
    """The part that it ranks by; also its name in file names and addresses."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, list[Value]], ...]
    """Of each row the key of its page, unique on the board, and its cells."""
    notes: tuple[str, ...]
    extras: Extras = field(default_factory=Extras)

    @property
    def title(self) -> str:
        """The heading of the page."""
        return cleaned(self.board.title, 100) or cleaned(self.board.challenge)

    @property
    def direction(self) -> str:
        """Which score is first."""
        return "lowest" if self.board.metric_info(self.board.metric).lower_is_better else "highest"

    @property
    def caption(self) -> str:
        """What ranks."""
        ladder = ", as the Ladder answered" if self.board.laddered else ""
        metric, part = cleaned(self.board.metric), part_words(self.board.part)
        return f"Ranked by {metric} on {part}, {self.direction} first{ladder}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Terms and values for the head of the page."""
        board = self.board
        teams = {team_of(row.entry.submission) for row in board.rows}
        return [
            ("Metric", f"{cleaned(board.metric)}, {self.direction} is best"),
            ("Part", part_words(board.part)),
            (
                "Data",
                f"{'toy (simulated)' if board.is_toy else board.data.kind}, {board.data.digest[:_SHORT]}",
            ),
            ("Submissions", f"{len(board.rows)}, of them ranked {len(board.ranked)}"),
            ("Teams", str(len(teams))),
        ]

    def page(self, index: int) -> dict[str, Any]:
        """Return the facts of one submission's page, in the words that are shown."""
        return _page(self, self.board.rows[index], self.rows[index][0])


def part_words(part: str) -> str:
    """Return a part as people read it."""
    return {
        "valid": "validation (training data, cross-validated)",
        "public": "the public part of the test set",
        "private": "the private part of the test set",
        "test": "the test set",
    }.get(part, part.replace("_", " "))


def _short_part(part: str) -> str:
    return part.replace("_", " ")


def finite(value: float | None) -> float | None:
    """Return a number that JSON has, or None."""
    return None if value is None or not math.isfinite(value) else float(value)


def _rounded(value: float | None) -> float | None:
    known = finite(value)
    return None if known is None else round(known, 4)


# Columns ------------------------------------------------------------------------------------------------


def _score_cell(board: Board, row: RankedRow, metric: str, part: str, kind: str) -> Value:
    scoring = row.entry.scoring
    value = finite(scoring.scores.get(metric, {}).get(part))
    if value is None:
        return None
    if kind == "errors":
        error = finite(scoring.errors.get(metric, {}).get(part))
    elif kind == "spread" and row.has_several_folds:
        error = finite(scoring.spread.get(metric, {}).get(part))
    else:
        error = None
    # Digits that nobody sees would make half of a large site.
    digits = board.metric_info(metric).precision + 6
    return [round(value, digits)] if error is None else [round(value, digits), round(error, digits)]


def _error_kind(board: Board, metric: str, part: str) -> str:
    """Return which error stands beside the scores of a column: one kind a column, so that they compare."""
    if part not in PARTS:
        return ""
    for kind in ("errors", "spread"):
        if any(
            getattr(row.entry.scoring, kind).get(metric, {}).get(part) is not None
            and (kind == "errors" or row.has_several_folds)
            for row in board.rows
        ):
            return kind
    return ""


_ERROR_NOTE = {"errors": "± test sample", "spread": "± over folds", "": ""}

_Getter = Callable[[RankedRow], Value]


def _score_columns(board: Board) -> Iterable[tuple[Column, _Getter]]:
    for metric, part in board.columns():
        info = board.metric_info(metric)
        kind = _error_kind(board, metric, part)

        def get(row: RankedRow, metric: str = metric, part: str = part, kind: str = kind) -> Value:
            return _score_cell(board, row, metric, part, kind)

        errors = [cell[1] for row in board.rows if (cell := get(row)) and len(cell) > 1]
        pad = max((len(error_text(error, info.precision)) for error in errors), default=0)
        column = Column(
            key=f"score {cleaned(metric)} {part}",
            label=f"{cleaned(metric)} {_short_part(part)}",
            kind="score",
            note=_ERROR_NOTE[kind] if errors else "",
            digits=info.precision,
            pad=pad,
            down=not info.lower_is_better,
            # What ranks and, beside it, the other metrics of the same part.
            shown=part == board.part,
        )
        yield column, get


def _columns(
    board: Board, marks: Mapping[int, list[str]], teams: Mapping[str, str]
) -> list[tuple[Column, _Getter]]:
    rows = board.rows
    tied = _tied_groups(board)

    def some(get: _Getter) -> bool:
        return any(get(row) is not None for row in rows)

    def name(row: RankedRow) -> Value:
        return [cleaned(row.entry.submission.name) or "(no name)", *marks.get(id(row), ())]

    def team(row: RankedRow) -> Value:
        written = row.entry.submission.team
        # Without a character that can be seen it is none: the name stands for it.
        return (teams.get(written) or cleaned(written)) if team_key(written) else None

    def tie(row: RankedRow) -> Value:
        return row.tie if row.tie in tied else None

    rank = (Column(key="rank", label="Rank", kind="rank"), lambda row: row.rank)
    uncertain: list[tuple[Column, _Getter]] = [
        (
            Column(key="range", label="Rank range", kind="range", note="test sample"),
            lambda row: None if row.rank_interval is None else list(row.rank_interval),
        ),
        (Column(key="tie", label="Statistically tied", kind="tie"), tie),
        (
            Column(
                key="holds", label="Stays ahead", kind="chance", note="of the next", down=True, shown=False
            ),
            lambda row: _rounded(row.holds),
        ),
        (
            Column(key="moved", label="Moved", kind="move", note="since public", down=True),
            lambda row: row.moved,
        ),
    ]
    who: list[tuple[Column, _Getter]] = [
        (Column(key="name", label="Submission", kind="name"), name),
        (Column(key="team", label="Team", kind="text"), team),
    ]
    run: list[tuple[Column, _Getter]] = [
        (
            Column(key="entries", label="Entries", kind="count", note="of the team", down=True),
            lambda row: row.entries,
        ),
        (
            Column(key="wall", label="Wall", kind="seconds", note="s"),
            lambda row: _rounded(row.entry.wall_seconds),
        ),
        (
            Column(key="cpu", label="CPU", kind="seconds", note="s"),
            lambda row: _rounded(row.entry.cpu_seconds),
        ),
        (
            Column(key="gpu", label="GPU", kind="seconds", note="s"),
            lambda row: _rounded(row.entry.gpu_seconds) or None,
        ),
        (
            Column(key="memory", label="Memory", kind="memory", note="MiB", shown=False),
            lambda row: row.entry.peak_memory_bytes,
        ),
        (
            Column(key="parameters", label="Parameters", kind="count"),
            lambda row: row.entry.submission.parameters,
        ),
        (
            Column(key="received", label="Received", kind="time", note="UTC"),
            lambda row: cleaned(row.entry.received_at[:19]),
        ),
        (
            Column(key="phase", label="Phase", kind="text", shown=False),
            lambda row: cleaned(row.phase) or None,
        ),
        (
            Column(key="verdict", label="Verdict", kind="verdict", shown=bool(board.unranked)),
            lambda row: row.entry.scoring.verdict.value,
        ),
    ]
    always = {"name", "wall", "cpu", "received", "verdict"}
    scores = list(_score_columns(board))
    # What matters comes first: on a phone the rest is to be scrolled to.
    candidates = [rank, who[0], *scores[:1], *who[1:], *uncertain, *scores[1:], *run]
    return [(column, get) for column, get in candidates if column.key in always or some(get)]


def _tied_groups(board: Board) -> set[int]:
    """Return the groups of more than one row: nobody is tied alone."""
    sizes = Counter(row.tie for row in board.rows if row.tie is not None)
    return {group for group, size in sizes.items() if size > 1}


# Names --------------------------------------------------------------------------------------------------


def _looks(words: str) -> str:
    """Return what two names that a reader might mix up have in common."""
    return unicodedata.normalize("NFKC", cleaned(words)).casefold()


def _marks(board: Board) -> dict[int, list[str]]:
    """Return by row what is said after its name: its digest if others have that name too, how it was run."""
    alike = Counter(_looks(row.entry.submission.name) for row in board.rows)
    found = {}
    for row in board.rows:
        marks = []
        if alike[_looks(row.entry.submission.name)] > 1:
            marks.append(f"#{cleaned(row.entry.submission.digest[:_SHORT])}")
        if row.entry.run_key.quick:
            marks.append("quick")
        if row.late:
            marks.append("late")
        if marks:
            found[id(row)] = marks
    return found


def _team_names(board: Board) -> dict[str, str]:
    """Return the names of teams that look alike with a mark that tells them apart."""
    alike = defaultdict(set)
    for team in {row.entry.submission.team for row in board.rows if row.entry.submission.team}:
        # What is one team to the rules is one here, however it is written.
        alike[_looks(team)].add(team_key(team))
    names = {}
    for team in {row.entry.submission.team for row in board.rows}:
        key = team_key(team)
        if len(alike.get(_looks(team), ())) > 1:
            mark = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:_SHORT]
            names[team] = f"{cleaned(team)} #{mark}"
    return names


def _keys(board: Board) -> list[str]:
    """Return an address for each row: how its digest begins, and a number where two share that."""
    seen: Counter[str] = Counter()
    keys = []
    for row in board.rows:
        digest = re.sub(r"[^0-9A-Za-z]", "", row.entry.submission.digest)[:_KEY] or "none"
        seen[digest] += 1
        keys.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return keys


# Pages of submissions -----------------------------------------------------------------------------------


def _visible(
    board: Board, scores: Mapping[str, Mapping[str, float]]
) -> Iterable[tuple[str, str, float | None]]:
    for metric in board.metrics:
        for part in board.parts:
            if part in scores.get(metric.name, {}):
                yield metric.name, part, finite(scores[metric.name][part])


def _scores(board: Board, row: RankedRow) -> list[list[Any]]:
    lines = []
    for metric, part, value in _visible(board, row.entry.scoring.scores):
        known = row.uncertainties(metric, part).values()
        errors = [finite(error) if part in PARTS else None for error in known]
        lines.append(
            [cleaned(metric), _short_part(part), board.metric_info(metric).precision, value, *errors]
        )
    return lines


def _folds(board: Board, row: RankedRow) -> dict[str, Any]:
    entry = row.entry
    by_fold = entry.scoring.fold_scores
    have = {key[:2] for scores in by_fold for key in _visible(board, scores)}
    wanted = [(m.name, part) for m in board.metrics for part in board.parts if (m.name, part) in have]
    several = any(outcome.training for outcome in entry.folds)
    lines = []
    for index, outcome in enumerate(entry.folds):
        scores = by_fold[index] if index < len(by_fold) else {}
        lines.append(
            [
                f"{outcome.fold}, training {outcome.training}" if several else str(outcome.fold),
                outcome.verdict.value,
                said(told_of(outcome.verdict, outcome.message), _MOST_SAID)
                if outcome.verdict is not Verdict.SCORED
                else "",
                *(finite(scores.get(metric, {}).get(part)) for metric, part in wanted),
                finite(outcome.wall_seconds),
                finite(outcome.cpu_seconds),
                outcome.peak_memory_bytes,
            ]
        )
    heads = [
        [f"{cleaned(metric)} {_short_part(part)}", board.metric_info(metric).precision]
        for metric, part in wanted
    ]
    return {"scores": heads, "lines": lines}


def _most(folds: Iterable[FoldOutcome], phase: str, what: str) -> float | None:
    return max(
        (float(getattr(use, what)) for fold in folds for use in fold.phases if use.phase == phase),
        default=None,
    )


def _usage(entry: BoardEntry) -> list[list[Any]]:
    """Return what the most demanding fold used beside what each fold might: name, kind, used, limit."""
    limits, folds = entry.run_key.limits, entry.folds
    if entry.submission.kind == "predictions":
        # Nothing of the participant's was run.
        return []
    each = any(fold.event_seconds for fold in folds)
    lines: list[list[Any]] = []
    for phase in ("fit", "predict"):
        for what, words in (("wall_seconds", "wall clock"), ("cpu_seconds", "CPU")):
            used = _most(folds, phase, what)
            if used is None:
                continue
            limit = getattr(limits, f"{phase}_{what.partition('_')[0]}")
            # Limits of predict are for one event where there are events, and sums do not compare with them.
            per_event = each and phase == "predict"
            name = f"{phase}, {words}" + (" (limit for one event)" if per_event else "")
            lines.append([name, "seconds", used, limit, not per_event])
    lines.append(["memory", "memory", entry.peak_memory_bytes, limits.memory_bytes, True])
    if entry.run_key.gpus:
        most = max((fold.gpu_seconds for fold in folds), default=0.0)
        lines.append(["GPU", "seconds", most, limits.gpu_seconds, True])
        lines.append(["GPU memory", "memory", entry.gpu_peak_memory_bytes, limits.gpu_memory_bytes, True])
    return lines


def _flat(value: Any, hidden: frozenset[str], path: str = "") -> Iterable[list[str]]:
    """Yield the leaves of nested records with their paths, without those of hidden parts."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key not in hidden:
                yield from _flat(item, hidden, f"{path} {cleaned(str(key))}".strip())
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _flat(item, hidden, f"{path} {number}".strip())
    elif isinstance(value, float) and not isinstance(value, bool):
        yield [path, f"{value:.6g}"]
    else:
        yield [path, said(str(value), _MOST_SAID)]


def _links(links: Iterable[str]) -> list[list[str]]:
    """Return links as text and, if they are plain https, as an address."""
    found = []
    for link in links:
        plain = (
            re.fullmatch(r"https://[A-Za-z0-9.-]+(?::\d+)?(?:/[!-~]*)?", link) is not None and len(link) < 500
        )
        found.append([cleaned(link, 120), link if plain else ""])
    return found


def log_lines(log: str) -> list[str]:
    """Return the last lines of a log, each made harmless."""
    lines = [line for line in text.safe_text(log).splitlines() if line.strip()]
    return [text.safe_message(line, 160) for line in lines[-_MOST_LOG_LINES:]]


def _clock(entry: BoardEntry) -> str:
    """Say what is known of the clock of a run: whose its cores were, and how fast they worked."""
    if (clock := clock_of(entry)) is None:
        return ""
    exclusive, seconds = clock
    cores = "cores of its own" if exclusive else "cores shared with other runs"
    return f"{cores}; reference work in {1000 * seconds:.2f} ms"


def _page(site: SiteBoard, row: RankedRow, key: str) -> dict[str, Any]:
    board, entry = site.board, row.entry
    submission, run = entry.submission, entry.run_key
    hidden = frozenset(ALL_PARTS) - set(board.parts)
    about = [
        ["kind", "prediction file" if submission.kind == "predictions" else "code"],
        ["parameters", "" if submission.parameters is None else str(submission.parameters)],
        ["phase", cleaned(row.phase) + (" (late)" if row.late else "")],
        ["received", cleaned(entry.received_at)[:19].replace("T", " ") + " UTC"],
        ["run", cleaned(entry.run_at)[:19].replace("T", " ") + " UTC" + (", quick" if run.quick else "")],
        ["seed and trainings", f"{run.seed}, {run.trainings}"],
        ["isolation", cleaned(f"{entry.isolation}, {entry.accounting}")],
        # Never the name of a host, which is the organiser's own business.
        ["processor", said("; ".join(classes_of(entry)), _MOST_SAID)],
        ["clock", _clock(entry)],
        ["digest", cleaned(submission.digest, 100)],
        ["challenge version", cleaned(run.challenge_version[:12])],
        ["scorer version", cleaned(entry.scoring.scorer_version[:12])],
        ["data", f"{board.data.kind} {cleaned(board.data.digest[:12])}"],
        *([cleaned(name), cleaned(version)] for name, version in sorted(entry.versions.items())),
    ]
    log = site.extras.log(entry) if site.extras.log is not None else ""
    return {
        "key": key,
        "title": cleaned(submission.title, 100),
        "description": cleaned(submission.description, 2000),
        "links": _links(submission.links),
        "verdict": entry.scoring.verdict.value,
        "reason": said(row.reason, _MOST_SAID),
        "about": [line for line in about if line[1].strip()],
        "scores": _scores(board, row),
        "folds": _folds(board, row),
        "usage": _usage(entry),
        "gates": list(_flat(entry.scoring.gates, hidden)),
        "log": log_lines(log) if log else [],
    }


def site_board(board: Board, extras: Extras | None = None) -> SiteBoard:
    """Return a board as the site shows it.

    Parameters
    ----------
    board
        Whose parts alone decide what is shown: nothing else of its entries is read.
    extras
        Pictures, curves and logs.
    """
    known = extras or Extras()
    columns = _columns(board, _marks(board), _team_names(board))
    rows = [
        (key, [get(row) for _, get in columns]) for key, row in zip(_keys(board), board.rows, strict=True)
    ]
    return SiteBoard(
        board=board,
        key=board.part,
        columns=tuple(column for column, _ in columns),
        rows=tuple(rows),
        notes=tuple(cleaned(note, 300) for note in (*known.notes, *board.notes)),
        extras=known,
    )
