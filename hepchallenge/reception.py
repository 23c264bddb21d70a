"""The organiser's desk: submissions are taken in, with time and team, and teams choose among theirs."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hepchallenge.exceptions import InvalidSubmission, StoreError, UnknownName, UsageError
from hepchallenge.records import BoardEntry, Submission, Verdict
from hepchallenge.text import clean, safe_text

if TYPE_CHECKING:
    from hepchallenge.board.rules import Admission
    from hepchallenge.contract import BoardRules, Challenge
    from hepchallenge.stage.submission import TakenIn
    from hepchallenge.store import Received, Store

__all__ = [
    "Arrival",
    "Choice",
    "TakenReceipt",
    "admissions",
    "arrived_before",
    "choose",
    "receive",
    "take_in_all",
]

_LEAST_DIGEST = 8
_FIRST_YEAR = 1970


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A submission that was copied in, or refused for what it holds."""

    record: Submission
    taken: TakenIn | None = None
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class TakenReceipt:
    """What `receive` says of one submission."""

    received: Received
    is_new: bool
    """Whether it had not been received before."""
    refusal: str
    """Why its files are not what the challenge takes; empty if they are."""
    admission: Admission
    """What phases and quotas say of it."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a team has chosen."""

    team: str
    """As it is written with the first of them."""
    submissions: tuple[Submission, ...]
    warnings: tuple[str, ...] = ()
    """Which of them could not stand for the team as things are, and why."""


def take_in_all(challenge: Challenge, sources: Sequence[Path], store: Store) -> list[Arrival]:
    """Copy submissions in; what is refused keeps its name and the reason.

    Raises
    ------
    UsageError
        If there is nothing at a source, or two are called the same.
    """
    from hepchallenge.stage.submission import submission_name, sweep_copies, take_in

    copies = store.workspace / "submissions"
    sweep_copies(copies)
    workflow = challenge.problem.workflow
    elements = [str(name) for name in getattr(workflow, "element_names", ())]
    takes_predictions = challenge.config.prediction_file is not None
    arrivals: list[Arrival] = []
    for source in sources:
        try:
            taken = take_in(source, copies, elements, takes_predictions)
            arrivals.append(Arrival(record=taken.record, taken=taken))
        except InvalidSubmission as error:
            try:
                name = submission_name(source)
            except InvalidSubmission:
                # Refused for its name: the others are taken nevertheless, and this one has to be called
                # something.
                name = clean(source.name, 100) or "(no name)"
            digest = hashlib.sha256(f"refused\0{name}\0{error}".encode()).hexdigest()
            record = Submission(name=name, digest=digest, kind="code")
            arrivals.append(Arrival(record=record, refusal=safe_text(str(error))))
            _keep_refusal(store, arrivals[-1])
    names = Counter(arrival.record.name for arrival in arrivals)
    for name, count in names.items():
        if count > 1:
            raise UsageError(
                f"two submissions are called {name!r}; rename a folder, since the name identifies it"
            )
    return arrivals


def _refusal(store: Store, record: Submission) -> Path:
    return store.workspace / "refusals" / f"{record.digest}.txt"


def _keep_refusal(store: Store, arrival: Arrival) -> None:
    """Keep why there is no copy of a submission, for whoever scores it later."""
    from hepchallenge.store import write_atomically

    path = _refusal(store, arrival.record)
    if not path.exists():
        write_atomically(path, arrival.refusal.encode("utf-8", "replace"))


def arrived_before(store: Store, record: Submission) -> Arrival:
    """Return a submission as it was taken in before, with the workspace's own copy of it.

    Raises
    ------
    StoreError
        If the workspace has neither a copy nor a reason why it was refused.
    """
    from hepchallenge.stage.submission import taken_before

    copies = store.workspace / "submissions"
    taken = taken_before(record, copies)
    if taken is not None:
        return Arrival(record=record, taken=taken)
    try:
        return Arrival(record=record, refusal=_refusal(store, record).read_text("utf-8"))
    except OSError:
        raise StoreError(
            f"{copies / record.digest}: expected the copy of {clean(record.name)}, found none; "
            "receive it again"
        ) from None


def admissions(received: Sequence[Received], rules: BoardRules) -> dict[int, Admission]:
    """Return what phases and quotas say of all submissions to a challenge, by their ids in the store."""
    from hepchallenge.board.rules import Receipt, admit, team_of

    receipts = [
        Receipt(team=team_of(one.submission), received_at=one.received_at, state=one.state)
        for one in received
    ]
    return {one.id: said for one, said in zip(received, admit(receipts, rules), strict=True)}


def receive(
    challenge: str | os.PathLike[str],
    sources: Sequence[str | os.PathLike[str]],
    *,
    team: str = "",
    at: datetime | None = None,
    reassign: bool = False,
    workspace: str | os.PathLike[str] | None = None,
    rules: BoardRules | None = None,
) -> list[TakenReceipt]:
    """Take submissions in without running them: they are copied, and the time of receipt is recorded.

    What is received again keeps its first receipt.

    Parameters
    ----------
    challenge, workspace
        As for `hepchallenge.score`.
    sources
        Submission folders, archives of them, or prediction files.
    team
        Whose they are. Counts more than what `submission.toml` says, which is a stranger's word.
    at
        When they came, aware; by default this moment.
    reassign
        Give to `team` what an organiser gave to another team before.
    rules
        By which quotas are told; by default those of the challenge.

    Raises
    ------
    UsageError
        If there is nothing at a source, two are called the same, `at` has no offset, lies before 1970 or has
        not come yet, or the organiser gave one of them to another team; nothing is recorded then.
    """
    from hepchallenge.board.rules import team_key
    from hepchallenge.contract import load_challenge
    from hepchallenge.store import open_workspace

    if at is not None and at.utcoffset() is None:
        raise UsageError(
            f"the time of receipt, {at.isoformat()}, has no offset; write it as in 09:30:00+02:00"
        )
    if at is not None and at.year < _FIRST_YEAR:
        raise UsageError(f"the time of receipt, {at.isoformat()}, is before {_FIRST_YEAR}")
    if at is not None and at > datetime.now(UTC):
        raise UsageError(f"the time of receipt, {at.isoformat()}, has not come yet")
    if team and not team_key(team):
        raise UsageError("the team has no character that can be seen")
    if reassign and not team:
        raise UsageError("say to which team: --reassign needs --team")
    loaded = load_challenge(challenge)
    with open_workspace(workspace) as store:
        arrivals = take_in_all(loaded, [Path(source) for source in sources], store)
        before = {(one.submission.name, one.submission.digest): one for one in store.received(loaded.name)}
        known = [before.get((arrival.record.name, arrival.record.digest)) for arrival in arrivals]
        for one in known:
            if one is None or not team or not one.assigned or reassign:
                continue
            if team_key(one.submission.team) != team_key(team):
                raise UsageError(
                    f"{one.submission.name}: these files were received under this name from team "
                    f"{clean(one.submission.team)} at {one.received_at}; rename the folder if another team "
                    "sent the same, or correct the team with --reassign"
                )
        ids = store.add_submissions(loaded.name, [arrival.record for arrival in arrivals], at)
        for number, one in zip(ids, known, strict=True):
            if team and (one is None or not one.assigned or one.submission.team != team):
                store.assign_team(number, team)
        now_there = store.received(loaded.name)
    after = {one.id: one for one in now_there}
    said = admissions(now_there, loaded.config.rules if rules is None else rules)
    return [
        TakenReceipt(
            received=after[number], is_new=one is None, refusal=arrival.refusal, admission=said[number]
        )
        for number, arrival, one in zip(ids, arrivals, known, strict=True)
    ]


def choose(
    challenge: str | os.PathLike[str],
    submissions: Sequence[str],
    *,
    team: str = "",
    workspace: str | os.PathLike[str] | None = None,
    rules: BoardRules | None = None,
    now: datetime | None = None,
) -> Choice:
    """Record which of its submissions a team chooses to stand for it; its last choice counts.

    Parameters
    ----------
    challenge, workspace
        As for `hepchallenge.score`.
    submissions
        Of each the name, the digest or at least its first eight digits, or the folder.
    team
        Whose they are; by default the team of them all.
    rules
        By default those of the challenge.
    now
        The time of the choice, aware; by default this moment.

    Raises
    ------
    UnknownName
        If a submission was never received.
    UsageError
        If it is another team's, or could be one of several, or is not ranked by phases and quotas; if there
        are too many; after the reveal; or if the board does not rank by choice.
    """
    from hepchallenge.board.rules import team_key, team_of
    from hepchallenge.contract import find_challenge
    from hepchallenge.store import open_workspace

    found = find_challenge(challenge)
    rules = found.config.rules if rules is None else rules
    if rules.entry != "chosen":
        raise UsageError(
            f'the board of {found.name} does not rank by choice but entry = "{rules.entry}"; '
            "see [board] of its challenge.toml, or give --rules"
        )
    if rules.reveal is not None and (now or datetime.now(UTC)) >= rules.reveal:
        raise UsageError(f"the private part was revealed at {rules.reveal}: nothing can be chosen any more")
    with open_workspace(workspace, must_exist=True) as store:
        received = store.received(found.name)
        picked = {one.id: one for one in (_resolve(received, wanted, team) for wanted in submissions)}
        if len(picked) > rules.most_chosen:
            raise UsageError(f"a team may choose {rules.most_chosen}, found {len(picked)}")
        written = {team_of(one.submission): _written_team(one.submission) for one in picked.values()}
        if len(written) > 1:
            raise UsageError(
                f"these are submissions of several teams: {', '.join(map(clean, sorted(written.values())))}"
            )
        ((key, name),) = written.items()
        if team and team_key(team) != key:
            raise UsageError(f"these are submissions of team {clean(name)}, not of {clean(team)}")
        said = admissions(received, rules)
        for number, one in picked.items():
            if said[number].refusal:
                raise UsageError(f"{one.submission.name}: {said[number].refusal}")
        store.add_choice(found.name, key, [one.submission.digest for one in picked.values()])
        chosen = tuple(one.submission for one in picked.values())
        warnings = _unscored(store.entries(found.name), chosen)
    return Choice(team=name, submissions=chosen, warnings=warnings)


def _written_team(submission: Submission) -> str:
    """Return the team as it is written; a submission without one stands for itself."""
    from hepchallenge.board.rules import team_key

    return submission.team if team_key(submission.team) else submission.name


def _unscored(entries: Sequence[BoardEntry], submissions: Sequence[Submission]) -> tuple[str, ...]:
    """Say which submissions have no score on the data that were scored last, and why."""
    from hepchallenge.board.ranking import standing_runs

    verdicts = {
        (entry.submission.name, entry.submission.digest): entry.scoring.verdict
        for entry in standing_runs(entries)
    }
    found = []
    for one in submissions:
        verdict = verdicts.get((one.name, one.digest))
        if verdict is None:
            found.append(f"{clean(one.name)} has no score so far")
        elif verdict is not Verdict.SCORED:
            found.append(f"{clean(one.name)} has no score: its verdict is {verdict.value}")
    return tuple(found)


def _resolve(received: Sequence[Received], wanted: str, team: str) -> Received:
    """Return the one submission that is meant by a name, a digest or a folder."""
    from hepchallenge.board.rules import team_key, team_of
    from hepchallenge.stage.submission import submission_name

    def called(name: str) -> list[Received]:
        return [one for one in received if one.submission.name == name]

    matches = called(wanted)
    if len(wanted) >= _LEAST_DIGEST:
        # Both are looked for: a name may be made to look like another team's digest.
        ids = {one.id for one in matches}
        digests = [one for one in received if one.submission.digest.startswith(wanted)]
        matches += [one for one in digests if one.id not in ids]
    if not matches and Path(wanted).exists():
        try:
            matches = called(submission_name(Path(wanted)))
        except InvalidSubmission as error:
            raise UsageError(str(error)) from None
    if not matches:
        raise UnknownName("submission", wanted, {one.submission.name for one in received})
    if team:
        matches = [one for one in matches if team_of(one.submission) == team_key(team)] or matches
    if len({(one.submission.digest, team_of(one.submission)) for one in matches}) > 1:
        several = ", ".join(
            f"{one.submission.digest[:_LEAST_DIGEST]} of team {clean(_written_team(one.submission))}"
            for one in matches
        )
        raise UsageError(f"{wanted} could be any of {several}: give the digest")
    return matches[0]
