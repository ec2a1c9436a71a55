"""Schedules for tests: jobs that run by themselves, and decisions that were made about them."""

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.identifiers import RunId, ScheduleId
from orchestra.specification import JobDefinition, Overlap, PropertyValue, ScheduleSpecification
from orchestra.storage.database import Database
from orchestra.storage.schedules import Tick, add_ticks
from orchestra.storage.tables import jobs, schedules
from tests.service.given import job
from tests.support.timetables import by_cron
from tests.support.timetables import every as every_so_often


def scheduled(
    name: str,
    cron: str | None = "30 2 * * *",
    *,
    every: float | None = None,
    zone: str = "Europe/Paris",
    overlap: Overlap = Overlap.SKIP,
    parameters: dict[str, PropertyValue] | None = None,
    enabled: bool = True,
) -> JobDefinition:
    """A job that says hello by itself."""
    timetable = every_so_often(every, zone) if every else by_cron(*([cron] if cron else []), zone=zone)
    schedule = ScheduleSpecification(timetable=timetable, overlap=overlap, parameters=parameters or {})
    return msgspec.structs.replace(job(name), schedule=schedule, enabled=enabled)


async def decide(
    database: Database, name: str, due_at: Instant, *, decided_at: Instant, decision: str, run: int | None = None
) -> None:
    """Writes down what was decided about an instant of this job's schedule."""

    def add(connection: Connection) -> None:
        query = select(schedules.c.id).join(jobs, jobs.c.id == schedules.c.job_id).where(jobs.c.name == name)
        found = ScheduleId(connection.execute(query).scalar_one())
        kept = None if run is None else RunId(run)
        add_ticks(connection, found, [Tick(due_at=due_at, decided_at=decided_at, decision=decision, run=kept)])

    await database.write(add)


async def move_next(database: Database, name: str, due_at: Instant) -> None:
    """Puts the cursor of this job's schedule there."""
    job_id = select(jobs.c.id).where(jobs.c.name == name).scalar_subquery()
    change = schedules.update().where(schedules.c.job_id == job_id).values(next_fire_at=due_at)
    await database.write(lambda connection: connection.execute(change))
