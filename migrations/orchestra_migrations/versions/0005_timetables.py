"""Schedules have timetables and pauses; runs wait for earlier ones, are expected, and may be started elsewhere."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# SQLite counts rows by itself only for a column of type INTEGER.
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WHEN = ("cron", "every_seconds")


def upgrade() -> None:
    """Adds the columns in place, and brings what is stored of schedules into its new form."""
    for name, kind in (("at", sa.BigInteger()), ("by", sa.Text()), ("reason", sa.Text()), ("until", sa.BigInteger())):
        op.add_column("schedules", sa.Column(f"paused_{name}", kind))
    is_paused = sa.text("paused_at IS NOT NULL")
    op.create_index(
        "ix_schedules_next_fire_at_paused",
        "schedules",
        ["next_fire_at", "paused_until"],
        sqlite_where=is_paused,
        postgresql_where=is_paused,
    )
    op.add_column("runs", sa.Column("is_queued", sa.Boolean(), nullable=False, server_default=sa.false()))
    _watch_what_is_expected()
    _record_what_is_wrapped()
    _bring_up_to_date("schedules", "specification", _schedule)
    _bring_up_to_date("definitions", "document", _definition)
    _name_versions()


def _watch_what_is_expected() -> None:
    op.create_table(
        "expectations",
        sa.Column("job_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("look_at", sa.BigInteger()),
        sa.Column("retired_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_expectations")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_expectations_job_id")),
    )
    op.create_index("ix_expectations_look_at", "expectations", ["look_at"])
    op.create_table(
        "missed_runs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("job_id", _KEY, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("counted_from", sa.BigInteger(), nullable=False),
        sa.Column("missed_at", sa.BigInteger(), nullable=False),
        sa.Column("recovered_at", sa.BigInteger()),
        sa.Column("run_id", _KEY),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_missed_runs")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_missed_runs_job_id")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_missed_runs_run_id")),
        sa.UniqueConstraint("job_id", "due_at", name=op.f("uq_missed_runs_job_id_due_at")),
    )
    is_open = sa.text("recovered_at IS NULL")
    op.create_index("ix_missed_runs_open", "missed_runs", ["job_id"], sqlite_where=is_open, postgresql_where=is_open)


def _record_what_is_wrapped() -> None:
    op.create_table(
        "wraps",
        sa.Column("run_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("heard_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_wraps")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_wraps_run_id")),
    )
    op.create_index("ix_wraps_heard_at", "wraps", ["heard_at"])
    # The attempt of a wrapped run has no worker. No trigger looks at attempts, so that the copy on SQLite loses none.
    with op.batch_alter_table("attempts") as attempts:
        attempts.alter_column("worker_id", existing_type=_KEY, nullable=True)


def _schedule(old: dict[str, Any]) -> dict[str, Any]:
    if "timetable" in old:
        return old
    new = {key: value for key, value in old.items() if key not in (*_WHEN, "zone")}
    timetable: dict[str, Any] = {"triggers": [{key: old[key] for key in _WHEN if key in old}]}
    if "zone" in old:
        timetable["zone"] = old["zone"]
    return {**new, "timetable": timetable}


def _definition(old: dict[str, Any]) -> dict[str, Any]:
    jobs = [
        {**job, "schedule": _schedule(job["schedule"])} if job.get("schedule") else job for job in old.get("jobs", [])
    ]
    return {**old, "jobs": jobs} if jobs else old


def _bring_up_to_date(table: str, column: str, change: Any) -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.text(f"select id, {column} as found from {table}")).all():  # noqa: S608 - our names
        text = json.dumps(change(json.loads(row.found)), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        connection.execute(
            sa.text(f"update {table} set {column} = :text where id = :id"),  # noqa: S608 - our names
            {"text": text, "id": row.id},
        )


def _name_versions() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.text("select id, document from definitions")).all():
        digest = hashlib.sha256(row.document.encode()).hexdigest()
        connection.execute(
            sa.text("update definitions set digest = :digest where id = :id"), {"digest": digest, "id": row.id}
        )
