"""Policies: turns, demands, locks, rates, unique runs, quarantine, shares, and why attempts ended."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# SQLite counts rows by itself only for a column of type INTEGER.
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RANK_OF_A_POINT = 600_000_000
_HAS_NOT_ENDED = sa.text("ended_at IS NULL")
_IS_UNIQUE = sa.text("unique_key IS NOT NULL")
_IS_UNIQUE_AND_OPEN = sa.text("ended_at IS NULL AND unique_key IS NOT NULL")
_IS_LOST = sa.text("cause = 'lost'")


def upgrade() -> None:
    """Adds tables, and columns in place; gives all that waits its turn, and each signature the project of its runs."""
    op.add_column("projects", sa.Column("share", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("projects", sa.Column("reserve", sa.Text()))
    op.add_column("jobs", sa.Column("quarantined_at", sa.BigInteger()))
    op.add_column("jobs", sa.Column("quarantine_reason", sa.Text()))
    op.add_column("jobs", sa.Column("trusted_at", sa.BigInteger()))
    op.add_column("runs", sa.Column("rank", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("unique_key", sa.Text()))
    op.add_column("attempts", sa.Column("cause", sa.Text()))
    _tables()
    _signatures()
    # What is over has no turn any more.
    rank = f"coalesce(due_at, created_at) - priority * {_RANK_OF_A_POINT}"
    op.execute(f"update runs set rank = {rank} where ended_at is null")  # noqa: S608 - nothing of it is given by anyone
    op.drop_index("ix_runs_open", "runs")
    op.create_index(
        "ix_runs_open",
        "runs",
        ["state", "signature", "rank", "id"],
        sqlite_where=_HAS_NOT_ENDED,
        postgresql_where=_HAS_NOT_ENDED,
    )
    op.create_index(
        "ix_runs_unique",
        "runs",
        ["job_id", "unique_key", "id"],
        sqlite_where=_IS_UNIQUE,
        postgresql_where=_IS_UNIQUE,
    )
    op.create_index(
        "ix_runs_open_unique",
        "runs",
        ["job_id", "unique_key", "id"],
        sqlite_where=_IS_UNIQUE_AND_OPEN,
        postgresql_where=_IS_UNIQUE_AND_OPEN,
    )
    op.create_index("ix_attempts_lost", "attempts", ["ended_at"], sqlite_where=_IS_LOST, postgresql_where=_IS_LOST)


def _tables() -> None:
    op.create_table(
        "run_demands",
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("window_seconds", sa.Float()),
        sa.PrimaryKeyConstraint("signature", "resource", name="pk_run_demands"),
    )
    op.create_index("ix_run_demands_resource", "run_demands", ["resource"])
    op.create_table(
        "run_starts",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", _KEY, sa.ForeignKey("runs.id", name="fk_run_starts_run_id_runs"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("resource", "at", "run_id", "attempt", name="pk_run_starts"),
    )
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column(
            "project_id", _KEY, sa.ForeignKey("projects.id", name="fk_locks_project_id_projects"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name="pk_locks"),
    )
    op.create_index("ix_locks_project_id", "locks", ["project_id"])


def _signatures() -> None:
    own = "runs.project_id || '.' || runs.signature"
    op.execute(
        f"insert into run_matchings (signature, matching) select distinct {own}, run_matchings.matching from runs "  # noqa: S608 - as above
        "join run_matchings on run_matchings.signature = runs.signature where runs.ended_at is null"
    )
    op.execute(f"update runs set signature = {own} where ended_at is null and signature <> 'pipeline'")  # noqa: S608 - as above
    op.execute(
        "update job_versions set signature = (select jobs.project_id from jobs where jobs.id = job_versions.job_id) "
        "|| '.' || signature where signature <> 'pipeline'"
    )
