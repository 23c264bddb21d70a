"""Runs, their folds and their scorings, many at once: each function works within one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from hepchallenge.exceptions import StoreError
from hepchallenge.records import DataInfo, FoldOutcome, RunKey, Scoring, Verdict
from hepchallenge.store import codec, schema
from hepchallenge.store.engine import chunks, insert_once, now, one_at_a_time

__all__ = [
    "Run",
    "RunRequest",
    "open_runs",
    "read_run",
    "record_folds",
    "record_scorings",
    "settled_keys",
]

# Any number that all releases share. One for all keys: a server has room for so many locks only, and an
# opening takes milliseconds.
_OPENING_LOCK = 7_205_119


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt at computing a run key, as it was opened."""

    id: int
    key: RunKey
    key_digest: str
    attempt: int
    submission_id: int
    data: DataInfo
    isolation: str
    accounting: str
    versions: dict[str, str]
    created_at: str
    """ISO 8601 in UTC, by the store's clock."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """A run key to go on with or to open, and the conditions under which it would be computed."""

    key: RunKey
    submission_id: int
    data: DataInfo
    isolation: str
    accounting: str
    versions: Mapping[str, str]
    rerun: bool = False
    """Open a new attempt, whatever there is."""


@dataclass(frozen=True)
class _Latest:
    """The last attempt at a key."""

    attempt: int
    conditions: tuple[str, str, str]
    settled: bool


def read_run(row: Any) -> Run:
    """Return a run from its row."""
    return Run(
        id=row.id,
        key=codec.decode_key(row.key),
        key_digest=row.key_digest,
        attempt=row.attempt,
        submission_id=row.submission_id,
        data=DataInfo(kind=row.data_kind, digest=row.data_digest),
        isolation=row.isolation,
        accounting=row.accounting,
        versions=codec.loads(row.versions),
        created_at=row.created_at,
    )


def open_runs(connection: Connection, requests: Sequence[RunRequest]) -> list[Run]:
    """Return the attempt at every request, as if they were opened one after the other.

    Raises
    ------
    StoreError
        If a key names other data than its request.
    """
    for request in requests:
        if request.key.data_digest != request.data.digest:
            raise StoreError(
                f"the run key names the data {request.key.data_digest}, but {request.data.digest} were given"
            )
    digests = [codec.key_digest(request.key) for request in requests]
    one_at_a_time(connection, _OPENING_LOCK)
    latest = _latest_attempts(connection, digests)
    at = now(connection)
    opened, wanted = [], []
    for digest, request in zip(digests, requests, strict=True):
        conditions = (request.isolation, request.accounting, codec.dumps(dict(request.versions)))
        last = latest.get(digest)
        if last is None or request.rerun or not (last.settled or last.conditions == conditions):
            last = latest[digest] = _Latest(1 if last is None else last.attempt + 1, conditions, False)
            opened.append(_run_row(request, digest, last, at))
        wanted.append((digest, last.attempt))
    if opened:
        connection.execute(insert(schema.runs), opened)
    found = {(row.key_digest, row.attempt): row for row in _attempts(connection, digests)}
    return [read_run(found[which]) for which in wanted]


def _run_row(request: RunRequest, digest: str, last: _Latest, at: str) -> dict[str, object]:
    isolation, accounting, versions = last.conditions
    return {
        "key_digest": digest,
        "attempt": last.attempt,
        "key": codec.encode_key(request.key),
        "submission_id": request.submission_id,
        "challenge": codec.escape(request.key.challenge),
        "challenge_version": request.key.challenge_version,
        "submission_digest": codec.escape(request.key.submission_digest),
        "data_kind": request.data.kind,
        "data_digest": request.data.digest,
        "isolation": isolation,
        "accounting": accounting,
        "versions": versions,
        "created_at": at,
    }


def _attempts(connection: Connection, digests: Sequence[str]) -> Iterator[Any]:
    """Give the rows of all attempts at keys, of each key the first one first."""
    table = schema.runs
    for some in chunks(list(dict.fromkeys(digests))):
        wanted = (
            select(table).where(table.c.key_digest.in_(some)).order_by(table.c.key_digest, table.c.attempt)
        )
        yield from connection.execute(wanted).all()


def _latest_attempts(connection: Connection, digests: Sequence[str]) -> dict[str, _Latest]:
    rows = {row.key_digest: row for row in _attempts(connection, digests)}
    settled = _settled_runs(connection, [row.id for row in rows.values()])
    return {
        digest: _Latest(row.attempt, (row.isolation, row.accounting, row.versions), row.id in settled)
        for digest, row in rows.items()
    }


def _settled_runs(connection: Connection, ids: Sequence[int]) -> set[int]:
    table = schema.scorings
    found: set[int] = set()
    for some in chunks(ids):
        wanted = select(table.c.run_id).where(
            table.c.run_id.in_(some), table.c.verdict != Verdict.INFRASTRUCTURE.value
        )
        found.update(connection.execute(wanted).scalars())
    return found


def settled_keys(connection: Connection, digests: Collection[str]) -> set[str]:
    """Return which keys have an attempt with a verdict that the host did not bring about."""
    runs, scorings = schema.runs, schema.scorings
    found: set[str] = set()
    for some in chunks(list(digests)):
        wanted = (
            select(runs.c.key_digest)
            .join(scorings, scorings.c.run_id == runs.c.id)
            .where(runs.c.key_digest.in_(some), scorings.c.verdict != Verdict.INFRASTRUCTURE.value)
            .distinct()
        )
        found.update(connection.execute(wanted).scalars())
    return found


def record_folds(connection: Connection, items: Sequence[tuple[Run, FoldOutcome]]) -> list[FoldOutcome]:
    """Record how folds ended and return, for each, what stands in the record."""
    encoded = [codec.encode_fold(outcome) for _, outcome in items]
    which = [(run.id, outcome.job) for run, outcome in items]
    at = now(connection)
    # Of one job in two items the first counts. Rows go in the order of the index, so that two organisers with
    # the same jobs wait for each other and do not lock each other out.
    final: dict[tuple[int, int], dict[str, object]] = {}
    for (_, outcome), job, content in zip(items, which, encoded, strict=True):
        if outcome.verdict.is_participants_own and job not in final:
            final[job] = _fold_row(job, content, at) | {"verdict": outcome.verdict.value}
    insert_once(connection, schema.folds, [final[job] for job in sorted(final)])
    standing = _fold_texts(connection, sorted(set(which)))
    recorded, failures = [], []
    for (_, outcome), job, content in zip(items, which, encoded, strict=True):
        stands = standing.get(job)
        if stands is None:
            failures.append(_fold_row(job, content, at))
        recorded.append(outcome if stands in (None, content) else codec.decode_fold(stands))
    if failures:
        connection.execute(insert(schema.infrastructure_failures), failures)
    return recorded


def _fold_row(job: tuple[int, int], content: str, at: str) -> dict[str, object]:
    run_id, number = job
    return {"run_id": run_id, "fold": number, "outcome": content, "created_at": at}


def _fold_texts(connection: Connection, jobs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], str]:
    table = schema.folds
    found: dict[tuple[int, int], str] = {}
    for some in chunks(jobs, 400):
        # For pairs SQLite would read the whole table; so it reads a few folds more, by the index.
        runs, numbers = ({job[place] for job in some} for place in (0, 1))
        wanted = select(table.c.run_id, table.c.fold, table.c.outcome).where(
            table.c.run_id.in_(runs), table.c.fold.in_(numbers)
        )
        for run_id, number, content in connection.execute(wanted):
            found[run_id, number] = content
    return found


def record_scorings(connection: Connection, items: Sequence[tuple[Run, Scoring]]) -> list[int]:
    """Append scorings of runs and return their ids, in order."""
    if not items:
        return []
    at = now(connection)
    rows = [
        {
            "run_id": run.id,
            "verdict": scoring.verdict.value,
            "scoring": codec.encode_scoring(scoring),
            "created_at": at,
        }
        for run, scoring in items
    ]
    added = insert(schema.scorings).returning(schema.scorings.c.id, sort_by_parameter_order=True)
    return [int(number) for number in connection.execute(added, rows).scalars()]
