"""What came in, for whom, and what teams chose: read within one transaction of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import Connection, select

from hepchallenge.exceptions import StoreError
from hepchallenge.records import Submission, Verdict
from hepchallenge.store import codec, schema
from hepchallenge.store.engine import chunks, insert_once, now, one_at_a_time

__all__ = [
    "Received",
    "assigned_teams",
    "read_choices",
    "read_received",
    "read_submissions",
    "take_in",
]

# Any number that all releases share.
_RECEIPT_LOCK = 7_205_120


@dataclass(frozen=True, kw_only=True)
class Received:
    """A submission as the store took it in, and how far it has come since."""

    id: int
    submission: Submission
    """With the team that the organiser gave it, if any was given."""
    received_at: str
    """ISO 8601 in UTC."""
    state: Literal["own", "waiting", "infrastructure"]
    """Whether it has a verdict of its own, none yet, or only one that the host brought about."""
    assigned: bool
    """Whether the organiser gave the team; else the submission says it of itself."""


def assigned_teams(connection: Connection, challenge: str) -> dict[int, str]:
    """Return the team that the organiser gave last, by the id of the submission."""
    teams, submissions = schema.teams, schema.submissions
    wanted = (
        select(teams.c.submission_id, teams.c.team)
        .join(submissions)
        .where(submissions.c.challenge == codec.escape(challenge))
        .order_by(teams.c.id)
    )
    return {row.submission_id: codec.unescape(row.team) for row in connection.execute(wanted)}


def read_received(connection: Connection, challenge: str) -> list[Received]:
    """Return all submissions to a challenge, on whatever data they were run, in order of receipt."""
    runs, scorings, submissions = schema.runs, schema.scorings, schema.submissions
    mine = codec.escape(challenge)
    verdicts: dict[str, set[str]] = {}
    ended = (
        select(runs.c.submission_digest, scorings.c.verdict)
        .join(scorings, scorings.c.run_id == runs.c.id)
        .where(runs.c.challenge == mine)
        .distinct()
    )
    for digest, verdict in connection.execute(ended):
        verdicts.setdefault(digest, set()).add(verdict)
    assigned = assigned_teams(connection, challenge)
    wanted = (
        select(submissions)
        .where(submissions.c.challenge == mine)
        .order_by(submissions.c.received_at, submissions.c.id)
    )
    found = []
    for row in connection.execute(wanted):
        record = codec.decode_submission(row.record)
        known = verdicts.get(row.digest, set())
        state: Literal["own", "waiting", "infrastructure"] = "own"
        if not known - {Verdict.INFRASTRUCTURE.value}:
            state = "infrastructure" if known else "waiting"
        found.append(
            Received(
                id=row.id,
                submission=replace(record, team=assigned.get(row.id, record.team)),
                received_at=row.received_at,
                state=state,
                assigned=row.id in assigned,
            )
        )
    return found


def take_in(
    connection: Connection, challenge: str, submissions: Sequence[Submission], received_at: str | None
) -> list[int]:
    """Record submissions that came together, in this order, unless they are there; return their ids."""
    table = schema.submissions
    # Ids are in the order of receipt, so that two organisers must not take in the same ones in turns.
    one_at_a_time(connection, _RECEIPT_LOCK)
    at = now(connection) if received_at is None else received_at
    identities = [codec.digest_of([challenge, one.name, one.digest]) for one in submissions]
    rows = [
        {
            "identity": identity,
            "challenge": codec.escape(challenge),
            "name": codec.escape(one.name),
            "digest": codec.escape(one.digest),
            "record": codec.encode_submission(one),
            "received_at": at,
        }
        for identity, one in zip(identities, submissions, strict=True)
    ]
    insert_once(connection, table, rows)
    ids: dict[str, int] = {}
    for some in chunks(identities):
        wanted = select(table.c.identity, table.c.id).where(table.c.identity.in_(some))
        ids.update({row.identity: row.id for row in connection.execute(wanted)})
    return [ids[identity] for identity in identities]


def read_submissions(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[Submission, str]]:
    """Return submissions by id, with the teams recorded last, and when they came (UTC).

    Raises
    ------
    StoreError
        If there is none of an id.
    """
    table, teams = schema.submissions, schema.teams
    found: dict[int, tuple[Submission, str]] = {}
    for some in chunks(list(dict.fromkeys(numbers))):
        given = select(teams.c.submission_id, teams.c.team).where(teams.c.submission_id.in_(some))
        team_of = {row.submission_id: row.team for row in connection.execute(given.order_by(teams.c.id))}
        wanted = select(table.c.id, table.c.record, table.c.received_at).where(table.c.id.in_(some))
        for row in connection.execute(wanted):
            record = codec.decode_submission(row.record)
            if row.id in team_of:
                record = replace(record, team=codec.unescape(team_of[row.id]))
            found[row.id] = record, row.received_at
    for number in numbers:
        if number not in found:
            raise StoreError(f"no submission has the id {number}")
    return found


def read_choices(connection: Connection, challenge: str) -> dict[str, tuple[str, ...]]:
    """Return the digests that every team chose last, by the team as it was recorded."""
    table = schema.choices
    wanted = select(table.c.team, table.c.digests).where(table.c.challenge == codec.escape(challenge))
    return {
        codec.unescape(row.team): tuple(codec.loads(row.digests))
        for row in connection.execute(wanted.order_by(table.c.id))
    }
