"""Pipelines: elements with their states, runs that belong to them, and what runs ask of workers beyond their jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# SQLite counts rows by itself only for a column of type INTEGER.
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds tables, and columns in place."""
    for name in ("retry_scope", "element", "element_key"):
        op.add_column("runs", sa.Column(name, sa.Text()))
    # As text, because Alembic would make SQLite's column and its reference in two steps, and SQLite knows but one.
    number = "integer" if op.get_bind().dialect.name == "sqlite" else "bigint"
    reference = "constraint fk_runs_parent_id_runs references runs (id)"
    op.execute(f"alter table runs add column parent_id {number} {reference}")
    has_parent = sa.text("parent_id IS NOT NULL")
    op.create_index("ix_runs_parent_id", "runs", ["parent_id"], sqlite_where=has_parent, postgresql_where=has_parent)
    op.create_table(
        "pipeline_elements",
        sa.Column("run_id", _KEY, sa.ForeignKey("runs.id", name="fk_pipeline_elements_run_id_runs"), nullable=False),
        sa.Column("element", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("child_id", _KEY, sa.ForeignKey("runs.id", name="fk_pipeline_elements_child_id_runs")),
        sa.Column("is_reused", sa.Boolean(), nullable=False),
        sa.Column(
            "job_version_id",
            _KEY,
            sa.ForeignKey("job_versions.id", name="fk_pipeline_elements_job_version_id_job_versions"),
        ),
        sa.Column("matrix", sa.Text()),
        sa.Column("item", sa.Text()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.BigInteger()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("decided_at", sa.BigInteger()),
        sa.Column("decided_by", sa.Text()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("run_id", "element", "key", name="pk_pipeline_elements"),
    )
    op.create_index("ix_pipeline_elements_child_id", "pipeline_elements", ["child_id"])
    op.create_index("ix_pipeline_elements_state_due_at", "pipeline_elements", ["state", "due_at"])
    op.create_table(
        "run_matchings",
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("matching", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("signature", name="pk_run_matchings"),
    )
