"""The store: what was submitted, run and scored, in SQLite or PostgreSQL, with arrays and logs as files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from sqlalchemy import Connection, func, insert, inspect, select

from hepchallenge.exceptions import StoreError, UnknownName, UsageError
from hepchallenge.records import BoardEntry, DataInfo, FoldOutcome, RunKey, Scoring, StoredArray, Submission
from hepchallenge.store import attempts, codec, files, locks, receipts, schema
from hepchallenge.store.attempts import Run, RunRequest
from hepchallenge.store.engine import DATABASE_NAME, Database, iso, now, one_at_a_time
from hepchallenge.store.entries import read_entries, read_entries_for, read_folds
from hepchallenge.store.receipts import Received

__all__ = ["DATABASE_NAME", "DEFAULT_WORKSPACE", "Store", "open_workspace"]

DEFAULT_WORKSPACE = "hepchallenge-workspace"

# Any number that all releases share; it keeps two first openings apart.
_SCHEMA_LOCK = 7_205_118


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
        self._database = Database(self.workspace, url)
        self._locks: locks.Locks = (
            locks.ServerLocks(self._database.engine, self._database.name)
            if self._database.is_server
            else locks.FileLocks(self.workspace / "locks")
        )
        files.sweep(self.workspace / "predictions")
        files.sweep(self.workspace / "logs")
        files.sweep_live_logs(self.workspace / "logs" / "running")
        found = self._database.do(_found_version)
        if found is None or found < schema.SCHEMA_VERSION:
            self._database.do(_create_or_upgrade, write=True)
            found = self._database.do(_found_version)
        if found is None or found > schema.SCHEMA_VERSION:
            raise StoreError(
                f"{self._database.name}: expected schema version {schema.SCHEMA_VERSION} or older, "
                f"found {found}; it was made by a newer release of hepchallenge: use that one"
            )
        self._database.keep_open()

    def close(self) -> None:
        """Let go of the database and of its locks; recorded data are safe without it."""
        self._locks.close()
        self._database.close()

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
        """Take in a submission and return its id; see `add_submissions`."""
        return self.add_submissions(challenge, [submission], received_at)[0]

    def add_submissions(
        self, challenge: str, submissions: Sequence[Submission], received_at: datetime | None = None
    ) -> list[int]:
        """Take in submissions that came in this order, all or none of them, and return their ids.

        The same name and digest in the same challenge is one submission: it keeps its first id, record
        and `received_at`, which is the store's clock unless the organiser says when it came; never the
        participant's.
        """
        at = None if received_at is None else iso(received_at)
        return self._database.do(
            lambda connection: receipts.take_in(connection, challenge, submissions, at), write=True
        )

    def submission(self, submission_id: int) -> tuple[Submission, str]:
        """Return a submission as first taken in but with the team recorded last, and when it came (UTC)."""
        return self.submissions([submission_id])[0]

    def submissions(self, submission_ids: Sequence[int]) -> list[tuple[Submission, str]]:
        """Return what `submission` does, for many; `StoreError` if there is none of an id."""
        found = self._database.do(lambda connection: receipts.read_submissions(connection, submission_ids))
        return [found[number] for number in submission_ids]

    def assign_team(self, submission_id: int, team: str) -> None:
        """Record that the organiser says whose submission it is; the last word counts."""

        def work(connection: Connection) -> None:
            connection.execute(
                insert(schema.teams).values(
                    submission_id=submission_id, team=codec.escape(team), created_at=now(connection)
                )
            )

        self._database.do(work, write=True)

    def received(self, challenge: str) -> list[Received]:
        """Return all submissions to a challenge, on whatever data they were run, in order of receipt."""
        return self._database.do(lambda connection: receipts.read_received(connection, challenge))

    def add_choice(self, challenge: str, team: str, digests: Sequence[str]) -> None:
        """Record which submissions a team chooses; its earlier choices stay on record and count no more."""

        def work(connection: Connection) -> None:
            connection.execute(
                insert(schema.choices).values(
                    challenge=codec.escape(challenge),
                    team=codec.escape(team),
                    digests=codec.dumps(list(digests)),
                    created_at=now(connection),
                )
            )

        self._database.do(work, write=True)

    def choices(self, challenge: str) -> dict[str, tuple[str, ...]]:
        """Return the digests that every team chose last, by the team as it was recorded."""
        return self._database.do(lambda connection: receipts.read_choices(connection, challenge))

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
        request = RunRequest(
            key=key,
            submission_id=submission_id,
            data=data,
            isolation=isolation,
            accounting=accounting,
            versions=versions,
            rerun=rerun,
        )
        return self.open_runs([request])[0]

    def open_runs(self, requests: Sequence[RunRequest]) -> list[Run]:
        """Return what `open_run` would, asked for one request after the other, all or none of them."""
        return self._database.do(lambda connection: attempts.open_runs(connection, requests), write=True)

    def settled(self, keys: Iterable[RunKey]) -> set[str]:
        """Return the digests of those keys of which an attempt has a verdict of the submission's own making.

        It takes time for the keys asked for, not for what else is recorded.
        """
        digests = {codec.key_digest(key) for key in keys}
        return self._database.do(lambda connection: attempts.settled_keys(connection, digests))

    def record_fold(self, run: Run, outcome: FoldOutcome) -> FoldOutcome:
        """Record how a fold ended and return what stands in the record.

        A fold has one outcome for good: a second one is not recorded, the first is returned. Only
        `Verdict.INFRASTRUCTURE` is never final: it is kept as a failed try and the fold stays open.
        """
        return self.record_folds([(run, outcome)])[0]

    def record_folds(self, items: Sequence[tuple[Run, FoldOutcome]]) -> list[FoldOutcome]:
        """Record how many folds ended, all or none of them, and return for each what `record_fold` would.

        A failed try is not kept if the same items hold a final outcome of its fold.
        """
        return self._database.do(lambda connection: attempts.record_folds(connection, items), write=True)

    def fold_outcomes(self, run: Run) -> dict[int, FoldOutcome]:
        """Return the final outcomes of a run by job; one that is not in it has yet to be run."""
        table = schema.folds
        wanted = select(table.c.fold, table.c.outcome).where(table.c.run_id == run.id).order_by(table.c.fold)
        return {row.fold: codec.decode_fold(row.outcome) for row in self._database.rows(wanted)}

    def infrastructure_failures(self, run: Run) -> dict[int, FoldOutcome]:
        """Return the last failed try of every fold that the host failed and that is still open."""
        table = schema.infrastructure_failures
        wanted = select(table.c.fold, table.c.outcome).where(table.c.run_id == run.id).order_by(table.c.id)
        failures = {row.fold: codec.decode_fold(row.outcome) for row in self._database.rows(wanted)}
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
        found = self._database.rows(wanted)
        if not found:
            known = self._database.rows(select(submissions.c.name).where(mine).distinct())
            raise UnknownName("submission", name, (codec.unescape(row.name) for row in known))
        return attempts.read_run(found[0])

    # Scorings

    def record_scoring(self, run: Run, scoring: Scoring) -> int:
        """Append a scoring of a run and return its id; earlier ones stay."""
        return self.record_scorings([(run, scoring)])[0]

    def record_scorings(self, items: Sequence[tuple[Run, Scoring]]) -> list[int]:
        """Append scorings of runs, all or none of them, and return their ids."""
        return self._database.do(lambda connection: attempts.record_scorings(connection, items), write=True)

    def scorings(self, run: Run) -> list[Scoring]:
        """Return all scorings of a run, oldest first."""
        table = schema.scorings
        wanted = select(table.c.scoring).where(table.c.run_id == run.id).order_by(table.c.id)
        return [codec.decode_scoring(row.scoring) for row in self._database.rows(wanted)]

    def latest_scoring(self, run: Run) -> Scoring | None:
        """Return the scoring that counts: the last one that the host did not fail, else the last one."""
        return _that_counts(self.scorings(run))

    def run_of(self, entry: BoardEntry) -> Run:
        """Return the very run that an entry shows, to append a scoring to it."""
        key_digest = codec.key_digest(entry.run_key)
        table = schema.runs
        found = self._database.rows(
            select(table)
            .where(table.c.key_digest == key_digest, table.c.created_at == entry.run_at)
            .order_by(table.c.attempt.desc())
        )
        if not found:
            raise StoreError(
                f"{self._database.name}: no run of key {key_digest} was opened at {entry.run_at}"
            )
        return attempts.read_run(found[0])

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
            Whether folds, and how they were run, are read too; else `read_folds` has to read those that
            somebody looks at.

        Returns
        -------
        list of BoardEntry
            One for every submission and run key (limits and seed may differ): the latest attempt that was
            scored, with its scoring that counts. An attempt that the host failed gives way to an
            earlier one that ended well. Names that share a digest share its run.
        """

        def work(connection: Connection) -> list[BoardEntry]:
            found = read_entries(connection, challenge, data_digest, challenge_version)
            if folds:
                read_folds(connection, found)
            return found

        return self._database.do(work)

    def entries_for(self, pairs: Sequence[tuple[int, RunKey]], *, folds: bool = True) -> list[BoardEntry]:
        """Return the entries of submissions (by id) with their run keys, chosen as `entries` does.

        It takes time for the pairs asked for, not for what else is recorded.

        Raises
        ------
        StoreError
            If no attempt at one of the keys has a scoring, or there is no such submission.
        """

        def work(connection: Connection) -> list[BoardEntry]:
            found = read_entries_for(connection, pairs)
            if folds:
                read_folds(connection, found)
            return found

        return self._database.do(work)

    def read_folds(self, entries: Iterable[BoardEntry]) -> None:
        """Read the folds of entries that were read without them, and how they were run."""
        wanted = list(entries)
        self._database.do(lambda connection: read_folds(connection, wanted))

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
        its holder ends, even by SIGKILL. Who waits for a lock should hold no other.
        """
        with self._locks.take(codec.key_digest(key), on_wait):
            yield

    def try_lock(self, key: RunKey) -> contextlib.AbstractContextManager[None] | None:
        """Take the lock of `key` and return the context that frees it when it is left, or None; never wait.

        None means that somebody else holds it.
        """
        return self._locks.try_take(codec.key_digest(key))


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
    """Bring the database to the present schema, in one transaction: all the way or not at all."""
    one_at_a_time(connection, _SCHEMA_LOCK)
    found = _found_version(connection)
    if found is None:
        # What the migrations would make, without importing what they need.
        schema.metadata.create_all(connection, checkfirst=False)
        for statement in schema.append_only_statements(connection.dialect.name, schema.metadata.tables):
            connection.exec_driver_sql(statement)
        reached = [schema.SCHEMA_VERSION]
    elif found < schema.SCHEMA_VERSION:
        later = {table.name for table in schema.metadata.sorted_tables if table.info.get("since", 1) > found}
        if foreign := sorted(later & {*inspect(connection).get_table_names()}):
            raise StoreError(f"schema version {found} has no tables {foreign}, yet the database has")
        from hepchallenge.store import migrations

        reached = migrations.upgrade(connection, found)
    else:
        return
    at = now(connection)
    connection.execute(
        insert(schema.schema_version), [{"version": version, "created_at": at} for version in reached]
    )


def _that_counts(scorings: list[Scoring]) -> Scoring | None:
    own = [scoring for scoring in scorings if scoring.verdict.is_participants_own]
    candidates = own or scorings
    return candidates[-1] if candidates else None
