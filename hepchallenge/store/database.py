"""The store: what was submitted, run and scored, in SQLite or PostgreSQL, with arrays and logs as files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    Select,
    Table,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hepchallenge.exceptions import StoreError, UnknownName, UsageError
from hepchallenge.records import (
    BoardEntry,
    DataInfo,
    FoldOutcome,
    RunKey,
    Scoring,
    StoredArray,
    Submission,
    Verdict,
)
from hepchallenge.store import codec, files, locks, schema
from hepchallenge.store.receipts import Received, assigned_teams, read_choices, read_received
from hepchallenge.store.recorded import RUN_COLUMNS, RecordedFolds, recorded_entry

__all__ = ["DATABASE_NAME", "Run", "Store", "open_workspace"]

DATABASE_NAME = "hepchallenge.sqlite"
"""Name of the default database inside a workspace."""

DEFAULT_WORKSPACE = "hepchallenge-workspace"

_BUSY_SECONDS = 10.0
"""How long one try waits for another writer; a write here takes milliseconds."""
_BUSY_TRIES = 6

# Any number that all releases share; it keeps two first openings apart.
_SCHEMA_LOCK = 7_205_118

# Databases limit the parameters of a statement.
_RUNS_AT_ONCE = 900

_T = TypeVar("_T")


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


def open_workspace(workspace: str | os.PathLike[str] | None = None, *, must_exist: bool = False) -> Store:
    """Open the workspace that a command means.

    Parameters
    ----------
    workspace
        The folder; by default the environment's `HEPCHALLENGE_WORKSPACE`, else
        `hepchallenge-workspace` in the current folder. The database is SQLite inside it, unless
        `HEPCHALLENGE_DATABASE` holds a PostgreSQL URL.
    must_exist
        Refuse to make a new workspace (for commands that only read).

    Raises
    ------
    UsageError
        If it must exist and does not.
    StoreError
        If it cannot be opened.
    """
    folder = Path(workspace or os.environ.get("HEPCHALLENGE_WORKSPACE") or DEFAULT_WORKSPACE)
    url = os.environ.get("HEPCHALLENGE_DATABASE") or None
    if must_exist and not (folder / DATABASE_NAME if url is None else folder).exists():
        raise UsageError(f"{folder}: no workspace here; score something first or name another workspace")
    return Store(folder, url)


class Store:
    """An append-only workspace; safe to open from many processes and threads at once.

    Parameters
    ----------
    workspace
        Folder of the predictions, logs and locks, made if missing. On a farm it must be shared.
    url
        SQLAlchemy URL of the database, such as `postgresql+psycopg://user@host/name`; by default the
        SQLite file `hepchallenge.sqlite` in `workspace`.

    Raises
    ------
    StoreError
        By every method: if the database or the folder cannot be read or written, stays locked for about a
        minute, was made by a newer release, or holds damaged content.
    """

    def __init__(self, workspace: str | os.PathLike[str], url: str | None = None) -> None:
        # Absolute, since a submission runs in a folder of its own.
        self.workspace = Path(workspace).absolute()
        try:
            self.workspace.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.workspace}: cannot make the workspace: {error.strerror}") from error
        self._engine, self._name = _make_engine(self.workspace, url)
        files.sweep(self.workspace / "predictions")
        files.sweep(self.workspace / "logs")
        files.sweep_live_logs(self.workspace / "logs" / "running")
        found = self._do(_found_version)
        if found is None or found < schema.SCHEMA_VERSION:
            self._do(_create_or_upgrade, write=True)
            found = self._do(_found_version)
        if found is None or found > schema.SCHEMA_VERSION:
            raise StoreError(
                f"{self._name}: expected schema version {schema.SCHEMA_VERSION} or older, found {found}; "
                "it was made by a newer release of hepchallenge: use that one"
            )

    def close(self) -> None:
        """Let go of the database; recorded data are safe without it."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.workspace)!r})"

    # Submissions

    def add_submission(
        self, challenge: str, submission: Submission, received_at: datetime | None = None
    ) -> int:
        """Take in a submission and return its id.

        The same name and digest in the same challenge is one submission: it keeps its first id, record
        and `received_at`, which is the store's clock unless the organiser says when it came; never the
        participant's.
        """
        identity = codec.digest_of([challenge, submission.name, submission.digest])
        record = codec.encode_submission(submission)

        def work(connection: Connection) -> int:
            _insert_once(
                connection,
                schema.submissions,
                identity=identity,
                challenge=codec.escape(challenge),
                name=codec.escape(submission.name),
                digest=codec.escape(submission.digest),
                record=record,
                received_at=_now(connection) if received_at is None else _iso(received_at),
            )
            wanted = select(schema.submissions.c.id).where(schema.submissions.c.identity == identity)
            return int(connection.execute(wanted).scalar_one())

        return self._do(work, write=True)

    def submission(self, submission_id: int) -> tuple[Submission, str]:
        """Return a submission as first taken in but with the team recorded last, and when it came (UTC)."""
        table = schema.submissions

        def work(connection: Connection) -> tuple[Submission, str]:
            row = connection.execute(select(table).where(table.c.id == submission_id)).one_or_none()
            if row is None:
                raise StoreError(f"{self._name}: no submission has the id {submission_id}")
            record = codec.decode_submission(row.record)
            team = connection.execute(
                select(schema.teams.c.team)
                .where(schema.teams.c.submission_id == submission_id)
                .order_by(schema.teams.c.id.desc())
                .limit(1)
            ).scalar_one_or_none()
            return record if team is None else replace(record, team=codec.unescape(team)), row.received_at

        return self._do(work)

    def assign_team(self, submission_id: int, team: str) -> None:
        """Record that the organiser says whose submission it is; the last word counts."""

        def work(connection: Connection) -> None:
            connection.execute(
                insert(schema.teams).values(
                    submission_id=submission_id, team=codec.escape(team), created_at=_now(connection)
                )
            )

        self._do(work, write=True)

    def received(self, challenge: str) -> list[Received]:
        """Return all submissions to a challenge, on whatever data they were run, in order of receipt."""
        return self._do(lambda connection: read_received(connection, challenge))

    def add_choice(self, challenge: str, team: str, digests: Sequence[str]) -> None:
        """Record which submissions a team chooses; its earlier choices stay on record and count no more."""

        def work(connection: Connection) -> None:
            connection.execute(
                insert(schema.choices).values(
                    challenge=codec.escape(challenge),
                    team=codec.escape(team),
                    digests=codec.dumps(list(digests)),
                    created_at=_now(connection),
                )
            )

        self._do(work, write=True)

    def choices(self, challenge: str) -> dict[str, tuple[str, ...]]:
        """Return the digests that every team chose last, by the team as it was recorded."""
        return self._do(lambda connection: read_choices(connection, challenge))

    # Runs and folds

    def open_run(
        self,
        key: RunKey,
        submission_id: int,
        data: DataInfo,
        isolation: str,
        accounting: str,
        versions: Mapping[str, str],
        rerun: bool = False,
    ) -> Run:
        """Return the latest attempt at `key` to go on with, or open a new one.

        A new attempt is opened if there is none, if `rerun` asks for it, or if the latest one was left
        unfinished under another isolation, accounting or set of versions: folds recorded under
        different conditions never share a record. A finished attempt is returned whatever its conditions.
        """
        if key.data_digest != data.digest:
            raise StoreError(f"the run key names the data {key.data_digest}, but {data.digest} were given")
        key_digest = codec.key_digest(key)
        conditions = (isolation, accounting, codec.dumps(dict(versions)))
        table = schema.runs

        def work(connection: Connection) -> Run:
            _one_at_a_time(connection, int(key_digest[:15], 16))
            latest = connection.execute(
                select(table)
                .where(table.c.key_digest == key_digest)
                .order_by(table.c.attempt.desc())
                .limit(1)
            ).one_or_none()
            if latest is not None and not rerun:
                same = (latest.isolation, latest.accounting, latest.versions) == conditions
                if same or _is_settled(connection, latest.id):
                    return _run(latest)
            attempt = 1 if latest is None else latest.attempt + 1
            connection.execute(
                insert(table).values(
                    key_digest=key_digest,
                    attempt=attempt,
                    key=codec.encode_key(key),
                    submission_id=submission_id,
                    challenge=codec.escape(key.challenge),
                    challenge_version=key.challenge_version,
                    submission_digest=codec.escape(key.submission_digest),
                    data_kind=data.kind,
                    data_digest=data.digest,
                    isolation=isolation,
                    accounting=accounting,
                    versions=conditions[2],
                    created_at=_now(connection),
                )
            )
            wanted = select(table).where(table.c.key_digest == key_digest, table.c.attempt == attempt)
            return _run(connection.execute(wanted).one())

        return self._do(work, write=True)

    def is_settled(self, key: RunKey) -> bool:
        """Whether some attempt at `key` has a verdict that the host did not bring about."""
        runs, scorings = schema.runs, schema.scorings
        wanted = (
            select(scorings.c.id)
            .join(runs, scorings.c.run_id == runs.c.id)
            .where(runs.c.key_digest == codec.key_digest(key))
            .where(scorings.c.verdict != Verdict.INFRASTRUCTURE.value)
            .limit(1)
        )
        return bool(self._rows(wanted))

    def record_fold(self, run: Run, outcome: FoldOutcome) -> FoldOutcome:
        """Record how a fold ended and return what stands in the record.

        A fold has one outcome for good: a second one is not recorded, the first is returned. Only
        `Verdict.INFRASTRUCTURE` is never final: it is kept as a failed try and the fold stays open.
        """
        encoded = codec.encode_fold(outcome)
        table = schema.folds

        def work(connection: Connection) -> FoldOutcome:
            if outcome.verdict.is_participants_own:
                _insert_once(
                    connection,
                    table,
                    run_id=run.id,
                    fold=outcome.job,
                    verdict=outcome.verdict.value,
                    outcome=encoded,
                    created_at=_now(connection),
                )
            wanted = select(table.c.outcome).where(table.c.run_id == run.id, table.c.fold == outcome.job)
            settled = connection.execute(wanted).scalar_one_or_none()
            if settled is not None:
                return codec.decode_fold(settled)
            connection.execute(
                insert(schema.infrastructure_failures).values(
                    run_id=run.id, fold=outcome.job, outcome=encoded, created_at=_now(connection)
                )
            )
            return outcome

        return self._do(work, write=True)

    def fold_outcomes(self, run: Run) -> dict[int, FoldOutcome]:
        """Return the final outcomes of a run by job; one that is not in it has yet to be run."""
        table = schema.folds
        wanted = select(table.c.fold, table.c.outcome).where(table.c.run_id == run.id).order_by(table.c.fold)
        return {row.fold: codec.decode_fold(row.outcome) for row in self._rows(wanted)}

    def infrastructure_failures(self, run: Run) -> dict[int, FoldOutcome]:
        """Return the last failed try of every fold that the host failed and that is still open."""
        table = schema.infrastructure_failures
        wanted = select(table.c.fold, table.c.outcome).where(table.c.run_id == run.id).order_by(table.c.id)
        failures = {row.fold: codec.decode_fold(row.outcome) for row in self._rows(wanted)}
        settled = self.fold_outcomes(run)
        return {fold: failures[fold] for fold in sorted(failures) if fold not in settled}

    def latest_run(self, challenge: str, name: str) -> Run:
        """Return the run that was opened last for a submission of this name or digest.

        Raises
        ------
        UnknownName
            If the challenge has no run of such a submission here.
        """
        runs, submissions = schema.runs, schema.submissions
        mine = submissions.c.challenge == codec.escape(challenge)
        wanted = (
            select(runs)
            .join(submissions, submissions.c.digest == runs.c.submission_digest)
            .where(runs.c.challenge == codec.escape(challenge), mine)
            .where((submissions.c.name == codec.escape(name)) | (submissions.c.digest == codec.escape(name)))
            .order_by(runs.c.id.desc())
            .limit(1)
        )
        found = self._rows(wanted)
        if not found:
            known = self._rows(select(submissions.c.name).where(mine).distinct())
            raise UnknownName("submission", name, (codec.unescape(row.name) for row in known))
        return _run(found[0])

    # Scorings

    def record_scoring(self, run: Run, scoring: Scoring) -> int:
        """Append a scoring of a run and return its id; earlier ones stay."""
        encoded = codec.encode_scoring(scoring)

        def work(connection: Connection) -> int:
            result = connection.execute(
                insert(schema.scorings).values(
                    run_id=run.id,
                    verdict=scoring.verdict.value,
                    scoring=encoded,
                    created_at=_now(connection),
                )
            )
            assert result.inserted_primary_key is not None
            return int(result.inserted_primary_key[0])

        return self._do(work, write=True)

    def scorings(self, run: Run) -> list[Scoring]:
        """Return all scorings of a run, oldest first."""
        table = schema.scorings
        wanted = select(table.c.scoring).where(table.c.run_id == run.id).order_by(table.c.id)
        return [codec.decode_scoring(row.scoring) for row in self._rows(wanted)]

    def latest_scoring(self, run: Run) -> Scoring | None:
        """Return the scoring that counts: the last one that the host did not fail, else the last one."""
        return _that_counts(self.scorings(run))

    def run_of(self, entry: BoardEntry) -> Run:
        """Return the very run that an entry shows, to append a scoring to it."""
        key_digest = codec.key_digest(entry.run_key)
        table = schema.runs
        found = self._rows(
            select(table)
            .where(table.c.key_digest == key_digest, table.c.created_at == entry.run_at)
            .order_by(table.c.attempt.desc())
        )
        if not found:
            raise StoreError(f"{self._name}: no run of key {key_digest} was opened at {entry.run_at}")
        return _run(found[0])

    # What the board shows

    def entries(
        self,
        challenge: str,
        data_digest: str | None = None,
        challenge_version: str | None = None,
        *,
        folds: bool = True,
    ) -> list[BoardEntry]:
        """Return what can be compared on one board, in the order in which the submissions came in.

        Parameters
        ----------
        challenge
            Its name.
        data_digest
            Only runs on these data, since scores on different data do not compare; None stands for those of
            the most recent scored run.
        challenge_version
            Only runs of this version of the challenge; None stands for all, since rescoring makes runs of
            different versions comparable again (every entry says by which version it was run and scored).
        folds
            Whether folds are read too; else `read_folds` has to read those that somebody looks at.

        Returns
        -------
        list of BoardEntry
            One for every submission and run key (limits and seed may differ): the latest attempt that was
            scored, with its scoring that counts. An attempt that the host failed gives way to an
            earlier one that ended well. Names that share a digest share its run.
        """

        def work(connection: Connection) -> list[BoardEntry]:
            found = _entries(connection, challenge, data_digest, challenge_version)
            if folds:
                _read_folds(connection, found)
            return found

        return self._do(work)

    def read_folds(self, entries: Iterable[BoardEntry]) -> None:
        """Read the folds of entries that were read without them."""
        wanted = list(entries)
        self._do(lambda connection: _read_folds(connection, wanted))

    # Files

    def secret(self) -> bytes:
        """Return 32 random bytes that belong to this workspace; submissions never see its folder."""
        return files.secret(self.workspace)

    def save_array(self, array: np.ndarray[Any, Any]) -> StoredArray:
        """Keep a prediction array as `.npy` named by its content; safe to repeat, never pickled."""
        return files.save_array(self.workspace, array)

    def load_array(self, stored: StoredArray) -> np.ndarray[Any, Any]:
        """Return a kept array; `StoreError` if its bytes, shape or dtype are not those recorded."""
        return files.load_array(self.workspace, stored)

    def save_log(self, content: bytes) -> str:
        """Keep a log and return its path relative to the workspace."""
        return files.save_log(self.workspace, content)

    def load_log(self, path: str) -> bytes:
        """Return the bytes of a kept log."""
        return files.load_log(self.workspace, path)

    def live_log(self, run: Run, fold: int) -> Path:
        """Return where the log of a fold lies while it runs, and after its runner was killed."""
        return self.workspace / "logs" / "running" / f"{run.key_digest}-{fold}.log"

    def drop_live_log(self, run: Run, fold: int) -> None:
        """Remove it, as garbage of a killed runner or since what it held is recorded."""
        with contextlib.suppress(OSError):
            self.live_log(run, fold).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, key: RunKey, on_wait: Callable[[], object] | None = None) -> Iterator[None]:
        """Keep every other process and thread from running `key` meanwhile.

        `on_wait` is called once if somebody else holds it, before waiting for them. The lock is freed when
        its holder ends, even by SIGKILL.
        """
        with locks.exclusive(self.workspace / "locks" / f"{codec.key_digest(key)}.lock", on_wait):
            yield

    # The one way to the database

    def _rows(self, wanted: Select[Any]) -> list[Any]:
        return self._do(lambda connection: list(connection.execute(wanted).all()))

    def _do(self, work: Callable[[Connection], _T], *, write: bool = False) -> _T:
        """Do `work` in one transaction, again if another writer was in the way, a bounded number of times."""
        last: DBAPIError | None = None
        for attempt in range(_BUSY_TRIES):
            if attempt:
                time.sleep(0.05 * 2**attempt)
            try:
                with self._engine.connect() as plain:
                    connection = plain.execution_options(hepchallenge_write=write)
                    with connection.begin():
                        return work(connection)
            except DBAPIError as error:
                if not _is_busy(error):
                    raise StoreError(f"{self._name}: {error.orig}") from error
                last = error
            except SQLAlchemyError as error:
                raise StoreError(f"{self._name}: {error}") from error
        raise StoreError(f"{self._name}: locked by another process; tried {_BUSY_TRIES} times") from last


def _make_engine(workspace: Path, url: str | None) -> tuple[Engine, str]:
    """Return an engine and the name by which errors call the database (without a password)."""
    try:
        parsed = make_url(url) if url else make_url("sqlite://").set(database=str(workspace / DATABASE_NAME))
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        backend = parsed.get_backend_name()
        if backend not in {"sqlite", "postgresql"}:
            raise StoreError(f"expected a sqlite or postgresql URL, found one for {backend}")
        arguments = {"timeout": _BUSY_SECONDS} if backend == "sqlite" else {"connect_timeout": 10}
        # A new connection costs a millisecond or so; in return nothing stale or shared after a fork is used.
        engine = create_engine(parsed, poolclass=NullPool, connect_args=arguments)
    except SQLAlchemyError as error:
        raise StoreError(f"the database URL is not understood: {error}") from error
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs a driver ({error}); install the extra: pip install 'hepchallenge[farm]'"
        ) from error
    if backend == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine, str(parsed.database)
    return engine, parsed.render_as_string(hide_password=True)


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # Transactions are begun by us alone, not by the driver's guess at statements.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",  # readers never wait for a writer
        "synchronous = FULL",  # a commit survives a power cut; we commit a few times a minute
        "foreign_keys = ON",
        "recursive_triggers = ON",  # else REPLACE would remove rows behind the triggers' back
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its place at once; a reader that turns writer later could not wait for its turn.
    write = connection.get_execution_options().get("hepchallenge_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _is_busy(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", 0)
        return code & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    # Serialisation failure and deadlock: the transaction was undone as a whole.
    return getattr(error.orig, "sqlstate", None) in {"40001", "40P01"}


def _now(connection: Connection) -> str:
    """Return the store's time: of the one server that all hosts share, else of this host."""
    if connection.dialect.name == "postgresql":
        moment = connection.execute(select(func.clock_timestamp())).scalar_one()
    else:
        moment = datetime.now(UTC)
    return _iso(moment)


def _iso(moment: datetime) -> str:
    # All of the same length, so that text is in the order of time.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _found_version(connection: Connection) -> int | None:
    tables = set(inspect(connection).get_table_names())
    if schema.schema_version.name in tables:
        found = connection.execute(select(func.max(schema.schema_version.c.version))).scalar_one()
        if found is not None:
            return int(found)
    foreign = sorted(tables & set(schema.metadata.tables))
    if foreign:
        raise StoreError(f"the database is not a hepchallenge workspace, yet has the tables {foreign}")
    return None


def _create_or_upgrade(connection: Connection) -> None:
    """Add the tables that are missing, in one transaction: all of them, or those of later versions."""
    _one_at_a_time(connection, _SCHEMA_LOCK)
    found = _found_version(connection)
    if found is not None and found >= schema.SCHEMA_VERSION:
        return
    missing = [table for table in schema.metadata.sorted_tables if table.info.get("since", 1) > (found or 0)]
    names = [table.name for table in missing]
    if foreign := sorted({*names} & {*inspect(connection).get_table_names()}):
        raise StoreError(f"schema version {found} has no tables {foreign}, yet the database has")
    schema.metadata.create_all(connection, tables=missing, checkfirst=False)
    for statement in schema.append_only_statements(connection.dialect.name, names):
        connection.exec_driver_sql(statement)
    connection.execute(
        insert(schema.schema_version).values(version=schema.SCHEMA_VERSION, created_at=_now(connection))
    )


def _one_at_a_time(connection: Connection, number: int) -> None:
    """Keep other transactions with this number out until ours ends; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def _insert_once(connection: Connection, table: Table, **values: object) -> None:
    """Insert a row unless one with the same unique columns is there."""
    builder = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(builder(table).values(**values).on_conflict_do_nothing())


def _is_settled(connection: Connection, run_id: int) -> bool:
    table = schema.scorings
    verdicts = connection.execute(select(table.c.verdict).where(table.c.run_id == run_id)).scalars()
    return any(verdict != "infrastructure" for verdict in verdicts)


def _run(row: Any) -> Run:
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


def _that_counts(scorings: list[Scoring]) -> Scoring | None:
    own = [scoring for scoring in scorings if scoring.verdict.is_participants_own]
    candidates = own or scorings
    return candidates[-1] if candidates else None


def _entries(
    connection: Connection, challenge: str, data_digest: str | None, challenge_version: str | None
) -> list[BoardEntry]:
    runs, scorings, submissions = schema.runs, schema.scorings, schema.submissions
    fits = runs.c.challenge == codec.escape(challenge)
    if challenge_version is not None:
        fits &= runs.c.challenge_version == challenge_version
    if data_digest is None:
        newest = select(runs.c.data_digest).join(scorings, scorings.c.run_id == runs.c.id).where(fits)
        data_digest = connection.execute(newest.order_by(runs.c.id.desc()).limit(1)).scalar_one_or_none()
        if data_digest is None:
            return []
    fits &= runs.c.data_digest == data_digest

    # Of a run's scorings, and of a key's attempts, the last one counts that the host did not fail.
    best: dict[str, tuple[tuple[bool, int, int], int, str, str, list[Any]]] = {}
    failed = Verdict.INFRASTRUCTURE.value
    names = ("id", "attempt", "key_digest", "submission_digest", *RUN_COLUMNS)
    columns = [scorings.c.id, scorings.c.verdict, scorings.c.scoring, *(runs.c[name] for name in names)]
    for row in connection.execute(select(*columns).join(runs).where(fits)).all():
        number, verdict, text_of_scoring, run_id, attempt, key_digest, digest, *run = row
        weight = (verdict != failed, attempt, number)
        if key_digest not in best or weight > best[key_digest][0]:
            best[key_digest] = (weight, run_id, digest, text_of_scoring, run)

    by_digest: dict[str, list[tuple[int, list[Any], Scoring]]] = defaultdict(list)
    for _, run_id, digest, text_of_scoring, run in sorted(best.values(), key=itemgetter(1)):
        by_digest[digest].append((run_id, run, codec.decode_scoring(text_of_scoring)))

    entries: list[BoardEntry] = []
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
        for run_id, run, scoring in by_digest[digest]:
            entries.append(recorded_entry(run, submission, received_at, scoring, RecordedFolds(run_id)))
    return entries


def _read_folds(connection: Connection, entries: Sequence[BoardEntry]) -> None:
    pending: dict[int, list[RecordedFolds]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry.folds, RecordedFolds) and entry.folds.texts is None:
            pending[entry.folds.run_id].append(entry.folds)
    numbers = list(pending)
    for first in range(0, len(numbers), _RUNS_AT_ONCE):
        chosen = numbers[first : first + _RUNS_AT_ONCE]
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
