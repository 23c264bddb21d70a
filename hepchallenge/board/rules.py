"""The rules of a board, applied: phases and quotas, and which submissions stand for a team. All pure."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

from hepchallenge.board.hosts import host_refusals
from hepchallenge.board.ladder import (
    Replicas,
    Rung,
    error_of_difference,
    fixed_ladder,
    free_ladder,
)
from hepchallenge.contract.rules import BoardRules, Phase, duration
from hepchallenge.records import BoardEntry, Submission, Verdict
from hepchallenge.text import without_unseen

__all__ = [
    "Admission",
    "Receipt",
    "Ruling",
    "admit",
    "admit_entries",
    "judge",
    "rankable",
    "team_key",
    "team_of",
]


@lru_cache(maxsize=10_000)
def team_key(team: str) -> str:
    """Return what is equal for two spellings of a team that look alike or differ in case only.

    Compatible characters (full width, ligatures) and cases are unified, what nobody sees is removed, blanks
    count once. Look-alikes of different alphabets stay different.
    """
    if team.isascii() and team.isprintable():
        return " ".join(team.casefold().split())
    key = team
    # Folding a case can yield what is compatible with something else, and the other way round.
    for _ in range(4):
        folded = unicodedata.normalize("NFKC", key).casefold()
        folded = unicodedata.normalize("NFKC", without_unseen(" ".join(folded.split())))
        folded = " ".join(folded.split())
        if folded == key:
            break
        key = folded
    return key


def team_of(submission: Submission) -> str:
    """Return the key of a submission's team; without a team that can be seen, its name stands for one."""
    return team_key(submission.team) or team_key(submission.name) or submission.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A submission as the quotas see it."""

    team: str
    """By `team_of`."""
    received_at: str
    """ISO 8601 with offset."""
    state: Literal["own", "waiting", "infrastructure"] = "waiting"
    """Whether it has a verdict of its own, none yet, or one that the host brought about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the phases and quotas say of a submission."""

    phase: str = ""
    """The phase in which it was received; empty if in none, or if there are none."""
    late: bool = False
    """Whether it was received after the last phase had ended."""
    over_quota: bool = False
    """Whether its team had no submission left; it is not run then."""
    refusal: str = ""
    """Why it is not ranked, whatever its score; empty if it may be."""
    counts: bool = False
    """Whether it counts against the quotas of its team."""


class Ruling(NamedTuple):
    """What the rules make of one submission on one board."""

    admission: Admission
    value: float | None
    """The finite score by which it would rank, whatever the rules say; None if it has none."""
    entries: int
    """How many submissions of its team count."""
    gives_way: str = ""
    """Why another submission of its team is ranked in its place; empty if none is."""
    reason: str = ""
    """Why it cannot be ranked although it may be: no score by which teams are judged, or another host."""
    rung: Rung | None = None
    """What the Ladder answered, if there is one."""


@dataclass(slots=True)
class _Used:
    """What a team has sent in one phase so far."""

    moments: list[datetime] = field(default_factory=list)
    days: Counter[date] = field(default_factory=Counter)

    def take(self, moment: datetime) -> None:
        insort(self.moments, moment)
        self.days[moment.date()] += 1

    def refusal(self, phase: Phase, moment: datetime) -> str:
        """Say which quota is used up at a moment, and when the next submission may come."""
        if phase.submissions is not None and len(self.moments) >= phase.submissions:
            return f"at most {phase.submissions} of a team; no more in this phase"
        if phase.per_day is not None and self.days[moment.date()] >= phase.per_day:
            broken = f"at most {phase.per_day} of a team on one day (UTC)"
        elif phase.interval is not None and self._is_close(moment, phase.interval):
            broken = f"at least {duration(phase.interval)} between two of a team"
        else:
            return ""
        following = self._next(phase, moment)
        if phase.end is not None and following >= phase.end:
            return f"{broken}; no more in this phase"
        return f"{broken}; the next may come from {following:%Y-%m-%d %H:%M:%S} UTC"

    def _is_close(self, moment: datetime, interval: timedelta) -> bool:
        at = bisect_left(self.moments, moment)
        return any(abs(moment - other) < interval for other in self.moments[max(at - 1, 0) : at + 1])

    def _next(self, phase: Phase, moment: datetime) -> datetime:
        following = max(moment, self.moments[-1])
        if phase.interval is not None:
            following = max(following, self.moments[-1] + phase.interval)
        while phase.per_day is not None and self.days[following.date()] >= phase.per_day:
            following = datetime.combine(following.date() + timedelta(days=1), datetime.min.time(), UTC)
        return following


def _outside(moment: datetime, phases: Sequence[Phase]) -> Admission:
    """Return what is said of a submission that was received in no phase."""
    before = [phase for phase in phases if phase.end is not None and phase.end <= moment]
    if len(before) == len(phases):
        last = phases[-1].name
        return Admission(late=True, refusal=f"late: received after the end of phase {last!r}")
    following = phases[len(before)].name
    return Admission(refusal=f"early: received before the start of phase {following!r}")


def admit(receipts: Sequence[Receipt], rules: BoardRules) -> list[Admission]:
    """Apply phases and quotas to the submissions to one challenge.

    Parameters
    ----------
    receipts
        All submissions in the order in which they were received.
    rules
        Whose `phases` are applied.

    Returns
    -------
    list of Admission
        One for each receipt, in the same order.

    Notes
    -----
    What has a verdict of its own takes its place first, then what waits for one, each in order of receipt.
    What the host failed comes last and counts against no other: so trying it again costs its team nothing.
    What is refused counts against no quota.
    """
    if not rules.phases:
        own, failed = Admission(counts=True), Admission()
        return [failed if receipt.state == "infrastructure" else own for receipt in receipts]
    used: dict[tuple[str, str], _Used] = defaultdict(_Used)
    moments = [datetime.fromisoformat(receipt.received_at).astimezone(UTC) for receipt in receipts]
    turn = ("own", "waiting", "infrastructure")
    order = sorted(range(len(receipts)), key=lambda i: (turn.index(receipts[i].state), moments[i], i))
    admissions: dict[int, Admission] = {}
    for number in order:
        receipt, moment = receipts[number], moments[number]
        phase = next(
            (
                phase
                for phase in rules.phases
                if (phase.start is None or phase.start <= moment)
                and (phase.end is None or moment < phase.end)
            ),
            None,
        )
        if phase is None:
            admissions[number] = _outside(moment, rules.phases)
            continue
        mine = used[phase.name, receipt.team]
        broken = mine.refusal(phase, moment)
        if broken:
            refusal = f"over quota in phase {phase.name!r}: {broken}"
            admissions[number] = Admission(phase=phase.name, over_quota=True, refusal=refusal)
            continue
        mine.take(moment)
        admissions[number] = Admission(phase=phase.name, counts=receipt.state != "infrastructure")
    return [admissions[number] for number in range(len(receipts))]


def admit_entries(entries: Sequence[BoardEntry], rules: BoardRules) -> list[Admission]:
    """Apply phases and quotas to what a board shows, one entry a submission in order of receipt."""
    if not rules.phases:
        own, failed = Admission(counts=True), Admission()
        return [failed if e.scoring.verdict is Verdict.INFRASTRUCTURE else own for e in entries]
    receipts = [
        Receipt(
            team=team_of(entry.submission),
            received_at=entry.received_at,
            state="own" if entry.scoring.verdict.is_participants_own else "infrastructure",
        )
        for entry in entries
    ]
    return admit(receipts, rules)


def rankable(entry: BoardEntry, metric: str, part: str) -> float | None:
    """Return the finite score of an entry that has one to rank by, else None."""
    return _finite_scores([entry], metric, part)[0]


def _finite_scores(entries: Sequence[BoardEntry], metric: str, part: str) -> list[float | None]:
    """Return, of each entry, the finite score that it has to rank by, else None."""
    nothing: dict[str, float] = {}
    values: list[float | None] = []
    for entry in entries:
        scoring = entry.scoring
        value = scoring.scores.get(metric, nothing).get(part)
        ranked = value is not None and scoring.verdict is Verdict.SCORED and math.isfinite(value)
        values.append(value if ranked else None)
    return values


def judge(
    entries: Sequence[BoardEntry],
    rules: BoardRules,
    chosen: Mapping[str, Sequence[str]],
    *,
    metric: str,
    part: str,
    public_part: str,
    laddered: bool,
    precision: int,
    lower_is_better: bool,
    replicas: Replicas | None,
) -> list[Ruling]:
    """Apply the rules to all submissions on one board.

    Parameters
    ----------
    entries
        One a submission, in the order in which they were received.
    rules
        What to apply.
    chosen
        By team, the digests of the submissions that it chose last.
    metric, precision, lower_is_better
        The official metric, the decimals that are shown of it, and its direction.
    part
        The part by which this board ranks; it decides among several submissions that a team chose.
    public_part
        The part on which teams are judged while private scores are hidden.
    laddered
        Whether this board shows what the Ladder answered instead of scores.
    replicas
        For the Ladder without a step.

    Raises
    ------
    UsageError
        If the Ladder has no step and an error that it needs is unknown.
    OrganiserError
        If the rules demand one class of host and there are several; see `host_refusals`.

    Notes
    -----
    A team's best is its best by the public score, the earliest of equal ones, also where private scores
    rank: else a team would profit from sending much. With a Ladder it is the one that moved it last. A team
    that chose nothing that can be ranked has chosen its best ones by the public score.
    """
    teams = [team_of(entry.submission) for entry in entries]
    admissions = admit_entries(entries, rules)
    values = _finite_scores(entries, metric, part)
    public_values = values if public_part == part else _finite_scores(entries, metric, public_part)
    sign = 1 if lower_is_better else -1
    # By number, of what teams are judged by: lowest is best.
    public = {
        number: sign * value
        for number, (value, admission) in enumerate(zip(public_values, admissions, strict=True))
        if value is not None and not admission.refusal
    }
    off = _on_other_hosts(entries, list(public), rules)
    for number in off:
        del public[number]

    def shown(number: int) -> float:
        value = values[number]
        return math.inf if value is None else sign * value

    def own(number: int) -> bool:
        return entries[number].scoring.verdict.is_participants_own

    by_team: dict[str, list[int]] = defaultdict(list)
    for number in public:
        by_team[teams[number]].append(number)
    rungs: dict[int, Rung] = {}
    if rules.ladder and public_part in ("public", "test"):
        for numbers in by_team.values():
            climbed = _climb(
                [entries[n] for n in numbers], rules, metric, public_part, precision, sign, replicas
            )
            rungs.update(zip(numbers, climbed, strict=True))
    gives_way: dict[int, str] = {}
    if rules.entry != "all":
        picked = {team_key(team): frozenset(digests) for team, digests in chosen.items()}

        def chosen_by(team: str, numbers: list[int]) -> list[int]:
            digests = picked.get(team)
            return [n for n in numbers if entries[n].submission.digest in digests] if digests else []

        for team, numbers in by_team.items():
            gives_way |= _give_way(
                numbers,
                rules,
                chosen_by(team, numbers),
                public=public.__getitem__,
                shown=shown,
                rungs=rungs,
                laddered=laddered,
            )
    counted = Counter(team for team, admission in zip(teams, admissions, strict=True) if admission.counts)
    return [
        Ruling(
            admission,
            value,
            counted[team],
            gives_way.get(number, ""),
            off.get(number)
            or ("" if number in public or not own(number) else f"no {metric} on {public_part}"),
            rungs.get(number),
        )
        for number, (team, admission, value) in enumerate(zip(teams, admissions, values, strict=True))
    ]


def _on_other_hosts(
    entries: Sequence[BoardEntry], numbers: Sequence[int], rules: BoardRules
) -> dict[int, str]:
    """Return which of these entries ran on hosts that the rules do not take, with the reasons."""
    refusals = host_refusals([entries[number] for number in numbers], rules)
    return {number: why for number, why in zip(numbers, refusals, strict=True) if why}


def _climb(
    entries: Sequence[BoardEntry],
    rules: BoardRules,
    metric: str,
    part: str,
    precision: int,
    sign: int,
    replicas: Replicas | None,
) -> list[Rung]:
    """Return what the Ladder answers to the submissions of one team.

    Every team climbs its own: the Ladder bounds what one team learns, not what several agree on, nor what
    one learns that signs up under several names.
    """
    values = [entry.scoring.scores[metric][part] for entry in entries]
    if rules.ladder_step is not None:
        return fixed_ladder(values, rules.ladder_step, sign > 0)

    def error(one: int, other: int) -> float:
        return error_of_difference(entries[one], entries[other], metric, part, replicas)

    return free_ladder(values, error, precision, sign > 0)


def _give_way(
    numbers: Sequence[int],
    rules: BoardRules,
    chosen: Sequence[int],
    *,
    public: Callable[[int], float],
    shown: Callable[[int], float],
    rungs: Mapping[int, Rung],
    laddered: bool,
) -> dict[int, str]:
    """Return which submissions of one team are not ranked, and why; of `public` and `shown` lowest is best.

    Of equal ones the first stands.
    """
    holder = [number for number in numbers if number in rungs and rungs[number].moved]
    why: dict[int, str] = {}
    if rules.entry == "last":
        stands, reason = numbers[-1], "the team sent a later one"
    elif rules.entry == "best" or laddered:
        stands = holder[-1] if holder else min(numbers, key=public)
        reason = "another one of the team stands on the public board"
    else:
        own = chosen or sorted(sorted(numbers, key=public)[: rules.most_chosen])
        stands = min(own, key=shown)
        reason = (
            "the team did not choose it" if chosen else "others of the team are better on the public board"
        )
        why = dict.fromkeys(own, "another one that stands for the team is better")
    return {number: why.get(number, reason) for number in numbers if number != stands}
