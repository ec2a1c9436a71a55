"""People: who changed what from where, the reader's zone, where sessions come from, sign-ins that failed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# SQLite counts rows by itself only for a column of type INTEGER.
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds columns in place, which leaves rows, indexes and triggers as they are on both databases."""
    op.add_column("users", sa.Column("zone", sa.Text(), nullable=False, server_default="UTC"))
    op.add_column("users", sa.Column("last_seen_at", sa.BigInteger(), nullable=True))
    op.add_column("tokens", sa.Column("scopes", sa.Text(), nullable=True))
    op.add_column("web_sessions", sa.Column("address", sa.Text(), nullable=False, server_default=""))
    op.add_column("web_sessions", sa.Column("agent", sa.Text(), nullable=False, server_default=""))
    _widen_audit_entries()
    op.create_table(
        "sign_in_failures",
        sa.Column("id", KEY, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
    )
    op.create_index("ix_sign_in_failures_subject_at", "sign_in_failures", ["subject", "at"])
    op.create_index("ix_sign_in_failures_at", "sign_in_failures", ["at"])


def _widen_audit_entries() -> None:
    op.add_column("audit_entries", sa.Column("outcome", sa.Text(), nullable=False, server_default="done"))
    op.add_column("audit_entries", sa.Column("token_id", KEY, nullable=True))
    op.add_column("audit_entries", sa.Column("session_id", KEY, nullable=True))
    op.add_column("audit_entries", sa.Column("address", sa.Text(), nullable=False, server_default=""))
    op.add_column("audit_entries", sa.Column("change", sa.Text(), nullable=True))
    op.add_column("audit_entries", sa.Column("request", sa.Text(), nullable=True))
    op.create_index("ix_audit_entries_object_id", "audit_entries", ["object", "id"])
    op.create_index("ix_audit_entries_actor_id", "audit_entries", ["actor", "id"])
    op.create_index("ix_audit_entries_action_id", "audit_entries", ["action", "id"])
    op.create_index("ix_audit_entries_at", "audit_entries", ["at"])
