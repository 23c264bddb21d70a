"""Workspaces of earlier releases, brought to the present schema with Alembic's operations.

Each version has a script in `versions/`. Which one a workspace has is told by its table `schema_version`, as
in every release, so that a release refuses a workspace that a newer one has upgraded; there is no second
table for it, and no `alembic.ini`. Nothing leads back: what is recorded is only ever added to.

Only `hepchallenge.store.database` imports this, and only if there is something to do.
"""

from __future__ import annotations

import threading
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection

__all__ = ["upgrade"]

# What scripts operate on is one for the whole process.
_one_upgrade = threading.Lock()


def upgrade(connection: Connection, found: int) -> list[int]:
    """Run the scripts of all versions after `found`, the oldest first, and return those versions.

    Nothing is committed: the caller's transaction does that, for all of them or none.
    """
    scripts = _scripts_by_version()
    versions = sorted(version for version in scripts if version > found)
    with _one_upgrade, Operations.context(MigrationContext.configure(connection)):
        for version in versions:
            scripts[version].module.upgrade()
    return versions


def _scripts_by_version() -> dict[int, Script]:
    directory = ScriptDirectory(Path(__file__).parent)
    return {int(script.revision.removeprefix("version_")): script for script in directory.walk_revisions()}
