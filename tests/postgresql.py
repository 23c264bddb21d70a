"""Fixtures that run a test on SQLite and on a PostgreSQL server of our own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from required import missing


def _server_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _unprivileged() -> dict[str, object]:
    """Popen arguments that drop root, as PostgreSQL demands."""
    if os.geteuid() != 0:
        return {}
    known = {user.pw_name: user for user in pwd.getpwall()}
    user = known.get("postgres") or known.get("nobody")
    if user is None:
        missing("postgresql", "PostgreSQL does not run as root and there is no user to run it as")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[str]:
    """Start a server that only listens on a Unix socket; give the socket's folder."""
    programs = _server_programs()
    if programs is None:
        missing("postgresql", "PostgreSQL is not installed (Debian: postgresql)")
    if find_spec("psycopg") is None:
        missing("postgresql", "psycopg is not installed (extra: farm)")
    import psycopg

    drop = _unprivileged()
    # Short on purpose: a socket's path has at most about a hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="hepchallenge-pg-", dir="/tmp"))
    if drop:
        os.chown(folder, int(str(drop["user"])), int(str(drop["group"])))
    try:
        subprocess.run(
            [programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "tester", "-E", "UTF8", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
            **drop,  # type: ignore[call-overload]
        )
        with open(folder / "server.log", "wb") as log:
            server = subprocess.Popen(
                [
                    programs / "postgres",
                    *("-D", folder / "data", "-k", folder),
                    *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40"),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                **drop,  # type: ignore[call-overload]
            )
        try:
            for _ in range(300):
                with contextlib.suppress(psycopg.OperationalError):
                    psycopg.connect(host=str(folder), user="tester", dbname="postgres").close()
                    break
                assert server.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.1)
            yield str(folder)
        finally:
            server.send_signal(signal.SIGQUIT)  # nothing in it is worth an orderly end
            server.wait()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql_url(postgresql_socket: str) -> str:
    """An empty schema of its own, which is far cheaper than a database of its own."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(host=postgresql_socket, user="tester", dbname="postgres") as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"postgresql+psycopg://tester@/postgres?host={postgresql_socket}&options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Every test that asks for it runs on both databases; None stands for SQLite in the workspace."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
