"""Schedules have timetables and pauses; a run may wait for the earlier ones of its job."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

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
    _bring_up_to_date("schedules", "specification", _schedule)
    _bring_up_to_date("definitions", "document", _definition)
    _name_versions()


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
