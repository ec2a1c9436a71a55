"""Pausing and resuming schedules: what is due meanwhile is decided afterwards, by the schedule's own policy."""

from datetime import datetime

from sqlalchemy import Connection

from orchestra.clock import Clock, Instant, from_datetime, rfc3339
from orchestra.commands.reasons import check_reason
from orchestra.errors import Conflict, InvalidFields, NotFound
from orchestra.policy import Permission, Principal
from orchestra.queries.schedules import ScheduleDetail, show_schedule
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.jobs import find_job
from orchestra.storage.schedules import (
    ScheduleRecord,
    pause_schedule,
    resume_schedule,
    schedule_of_job,
)


class Pauses:
    """What people may hold up for a while."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def pause(
        self, who: Principal, project: str, job: str, *, reason: str, until: datetime | None
    ) -> ScheduleDetail:
        """Pauses the job's schedule, until a moment or until somebody resumes it; once more changes reason and end.

        Raises NotFound, NotAllowed, InvalidFields.
        """
        check_reason(reason)
        now = self._clock.now()
        end = None if until is None else from_datetime(until)
        if end is not None and end <= now:
            raise InvalidFields([("/until", "must be a time that is to come")])

        def pause(connection: Connection) -> ScheduleDetail:
            schedule = _schedule_of(connection, who, project, job)
            pause_schedule(connection, schedule.id, by=who.name, reason=reason, until=end, now=_since(schedule, now))
            _record(connection, who, "schedule_paused", f"{project}/{job}", reason, schedule, now, until=end)
            return show_schedule(connection, who, project, job, now=now)

        return await self._database.write(pause, signals=[Signal(Topic.DUE)])

    async def resume(self, who: Principal, project: str, job: str) -> ScheduleDetail:
        """Ends the pause now. Raises NotFound, NotAllowed, and Conflict if the schedule is not paused."""
        now = self._clock.now()

        def resume(connection: Connection) -> ScheduleDetail:
            schedule = _schedule_of(connection, who, project, job)
            if schedule.pause is None or schedule.pause.is_over(now):
                raise Conflict(f"the schedule of {project}/{job} is not paused")
            resume_schedule(connection, schedule.id, now=now)
            _record(connection, who, "schedule_resumed", f"{project}/{job}", "", schedule, now, until=now)
            return show_schedule(connection, who, project, job, now=now)

        return await self._database.write(resume, signals=[Signal(Topic.DUE)])


def _schedule_of(connection: Connection, who: Principal, project: str, name: str) -> ScheduleRecord:
    job = find_job(connection, project, name)
    who.require_in(Permission.SWITCH_JOBS, job.project_id, "job", f"{project}/{name}")
    schedule = schedule_of_job(connection, job.id)
    if schedule is None or schedule.retired_at is not None or job.retired_at is not None:
        raise NotFound("schedule", f"{project}/{name}")
    return schedule


def _since(schedule: ScheduleRecord, now: Instant) -> Instant:
    """A pause that is changed has begun when it began: what was due since is still to be decided."""
    return now if schedule.pause is None else schedule.pause.at


def _record(
    connection: Connection,
    who: Principal,
    action: str,
    name: str,
    reason: str,
    schedule: ScheduleRecord,
    now: Instant,
    *,
    until: Instant | None,
) -> None:
    before = schedule.pause
    record_change(
        connection,
        who,
        at=now,
        action=action,
        subject=f"schedule {name}",
        detail=reason,
        before={"paused": None if before is None else before.words},
        after={"until": None if until is None else rfc3339(until)},
    )
