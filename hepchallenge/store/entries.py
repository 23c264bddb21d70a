"""What a board shows: read within one transaction of the store, decoded when somebody looks at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, select

from hepchallenge.exceptions import StoreError
from hepchallenge.records import BoardEntry, RunKey, Verdict
from hepchallenge.store import codec, schema
from hepchallenge.store.engine import chunks
from hepchallenge.store.receipts import assigned_teams, read_submissions
from hepchallenge.store.recorded import (
    DATA_COLUMNS,
    RUN_COLUMNS,
    RecordedFolds,
    recorded_entry,
    recorded_scoring,
    set_run,
)

__all__ = ["read_entries", "read_entries_for", "read_folds"]


class _Counting(NamedTuple):
    """The attempt at a key, and its scoring, that count."""

    weight: tuple[bool, int, int]
    run_id: int
    submission_digest: str
    scoring: str
    data: list[Any]
    """`DATA_COLUMNS` of the run."""


def _that_count(connection: Connection, fits: ColumnElement[bool]) -> dict[str, _Counting]:
    """Return, by key, the last attempt and scoring that the host did not fail, else the last one."""
    runs, scorings = schema.runs, schema.scorings
    failed = Verdict.INFRASTRUCTURE.value
    names = ("id", "attempt", "key_digest", "submission_digest", *DATA_COLUMNS)
    columns = [scorings.c.id, scorings.c.verdict, scorings.c.scoring, *(runs.c[name] for name in names)]
    best: dict[str, _Counting] = {}
    for row in connection.execute(select(*columns).join(runs).where(fits)).all():
        number, verdict, text_of_scoring, run_id, attempt, key_digest, digest, *data = row
        weight = (verdict != failed, attempt, number)
        if key_digest not in best or weight > best[key_digest].weight:
            best[key_digest] = _Counting(weight, run_id, digest, text_of_scoring, data)
    return best


def read_entries(
    connection: Connection, challenge: str, data_digest: str | None, challenge_version: str | None
) -> list[BoardEntry]:
    """Return the entries of a board in the order in which the submissions came in.

    Their folds are not read, nor how they were run where a submission has but one run; see `read_folds`.
    """
    runs, scorings, submissions = schema.runs, schema.scorings, schema.submissions
    fits = runs.c.challenge == codec.escape(challenge)
    if challenge_version is not None:
        fits &= runs.c.challenge_version == challenge_version
    if data_digest is None:
        newest = select(runs.c.data_digest).join(scorings, scorings.c.run_id == runs.c.id).where(fits)
        data_digest = connection.execute(newest.order_by(runs.c.id.desc()).limit(1)).scalar_one_or_none()
        if data_digest is None:
            return []
    best = _that_count(connection, fits & (runs.c.data_digest == data_digest))

    by_digest: dict[str, list[tuple[_Counting, Any]]] = defaultdict(list)
    for one in sorted(best.values(), key=lambda one: one.run_id):
        by_digest[one.submission_digest].append((one, recorded_scoring(one.scoring)))

    entries: list[BoardEntry] = []
    several: list[BoardEntry] = []
    teams = assigned_teams(connection, challenge)
    taken_in = (
        select(submissions.c.id, submissions.c.digest, submissions.c.record, submissions.c.received_at)
        .where(submissions.c.challenge == codec.escape(challenge))
        .order_by(submissions.c.received_at, submissions.c.id)
    )
    for number, digest, record, received_at in connection.execute(taken_in).all():
        if digest not in by_digest:
            continue
        submission = codec.decode_submission(record)
        if number in teams:
            submission = replace(submission, team=teams[number])
        runs_of_one = by_digest[digest]
        for one, scoring in runs_of_one:
            entry = recorded_entry(one.data, submission, received_at, scoring, RecordedFolds(one.run_id))
            entries.append(entry)
            if len(runs_of_one) > 1:
                several.append(entry)
    # Which of them stands for its submission depends on how they were run.
    _read_runs(connection, several)
    return entries


def read_entries_for(connection: Connection, pairs: Sequence[tuple[int, RunKey]]) -> list[BoardEntry]:
    """Return the entry of every submission with its run key, without folds.

    Raises
    ------
    StoreError
        If no such submission was received, or no attempt at its key has a scoring.
    """
    digests = [codec.key_digest(key) for _, key in pairs]
    best: dict[str, _Counting] = {}
    for some in chunks(list(dict.fromkeys(digests))):
        best |= _that_count(connection, schema.runs.c.key_digest.in_(some))
    submissions = read_submissions(connection, [number for number, _ in pairs])
    scorings = {digest: recorded_scoring(one.scoring) for digest, one in best.items()}
    entries: list[BoardEntry] = []
    for (number, key), digest in zip(pairs, digests, strict=True):
        if digest not in best:
            raise StoreError(f"submission {key.submission_digest[:12]}: no attempt at its run key was scored")
        submission, received_at = submissions[number]
        one = best[digest]
        entries.append(
            recorded_entry(one.data, submission, received_at, scorings[digest], RecordedFolds(one.run_id))
        )
    _read_runs(connection, entries)
    return entries


def _read_runs(connection: Connection, entries: Sequence[BoardEntry]) -> None:
    """Read how these entries were run, unless that is known."""
    pending: dict[int, list[BoardEntry]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry.folds, RecordedFolds) and "run_at" not in vars(entry):
            pending[entry.folds.run_id].append(entry)
    runs = schema.runs
    columns = [runs.c.id, *(runs.c[name] for name in RUN_COLUMNS)]
    for chosen in chunks(list(pending)):
        for number, *run in connection.execute(select(*columns).where(runs.c.id.in_(chosen))):
            for entry in pending[number]:
                set_run(entry, run)


def read_folds(connection: Connection, entries: Sequence[BoardEntry]) -> None:
    """Read the folds of entries that were read without them, and how they were run."""
    _read_runs(connection, entries)
    pending: dict[int, list[RecordedFolds]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry.folds, RecordedFolds) and entry.folds.texts is None:
            pending[entry.folds.run_id].append(entry.folds)
    for chosen in chunks(list(pending)):
        outcomes: dict[int, dict[int, str]] = {number: {} for number in chosen}
        # The failed tries first, so that a final outcome of the same fold takes their place.
        for table in (schema.infrastructure_failures, schema.folds):
            wanted = select(table.c.run_id, table.c.fold, table.c.outcome).where(table.c.run_id.in_(chosen))
            for run_id, job, outcome in connection.execute(wanted.order_by(table.c.id)):
                outcomes[run_id][job] = outcome
        for number, of_run in outcomes.items():
            texts = [of_run[job] for job in sorted(of_run)]
            for folds in pending[number]:
                folds.texts = texts
