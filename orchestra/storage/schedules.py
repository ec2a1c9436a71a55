"""Schedules: their cursor, and one decision for each instant at which they were due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from orchestra.clock import Instant
from orchestra.identifiers import JobId, ProjectId, RunId, ScheduleId, Signature
from orchestra.specification import ScheduleSpecification
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted
from orchestra.storage.tables import job_versions, jobs, runs, schedule_ticks, schedules


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRecord:
    """A schedule as it is stored."""

    id: ScheduleId
    job_id: JobId
    specification: ScheduleSpecification
    enabled: bool
    next_fire_at: Instant | None
    retired_at: Instant | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DueSchedule:
    """A schedule whose instant has come, and the signature of the run that it may make."""

    id: ScheduleId
    due_at: Instant
    signature: Signature


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """What was decided about one due instant."""

    due_at: Instant
    decided_at: Instant
    decision: str
    """"fired", "skipped: missed", "skipped: overlap with #481", "skipped: disabled" and so on."""
    run: RunId | None


def schedule_of_job(connection: Connection, job: JobId) -> ScheduleRecord | None:
    """The job's schedule, a retired one too, or None."""
    row = connection.execute(_schedules().where(schedules.c.job_id == job)).one_or_none()
    return None if row is None else _record(_ScheduleRow._make(row))


def schedules_of_project(connection: Connection, project: ProjectId) -> list[ScheduleRecord]:
    """The schedules of the project's jobs, without the retired ones."""
    query = (
        _schedules()
        .join(jobs, jobs.c.id == schedules.c.job_id)
        .where(jobs.c.project_id == project, jobs.c.retired_at.is_(None), schedules.c.retired_at.is_(None))
    )
    return [_record(_ScheduleRow._make(row)) for row in connection.execute(query)]


def lock_due_schedule(connection: Connection, schedule: ScheduleId, due_at: Instant) -> ScheduleRecord | None:
    """The schedule, if it is still due at this instant and nobody else decides about it; else None.

    Nobody else can change it before this transaction ends.
    """
    row = _LOCK_DUE.first(connection, {"schedule": schedule, "due_at": due_at})
    return None if row is None else _record(row)


def due_schedules(connection: Connection, *, now: Instant, limit: int) -> list[DueSchedule]:
    """Schedules whose instant is not after now, the oldest first."""
    query = (
        select(schedules.c.id, schedules.c.next_fire_at, job_versions.c.signature)
        .join(jobs, jobs.c.id == schedules.c.job_id)
        .join(job_versions, job_versions.c.id == jobs.c.version_id)
        .where(schedules.c.next_fire_at <= now, schedules.c.retired_at.is_(None))
        .order_by(schedules.c.next_fire_at)
        .limit(limit)
    )
    return [
        DueSchedule(id=ScheduleId(row.id), due_at=Instant(row.next_fire_at), signature=Signature(row.signature))
        for row in connection.execute(query)
    ]


def next_due_at(connection: Connection) -> Instant | None:
    """The earliest instant at which any schedule is due, or None."""
    query = select(func.min(schedules.c.next_fire_at)).where(schedules.c.retired_at.is_(None))
    earliest: int | None = connection.execute(query).scalar_one()
    return None if earliest is None else Instant(earliest)


def move_cursor(connection: Connection, schedule: ScheduleId, *, due_at: Instant, next_fire_at: Instant | None) -> bool:
    """Compare-and-set of the cursor; False if somebody else has moved it, and then nothing was changed."""
    moved = {"schedule": schedule, "due_at": due_at, "following": next_fire_at}
    return _MOVE_CURSOR.execute(connection, moved) == 1


def add_ticks(connection: Connection, schedule: ScheduleId, ticks: Sequence[Tick]) -> None:
    """Writes decisions down; a second one for the same instant raises IntegrityError, which undoes the transaction."""
    _ADD_TICK.execute_all(
        connection,
        [
            {
                "schedule_id": schedule,
                "due_at": tick.due_at,
                "decided_at": tick.decided_at,
                "decision": tick.decision,
                "run_id": tick.run,
            }
            for tick in ticks
        ],
    )


def open_run_of_job(connection: Connection, job: JobId) -> RunId | None:
    """The oldest run of the job that is not over, or None."""
    oldest = _OPEN_RUN.first(connection, {"job": job})
    return None if oldest is None or oldest.id is None else RunId(oldest.id)


def set_schedule(
    connection: Connection, job: JobId, specification: ScheduleSpecification, *, next_fire_at: Instant | None
) -> None:
    """Gives the job this schedule with a new cursor, whether or not it had one before."""
    values = {
        "specification": msgspec.json.encode(specification, order="sorted").decode(),
        "enabled": True,
        "next_fire_at": next_fire_at,
        "retired_at": None,
    }
    changed = connection.execute(update(schedules).where(schedules.c.job_id == job).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(schedules).values(job_id=job, **values))


def retire_schedule(connection: Connection, job: JobId, *, now: Instant) -> None:
    """The job has no schedule any more: it is never due again, its ticks stay."""
    connection.execute(
        update(schedules)
        .where(schedules.c.job_id == job, schedules.c.retired_at.is_(None))
        .values(next_fire_at=None, retired_at=now)
    )


class _ScheduleRow(NamedTuple):
    id: int
    job_id: int
    specification: str
    enabled: bool
    next_fire_at: Instant | None
    retired_at: Instant | None


class _Oldest(NamedTuple):
    id: int | None


def _schedules() -> Select[tuple[object, ...]]:
    return select(*(schedules.c[name] for name in _ScheduleRow._fields))


def _record(row: _ScheduleRow) -> ScheduleRecord:
    return ScheduleRecord(
        id=ScheduleId(row.id),
        job_id=JobId(row.job_id),
        specification=msgspec.json.decode(row.specification, type=ScheduleSpecification),
        enabled=bool(row.enabled),
        next_fire_at=row.next_fire_at,
        retired_at=row.retired_at,
    )


# A thousand schedules that are due in one second spent most of their time beside the database otherwise.
_LOCK_DUE = PreparedQuery(
    _ScheduleRow,
    lambda _: (
        _schedules()
        .where(
            schedules.c.id == bindparam("schedule"),
            schedules.c.next_fire_at == bindparam("due_at"),
            schedules.c.retired_at.is_(None),
        )
        .with_for_update(skip_locked=True)
    ),
)
_MOVE_CURSOR = PreparedChange(
    lambda _: (
        update(schedules)
        .where(schedules.c.id == bindparam("schedule"), schedules.c.next_fire_at == bindparam("due_at"))
        .values(next_fire_at=bindparam("following"))
    )
)
_ADD_TICK = PreparedChange(
    lambda _: insert(schedule_ticks).values(
        inserted(schedule_ticks, "schedule_id", "due_at", "decided_at", "decision", "run_id")
    )
)
_OPEN_RUN = PreparedQuery(
    _Oldest, lambda _: select(func.min(runs.c.id)).where(runs.c.job_id == bindparam("job"), runs.c.ended_at.is_(None))
)
