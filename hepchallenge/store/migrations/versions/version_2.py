"""Whose a submission is by the organiser's word, and which submissions a team chose."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from hepchallenge.store.schema import append_only_statements

revision = "version_2"
# Version 1 is what the first release made.
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables `teams` and `choices`."""
    op.create_table(
        "teams",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("submission_id", sa.Integer, sa.ForeignKey("submissions.id"), nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
    )
    op.create_index("teams_of_a_submission", "teams", ["submission_id"])
    op.create_table(
        "choices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("challenge", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("digests", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
    )
    for statement in append_only_statements(op.get_bind().dialect.name, ["teams", "choices"]):
        op.execute(statement)
