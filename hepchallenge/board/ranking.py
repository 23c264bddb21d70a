"""Ranks, and which scores a board may show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from hepchallenge.board.hosts import host_note
from hepchallenge.board.ladder import Replicas, answered
from hepchallenge.board.rules import Ruling, judge, rankable, team_of
from hepchallenge.board.text import told_of
from hepchallenge.contract import BoardRules, Reference
from hepchallenge.exceptions import UsageError
from hepchallenge.records import BAGGED_PARTS, PARTS, BoardEntry, DataInfo, Verdict

__all__ = [
    "ALL_PARTS",
    "Board",
    "GaveWay",
    "MetricInfo",
    "RankedRow",
    "make_board",
    "metric_infos",
    "rank",
    "standing_runs",
]

ALL_PARTS = (*PARTS, *BAGGED_PARTS)

NO_RULES = BoardRules()

# What a board for one audience may show. Where a test set is split, its whole would give the private part
# away (whole and public known, private follows), so `test` then counts as private.
_SHOWN = {
    "valid": ("train", "valid", "bagged_valid"),
    "public": ("train", "valid", "public", "bagged_valid", "bagged_public"),
    "test": ("train", "valid", "test", "bagged_valid", "bagged_test"),
    "private": ALL_PARTS,
}


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """How a metric is read: its direction, and the decimals that are shown (never those that rank)."""

    name: str
    lower_is_better: bool
    precision: int


@dataclass(frozen=True, kw_only=True)
class RankedRow:
    """One submission on a board; without a rank if it has no score to rank by."""

    rank: int | None
    value: float | None
    """The unrounded score that ranks, or would if no other submission of the team stood here."""
    reason: str
    """Why there is no rank; empty if there is one."""
    entry: BoardEntry
    rank_interval: tuple[int, int] | None = None
    """First and last rank that the finite test sample allows, all rows covered at once; None if unknown."""
    holds: float | None = None
    """Probability that this row stays before the next one on another test sample of the same size."""
    tie: int | None = None
    """Number of the group of rows, from 1, within which the test sample cannot tell an order."""
    phase: str = ""
    """Name of the phase in which the submission was received."""
    late: bool = False
    """Whether it was received after the last phase had ended."""
    entries: int = 1
    """How many submissions of this team count against its quota."""
    moved: int | None = None
    """On a private board: ranks gained since the public one; negative if lost."""

    @property
    def has_several_folds(self) -> bool:
        """Whether its scores are means over folds, so that there is a spread over them."""
        return len(self.entry.scoring.fold_scores) > self.entry.run_key.trainings

    def uncertainties(self, metric: str, part: str) -> dict[str, float | None]:
        """Return what is known of a score's uncertainties by their origin: `test`, `folds`, `trainings`."""
        scoring = self.entry.scoring
        kinds = {
            "test": scoring.errors,
            "folds": scoring.spread if self.has_several_folds else {},
            "trainings": scoring.training_spread,
        }
        return {origin: kind.get(metric, {}).get(part) for origin, kind in kinds.items()}


class GaveWay(NamedTuple):
    """One submission in whose place another one of its team stands; there may be many more of these."""

    value: float | None
    """The unrounded score that would rank it."""
    reason: str
    """Why another one stands there."""
    entry: BoardEntry


@dataclass(frozen=True, kw_only=True)
class Board:
    """All that the renderers show: one challenge, one data set, one metric and part to rank by."""

    challenge: str
    title: str
    data: DataInfo
    metric: str
    part: str
    metrics: tuple[MetricInfo, ...]
    """All metrics, the ranking one first."""
    parts: tuple[str, ...]
    """Parts that may be shown, the ranking one first."""
    rows: tuple[RankedRow, ...]
    """Ranked rows by rank, then those without a rank."""
    gave_way: tuple[GaveWay, ...] = ()
    """Submissions in whose place another one of their team stands; no table or export has them."""
    notes: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    """Published scores of the literature, shown apart and never ranked."""
    rules: BoardRules = NO_RULES
    """By which it was made."""
    revealed: bool = False
    """Whether the private part may be shown to all by now."""
    laddered: bool = False
    """Whether its scores of the ranking part are what the Ladder answered."""

    @cached_property
    def ranked(self) -> tuple[RankedRow, ...]:
        """Rows with a rank."""
        return tuple(row for row in self.rows if row.rank is not None)

    @cached_property
    def unranked(self) -> tuple[RankedRow, ...]:
        """Rows without a rank, in the order in which they came in."""
        return tuple(row for row in self.rows if row.rank is None)

    @property
    def is_toy(self) -> bool:
        """Whether the data are simulated."""
        return self.data.kind == "toy"

    def metric_info(self, name: str) -> MetricInfo:
        """Return the direction and precision of a metric."""
        return next(metric for metric in self.metrics if metric.name == name)

    def reference_columns(self, metrics: Sequence[str]) -> list[tuple[str, str]]:
        """Return the pairs of metric and part of which some published score of these metrics is known."""
        known = {(one.metric, one.part) for one in self.references if one.metric in metrics}
        return sorted(known, key=lambda pair: (metrics.index(pair[0]), ALL_PARTS.index(pair[1])))

    def columns(self) -> list[tuple[str, str]]:
        """Return the pairs of metric and part that some row has and that may be shown, best known first."""
        return list(self._columns)

    @cached_property
    def _columns(self) -> list[tuple[str, str]]:
        have = {
            (metric, part)
            for row in self.rows
            for metric, by_part in row.entry.scoring.scores.items()
            for part in by_part
        }
        return [
            (metric.name, part)
            for metric in self.metrics
            for part in self.parts
            if (metric.name, part) in have
        ]


def rank(entries: Iterable[BoardEntry], metric: str, part: str, lower_is_better: bool) -> list[RankedRow]:
    """Rank entries by `scoring.scores[metric][part]`.

    Parameters
    ----------
    entries
        What to rank; their order matters only among those that were received at the same moment.
    metric, part
        The score to rank by.
    lower_is_better
        The direction.

    Returns
    -------
    list of RankedRow
        Competition ranks (1, 2, 2, 4) on unrounded scores, the earliest received first within a tie. Then,
        without rank and earliest first, all whose verdict is not `scored` or whose score is missing, NaN
        or infinite: in either direction none of them can stand before a ranked one.
    """
    placed, unplaced = _placed(entries, metric, part, lower_is_better)
    rows = [RankedRow(rank=place, value=value, reason="", entry=entry) for place, value, entry in placed]
    return rows + [RankedRow(rank=None, value=None, reason=reason, entry=entry) for entry, reason in unplaced]


def _placed(
    entries: Iterable[BoardEntry], metric: str, part: str, lower_is_better: bool
) -> tuple[list[tuple[int, float, BoardEntry]], list[tuple[BoardEntry, str]]]:
    """Return what has a rank, with that and its score, in order; and the rest with why it has none."""
    ranked: list[tuple[float, BoardEntry]] = []
    unplaced: list[tuple[BoardEntry, str]] = []
    for entry in sorted(entries, key=lambda item: item.received_at):
        scoring = entry.scoring
        value = scoring.scores.get(metric, {}).get(part)
        if scoring.verdict is not Verdict.SCORED:
            unplaced.append((entry, told_of(scoring.verdict, scoring.message)))
        elif value is None:
            unplaced.append((entry, f"no {metric} on {part}"))
        elif not math.isfinite(value):
            unplaced.append((entry, f"{metric} on {part} is not a finite number"))
        else:
            ranked.append((value, entry))

    # Sorting is stable, so ties stay in the order in which they were received.
    ranked.sort(key=lambda item: item[0] if lower_is_better else -item[0])
    placed: list[tuple[int, float, BoardEntry]] = []
    for position, (value, entry) in enumerate(ranked, start=1):
        place = placed[-1][0] if placed and placed[-1][1] == value else position
        placed.append((place, value, entry))
    return placed, unplaced


def metric_infos(score_types: Iterable[Any]) -> tuple[MetricInfo, ...]:
    """Return name, direction and precision of RAMP score types."""
    return tuple(
        MetricInfo(
            name=str(score_type.name),
            lower_is_better=bool(score_type.is_lower_the_better),
            # No double has more, and pages cannot show more than a hundred.
            precision=min(int(score_type.precision), 17),
        )
        for score_type in score_types
    )


def _parts(entries: Iterable[BoardEntry]) -> set[str]:
    """Return the parts on which something is scored; others do not matter once both halves are among them."""
    have: set[str] = set()
    for entry in entries:
        for by_part in entry.scoring.scores.values():
            have.update(by_part)
        if "public" in have and "private" in have:
            break
    return have


def _resolve_part(part: Literal["public", "private", "cv"] | None, have: set[str]) -> str:
    """Return the scored part that an audience's board ranks by, of those on which something is scored."""
    if part == "cv":
        return "valid"
    if part == "private" and "private" in have:
        return "private"
    if part != "private" and "public" in have:
        return "public"
    if part != "private" and "private" in have:
        # All rows of the test set are private, so its whole is as secret.
        if part is None:
            return "valid"
        raise UsageError("there is no public part: the whole test set is private; use --part cv")
    if "test" in have:
        return "test"
    if part is None or not have:
        return "valid" if part is None else "test"
    raise UsageError(f"there is no {part} part: nothing was scored on test data; use --part cv")


def _public_part(by: str, have: set[str]) -> str:
    """Return the part on which teams are judged while private scores are hidden."""
    if by != "valid" and "public" in have:
        return "public"
    # A whole test set that has a private part is as secret as that.
    return "valid" if "private" in have else by


def _ruled_rows(
    entries: Sequence[BoardEntry],
    metric: MetricInfo,
    *,
    part: str,
    public_part: str,
    laddered: bool,
    for_all: bool,
    rules: BoardRules,
    chosen: Mapping[str, Sequence[str]],
    replicas: Replicas | None,
) -> tuple[list[RankedRow], list[GaveWay]]:
    """Rank by one part what the rules let stand; what cannot be ranked follows as it came in.

    The second list has what gives way to another submission of its team.
    """
    rulings = judge(
        entries,
        rules,
        chosen,
        metric=metric.name,
        part=part,
        public_part=public_part,
        laddered=laddered,
        precision=metric.precision,
        lower_is_better=metric.lower_is_better,
        replicas=replicas,
    )
    told = list(entries)
    if laddered:
        for number, ruling in enumerate(rulings):
            answer = ruling.rung.value if ruling.rung else None
            told[number] = answered(entries[number], metric.name, part, answer)
    elif for_all and part in ("public", "test"):
        for number, ruling in enumerate(rulings):
            # What is outside all quotas must not be told its score, or it need not keep any.
            if ruling.admission.refusal and not ruling.admission.late:
                told[number] = answered(entries[number], metric.name, part, None)
    rulings_of: dict[int, Ruling] = {}
    competing: list[BoardEntry] = []
    apart: dict[int, str] = {}
    gave_way: list[GaveWay] = []
    for entry, ruling in zip(told, rulings, strict=True):
        if ruling.gives_way:
            # What the Ladder answered is another score.
            value = rankable(entry, metric.name, part) if laddered else ruling.value
            gave_way.append(GaveWay(value, ruling.gives_way, entry))
            continue
        key = id(entry)
        rulings_of[key] = ruling
        refusal = ruling.admission.refusal
        scoring = entry.scoring
        why = told_of(scoring.verdict, scoring.message)
        reason = "; ".join(filter(None, (refusal, why))) if refusal else ""
        if not refusal and ruling.reason and ruling.value is not None:
            reason = ruling.reason
        if reason:
            apart[key] = reason
        else:
            competing.append(entry)

    def row(entry: BoardEntry, rank: int | None, value: float | None, reason: str) -> RankedRow:
        ruling = rulings_of[id(entry)]
        admission = ruling.admission
        return RankedRow(
            rank=rank,
            value=value,
            reason=reason,
            entry=entry,
            phase=admission.phase,
            late=admission.late,
            entries=ruling.entries,
        )

    placed, unplaced = _placed(competing, metric.name, part, metric.lower_is_better)
    apart.update((id(entry), reason) for entry, reason in unplaced)
    rows = [row(entry, place, value, "") for place, value, entry in placed]
    rows += [row(entry, None, None, apart[id(entry)]) for entry in told if id(entry) in apart]
    return rows, gave_way


def _moved(rows: Iterable[RankedRow], public: Iterable[RankedRow], rules: BoardRules) -> list[RankedRow]:
    """Say by how many ranks every submission, or every team where one stands for it, moved."""

    def key(row: RankedRow) -> object:
        submission = row.entry.submission
        return (submission.name, submission.digest) if rules.entry == "all" else team_of(submission)

    before = {key(row): row.rank for row in public if row.rank is not None}
    return [
        replace(row, moved=before[key(row)] - row.rank)
        if row.rank is not None and key(row) in before
        else row
        for row in rows
    ]


def standing_runs(entries: Sequence[BoardEntry]) -> list[BoardEntry]:
    """Keep the run of each submission that stands for it: full before quick, settled, then the latest."""
    if len({(entry.submission.name, entry.submission.digest) for entry in entries}) == len(entries):
        return list(entries)
    runs: dict[tuple[str, str], list[BoardEntry]] = {}
    for entry in entries:
        runs.setdefault((entry.submission.name, entry.submission.digest), []).append(entry)

    def weight(entry: BoardEntry) -> tuple[bool, bool, str]:
        return not entry.run_key.quick, entry.scoring.verdict.is_participants_own, entry.run_at

    # Of equal ones the last.
    return [of_one[0] if len(of_one) == 1 else max(of_one[::-1], key=weight) for of_one in runs.values()]


def make_board(
    entries: Sequence[BoardEntry],
    *,
    challenge: str,
    metrics: Sequence[MetricInfo],
    official_metric: str,
    part: Literal["public", "private", "cv"] | None = None,
    title: str = "",
    references: Sequence[Reference] = (),
    rules: BoardRules = NO_RULES,
    chosen: Mapping[str, Sequence[str]] = MappingProxyType({}),
    replicas: Replicas | None = None,
    now: datetime | None = None,
) -> Board:
    """Rank entries for one audience and collect all that its board may show.

    Parameters
    ----------
    entries
        What the store gives for one challenge and one data set; one row a submission is kept: its latest
        run, full runs before quick ones.
    challenge, title
        Its name, and how it calls itself.
    metrics, official_metric
        All metrics, and the one to rank by.
    part
        `cv` ranks by the validation score and shows nothing of the test set; `public` by the public part of
        the test set (by the whole if it has no parts) and shows nothing of the private part; `private` by
        the private part (or the whole) and shows everything. None is `public`, or `cv` without a test set.
    references
        Published scores, to be shown beside.
    rules
        Which submissions stand for a team, how many it may send and when, and whether the public part is
        shown by the Ladder.
    chosen
        By team, the digests of the submissions that it chose last; for `entry = "chosen"`.
    replicas
        Bootstrap replicas of the official metric of an entry on a part, None where there are none. With them
        rows have intervals of ranks, probabilities to hold, and ties; not where the Ladder hides the scores.
    now
        The time to compare with the reveal, aware; by default this moment.

    Raises
    ------
    UsageError
        If there is nothing to rank, the data differ, the metric is unknown, there is no such part, or the
        Ladder needs errors that are unknown.
    OrganiserError
        If the rules demand one class of host and there are several, or one that no run was on.
    """
    if not entries:
        raise UsageError(f"{challenge}: nothing is scored yet; try: hepchallenge score {challenge}")
    data = entries[0].data
    if any(entry.data is not data and entry.data != data for entry in entries):
        raise UsageError(f"{challenge}: scores on different data do not compare")
    first = [metric for metric in metrics if metric.name == official_metric]
    if not first:
        known = ", ".join(metric.name for metric in metrics)
        raise UsageError(f"{challenge}: no metric is called {official_metric!r} (known: {known})")

    # Sorting is stable: what was received at the same moment stays in the store's order.
    shown = sorted(standing_runs(entries), key=lambda entry: entry.received_at)
    have = _parts(shown)
    by = _resolve_part(part, have)
    public_part = _public_part(by, have)
    laddered = rules.ladder and part != "private" and by in ("public", "test")
    ruled = partial(
        _ruled_rows,
        shown,
        first[0],
        public_part=public_part,
        for_all=part != "private",
        rules=rules,
        chosen=chosen,
        replicas=replicas,
    )
    rows, gave_way = ruled(part=by, laddered=laddered)
    if by == "private" and public_part == "public":
        rows = _moved(rows, ruled(part="public", laddered=rules.ladder)[0], rules)
    if replicas is not None and not laddered:
        from hepchallenge.board.uncertainty import with_uncertainties

        rows = with_uncertainties(rows, replicas, by, first[0].lower_is_better, rules.confidence)
    # On a challenge without parts, the organiser's view of the test set is everything as well.
    visible = ALL_PARTS if part == "private" else _SHOWN[by]
    notes = []
    if len({row.entry.scoring.scorer_version for row in rows if row.rank is not None}) > 1:
        notes.append(
            "These rows were scored by different versions of the challenge or the scorer; "
            f"make them comparable with: hepchallenge rescore {challenge}"
        )
    if gave_way:
        notes.append(f"Not shown, since another one stands for their team: {len(gave_way)} ({rules.entry})")
    if where := host_note((row.entry for row in rows if row.rank is not None), rules):
        notes.append(where)
    return Board(
        challenge=challenge,
        title=title,
        data=data,
        metric=official_metric,
        part=by,
        metrics=(*first, *(metric for metric in metrics if metric.name != official_metric)),
        parts=(by, *(name for name in visible if name != by)),
        rows=tuple(rows),
        gave_way=tuple(gave_way),
        notes=tuple(notes),
        references=tuple(references),
        rules=rules,
        revealed=rules.reveal is not None and (now or datetime.now(UTC)) >= rules.reveal,
        laddered=laddered,
    )
