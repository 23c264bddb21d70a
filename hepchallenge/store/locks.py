"""One command at a time for one run key, whoever started it; a killed holder lets go by dying.

Files are locked where one host has the workspace, names on the PostgreSQL server where several may.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine

from hepchallenge.exceptions import StoreError

__all__ = ["FileLocks", "Locks", "ServerLocks"]

_FIRST_LOOK = 0.05
_LONGEST_LOOK = 1.0
"""Seconds between two looks at a lock that is waited for."""


class Locks(Protocol):
    """Locks by name, each held by one thread of one process of all that share the workspace."""

    def take(
        self, name: str, on_wait: Callable[[], object] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Take a lock and return what frees it when it is left; call `on_wait` once before waiting.

        Raises
        ------
        StoreError
            If there can be no such lock.
        """

    def try_take(self, name: str) -> contextlib.AbstractContextManager[None] | None:
        """Take a lock and return what frees it when it is left, or None if somebody holds it.

        Raises
        ------
        StoreError
            If there can be no such lock.
        """

    def close(self) -> None:
        """Free what is held still."""


class FileLocks:
    """Locks on files of a folder, freed by the kernel when their holder ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(
        self, name: str, on_wait: Callable[[], object] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Take the lock of a name, waiting for it."""
        if (held := self.try_take(name)) is not None:
            return held
        if on_wait is not None:
            on_wait()
        held = self._locked(name, fcntl.LOCK_EX)
        assert held is not None, "who waits gets it"
        return held

    def try_take(self, name: str) -> contextlib.AbstractContextManager[None] | None:
        """Take the lock of a name if nobody holds it."""
        return self._locked(name, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """Do nothing: each lock goes with its context."""

    def _locked(self, name: str, how: int) -> contextlib.AbstractContextManager[None] | None:
        # The file stays: removing it would let two holders lock two files of one name.
        path = self._folder / f"{name}.lock"
        with contextlib.ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                # Python opens it close-on-exec, so a submission's process cannot keep the lock alive.
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                stack.callback(os.close, handle)
                fcntl.flock(handle, how)
            except BlockingIOError:
                return None
            except OSError as error:
                raise StoreError(f"{path}: cannot lock: {error.strerror or error}") from error
            return _until_left(stack.pop_all())
        raise AssertionError("an exit stack passes errors on")


@contextlib.contextmanager
def _until_left(stack: contextlib.ExitStack) -> Iterator[None]:
    with stack:
        yield


class ServerLocks:
    """Advisory locks of a PostgreSQL server, for organisers on several hosts.

    One connection, opened with the first lock, holds all of them, so that the server frees them when the
    process ends, however it ends. If the server went away, what was held is taken again with the next lock,
    unless somebody else has been faster: then two commands compute the same, and the first record counts.

    Parameters
    ----------
    engine
        Of the database.
    database
        Its name in errors.
    """

    def __init__(self, engine: Engine, database: str) -> None:
        self._engine = engine
        self._database = database
        # Held for one statement at a time, never while somebody waits for a lock of the server.
        self._using = threading.Lock()
        self._connection: Any = None
        self._opened_by = 0
        self._space = ""
        self._held: set[str] = set()

    def take(
        self, name: str, on_wait: Callable[[], object] | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """Take the lock of a name, waiting for it."""
        if (held := self.try_take(name)) is not None:
            return held
        if on_wait is not None:
            on_wait()
        # The server could wait as well, but then nobody could free another lock over this connection.
        pause = _FIRST_LOOK
        while (held := self.try_take(name)) is None:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        return held

    def try_take(self, name: str) -> contextlib.AbstractContextManager[None] | None:
        """Take the lock of a name if nobody holds it."""
        with self._using:
            # To the server all threads of this process are one, which may have a lock more than once.
            if name in self._held or not self._asked("pg_try_advisory_lock", name):
                return None
            self._held.add(name)
        return self._freed_when_left(name)

    def close(self) -> None:
        """Let go of the connection, and with it of all locks."""
        with self._using:
            self._disconnect()
            self._held.clear()

    @contextlib.contextmanager
    def _freed_when_left(self, name: str) -> Iterator[None]:
        try:
            yield
        finally:
            with self._using:
                self._held.discard(name)
                # If the connection is gone, so is the lock.
                if self._connection is not None and self._opened_by == os.getpid():
                    with contextlib.suppress(StoreError):
                        self._asked("pg_advisory_unlock", name)

    def _asked(self, function: str, name: str) -> bool:
        """Call one of the server's functions on a lock, over a new connection if the old one is of no use."""
        errors = self._engine.dialect.loaded_dbapi.Error
        failure: Exception | None = None
        for _ in range(2):
            try:
                self._connect()
                return self._call(function, name)
            except errors as error:
                self._disconnect()
                failure = error
        raise StoreError(f"{self._database}: cannot lock: {failure}") from failure

    def _call(self, function: str, name: str) -> bool:
        digest = hashlib.sha256(f"{self._space}/{name}".encode()).hexdigest()
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT {function}(%s)", [int(digest[:15], 16)])
            return bool(cursor.fetchone()[0])

    def _connect(self) -> None:
        if self._connection is not None and self._opened_by == os.getpid():
            return
        if self._connection is not None:
            # We were forked: the connection is our parent's, and so are the locks.
            self._held.clear()
        pooled = self._engine.raw_connection()
        pooled.detach()
        self._connection, self._opened_by = pooled.dbapi_connection, os.getpid()
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            # Of a host that lost its power the server hears nothing; after half a minute it asks.
            for setting, value in (("idle", 30), ("interval", 10), ("count", 3)):
                cursor.execute(f"SET tcp_keepalives_{setting} = {value}")
            # Locks belong to a database, which may hold several workspaces in schemas of their own.
            cursor.execute("SELECT current_schema()")
            self._space = cursor.fetchone()[0]
        for name in self._held:
            self._call("pg_try_advisory_lock", name)

    def _disconnect(self) -> None:
        if self._connection is not None and self._opened_by == os.getpid():
            self._connection.close()
        self._connection = None
