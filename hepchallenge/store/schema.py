"""Tables of the workspace. Rows are only ever added; triggers refuse to change or remove them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "SCHEMA_VERSION",
    "append_only_statements",
    "choices",
    "folds",
    "infrastructure_failures",
    "metadata",
    "runs",
    "schema_version",
    "scorings",
    "submissions",
    "teams",
]

SCHEMA_VERSION = 2
"""Raised whenever a table is added or changes its meaning; an older release refuses a newer workspace.

Each version has a script in `migrations/versions`. Version 2 added `teams` and `choices`: tables tell since
when they are there.
"""

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("created_at", String(40), nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", Integer, primary_key=True),
    # SHA-256 of challenge, name and digest: names are a stranger's and may be too long for an index.
    Column("identity", String(64), nullable=False, unique=True),
    Column("challenge", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("received_at", String(40), nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key_digest", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("submission_id", ForeignKey("submissions.id"), nullable=False),
    Column("challenge", Text, nullable=False),
    Column("challenge_version", Text, nullable=False),
    Column("submission_digest", Text, nullable=False),
    Column("data_kind", String(16), nullable=False),
    Column("data_digest", Text, nullable=False),
    Column("isolation", Text, nullable=False),
    Column("accounting", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    UniqueConstraint("key_digest", "attempt"),
)

folds = Table(
    "folds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("fold", Integer, nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    UniqueConstraint("run_id", "fold"),
)
"""Outcomes that the submission brought about itself: one a job, for good. `fold` is the number of the job:
fold and training in one, the fold itself with one training."""

infrastructure_failures = Table(
    "infrastructure_failures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("fold", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    Index("infrastructure_failures_of_a_run", "run_id", "fold"),
)
"""Folds that the host failed: as many as happen, and none stands in the way of a real outcome."""

scorings = Table(
    "scorings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id"), nullable=False),
    Column("verdict", String(32), nullable=False),
    Column("scoring", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    Index("scorings_of_a_run", "run_id"),
)


teams = Table(
    "teams",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("submission_id", ForeignKey("submissions.id"), nullable=False),
    Column("team", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    Index("teams_of_a_submission", "submission_id"),
    info={"since": 2},
)
"""Teams that the organiser gave to submissions, the last one counts; else a submission's own word does."""

choices = Table(
    "choices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("challenge", Text, nullable=False),
    Column("team", Text, nullable=False),
    # A JSON list.
    Column("digests", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    info={"since": 2},
)
"""Submissions that a team chose to stand for it; its last choice counts."""


def append_only_statements(dialect: str, names: Iterable[str]) -> list[str]:
    """Return the SQL that makes the database itself refuse to change or remove rows of these tables."""
    if dialect == "postgresql":
        function = """
            CREATE OR REPLACE FUNCTION hepchallenge_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION USING MESSAGE = 'table ' || TG_TABLE_NAME || ' is append-only';
            END
            $$
        """
        return [function] + [
            f"CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION hepchallenge_append_only()"
            for name in names
        ]
    return [
        f"CREATE TRIGGER {name}_no_{change.lower()} BEFORE {change} ON {name} "
        f"BEGIN SELECT RAISE(ABORT, 'table {name} is append-only'); END"
        for name in names
        for change in ("UPDATE", "DELETE")
    ]
