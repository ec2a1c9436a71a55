"""Schedules: their cursor, and one decision for each instant at which they were due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, insert, select, update

from orchestra.clock import Instant
from orchestra.identifiers import JobId, ProjectId, RunId, ScheduleId
from orchestra.specification import ScheduleSpecification
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted
from orchestra.storage.queued import open_runs_of_job
from orchestra.storage.runs import request_stop
from orchestra.storage.tables import jobs, schedule_ticks, schedules


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """That a person has paused a schedule, or had: it is over at `until`."""

    at: Instant
    by: str
    reason: str
    until: Instant | None
    """None: until a person resumes it."""

    def is_over(self, now: Instant) -> bool:
        """Whether its schedule is decided about again."""
        return self.until is not None and self.until <= now

    @property
    def words(self) -> str:
        """`by ana: moving the database`."""
        return f"by {self.by}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleRecord:
    """A schedule as it is stored."""

    id: ScheduleId
    job_id: JobId
    specification: ScheduleSpecification
    enabled: bool
    next_fire_at: Instant | None
    retired_at: Instant | None
    pause: Pause | None


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


def stop_open_runs(connection: Connection, job: JobId, *, by: str, reason: str, now: Instant) -> None:
    """Asks every run of the job that is not over to end."""
    for run in open_runs_of_job(connection, job):
        request_stop(connection, run, by=by, reason=reason, now=now)
        announce(connection, Signal(Topic.STOPS, str(run)), Signal(Topic.RUN, str(run)))


def pause_schedule(
    connection: Connection, schedule: ScheduleId, *, by: str, reason: str, until: Instant | None, now: Instant
) -> None:
    """From now on nothing is decided about it, until that instant or until it is resumed."""
    values = {"paused_at": now, "paused_by": by, "paused_reason": reason, "paused_until": until}
    connection.execute(update(schedules).where(schedules.c.id == schedule).values(values))


def resume_schedule(connection: Connection, schedule: ScheduleId, *, now: Instant) -> None:
    """Its pause is over now; what was due meanwhile is decided next."""
    connection.execute(update(schedules).where(schedules.c.id == schedule).values(paused_until=now))


def end_pause(connection: Connection, schedule: ScheduleId) -> None:
    """Everything that was due during its pause is decided."""
    connection.execute(
        update(schedules)
        .where(schedules.c.id == schedule)
        .values(paused_at=None, paused_by=None, paused_reason=None, paused_until=None)
    )


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
    paused_at: Instant | None
    paused_by: str | None
    paused_reason: str | None
    paused_until: Instant | None


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
        pause=pause_of(row.paused_at, row.paused_by, row.paused_reason, row.paused_until),
    )


def pause_of(at: Instant | None, by: str | None, reason: str | None, until: Instant | None) -> Pause | None:
    """The pause that a row holds."""
    return None if at is None else Pause(at=at, by=by or "", reason=reason or "", until=until)


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
