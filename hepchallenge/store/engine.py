"""The one way to the database: transactions on SQLite or PostgreSQL, tried again if a writer is there."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    NullPool,
    PoolProxiedConnection,
    Select,
    Table,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hepchallenge.exceptions import StoreError

__all__ = ["DATABASE_NAME", "Database", "chunks", "insert_once", "iso", "now", "one_at_a_time"]

DATABASE_NAME = "hepchallenge.sqlite"
"""Name of the default database inside a workspace."""

_BUSY_SECONDS = 10.0
"""How long one try waits for another writer; a write here takes milliseconds."""
_BUSY_TRIES = 6

_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""How long a server may be silent, unless the URL says so itself: seconds, the last in milliseconds.

A link that was cut is an error after a minute, not after a quarter of an hour."""

# Databases limit the parameters of a statement.
_VALUES_AT_ONCE = 900

_T = TypeVar("_T")
_Item = TypeVar("_Item")


class Database:
    """An engine, and the name by which errors call it (without a password)."""

    def __init__(self, workspace: Path, url: str | None) -> None:
        self.engine, self.name = _make_engine(workspace, url)
        self._anchor: PoolProxiedConnection | None = None

    def keep_open(self) -> None:
        """Hold an idle connection to SQLite, where the last one that closes has to tidy up the files."""
        if not self.is_server and self._anchor is None:
            anchor = self.engine.raw_connection()
            # It counts as open from its first look.
            anchor.cursor().execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._anchor = anchor

    def close(self) -> None:
        """Let go of all connections."""
        if self._anchor is not None:
            self._anchor.close()
            self._anchor = None
        self.engine.dispose()

    @property
    def is_server(self) -> bool:
        """Whether many hosts may share it: PostgreSQL."""
        return self.engine.dialect.name == "postgresql"

    def rows(self, wanted: Select[Any]) -> list[Any]:
        """Return what a query finds."""
        return self.do(lambda connection: list(connection.execute(wanted).all()))

    def do(self, work: Callable[[Connection], _T], *, write: bool = False) -> _T:
        """Do `work` in one transaction, again if another writer was in the way, a bounded number of times.

        Raises
        ------
        StoreError
            If the database fails or stays locked.
        """
        last: DBAPIError | None = None
        for attempt in range(_BUSY_TRIES):
            if attempt:
                time.sleep(0.05 * 2**attempt)
            try:
                with self.engine.connect() as plain:
                    connection = plain.execution_options(hepchallenge_write=write)
                    with connection.begin():
                        return work(connection)
            except DBAPIError as error:
                if not _is_busy(error):
                    raise StoreError(f"{self.name}: {error.orig}") from error
                last = error
            except SQLAlchemyError as error:
                raise StoreError(f"{self.name}: {error}") from error
        raise StoreError(f"{self.name}: locked by another process; tried {_BUSY_TRIES} times") from last


def _make_engine(workspace: Path, url: str | None) -> tuple[Engine, str]:
    try:
        parsed = make_url(url) if url else make_url("sqlite://").set(database=str(workspace / DATABASE_NAME))
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        backend = parsed.get_backend_name()
        if backend not in {"sqlite", "postgresql"}:
            raise StoreError(f"expected a sqlite or postgresql URL, found one for {backend}")
        arguments: dict[str, Any] = _PATIENCE
        if backend == "sqlite":
            # Each is used by one thread; only the idle one may be closed by another.
            arguments = {"timeout": _BUSY_SECONDS, "check_same_thread": False}
        arguments = {name: value for name, value in arguments.items() if name not in parsed.query}
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
        "synchronous = FULL",  # a commit survives a power cut; what ends together is committed together
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


def now(connection: Connection) -> str:
    """Return the store's time: of the one server that all hosts share, else of this host."""
    if connection.dialect.name == "postgresql":
        moment = connection.execute(select(func.clock_timestamp())).scalar_one()
    else:
        moment = datetime.now(UTC)
    return iso(moment)


def iso(moment: datetime) -> str:
    """Return a time as text; all are of the same length, so that text is in the order of time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def one_at_a_time(connection: Connection, number: int) -> None:
    """Keep other transactions with this number out until ours ends; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def insert_once(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows, except those whose unique columns are there."""
    if rows:
        builder = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(builder(table).on_conflict_do_nothing(), rows)


def chunks(items: Sequence[_Item], size: int = _VALUES_AT_ONCE) -> Iterator[Sequence[_Item]]:
    """Give items in pieces that a statement can take as parameters."""
    for first in range(0, len(items), size):
        yield items[first : first + size]
