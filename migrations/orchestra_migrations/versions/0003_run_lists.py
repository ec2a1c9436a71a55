"""Lists of runs by two filters at once: their counts come from the index alone."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes both indexes anew: in place, so that triggers stay as they are."""
    op.drop_index("ix_runs_state", table_name="runs")
    op.create_index("ix_runs_state", "runs", ["state", "id", "worker_id", "project_id", "job_id"])
    op.drop_index("ix_runs_worker", table_name="runs")
    op.create_index("ix_runs_worker", "runs", ["worker_id", "id", "project_id", "job_id"])
