"""Schedules in words, with their next instants and their last decision."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from orchestra.clock import Instant
from orchestra.cron.occurrences import upcoming
from orchestra.cron.sentence import sentence
from orchestra.durations import format_duration
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.visibility import within
from orchestra.specification import Overlap, ScheduleSpecification
from orchestra.storage.paging import Page, PageAsked, page_by_key
from orchestra.storage.tables import jobs, projects, schedule_ticks, schedules

INSTANTS_SHOWN = 5


class TickView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one due instant."""

    due_at: datetime
    decision: str
    run: int | None


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """When a job runs by itself."""

    project: str
    job: str
    expression: str
    zone: str
    sentence: str
    overlap: Overlap
    enabled: bool
    """Whether a due instant makes a run: the schedule and its job are enabled."""
    next_fire_at: datetime | None
    next: tuple[datetime, ...]
    last_tick: TickView | None


def list_schedules(connection: Connection, who: Principal, asked: PageAsked, *, now: Instant) -> Page[ScheduleView]:
    """A page of the schedules that this person may see."""
    query = _schedules().where(*within(who.scope(Permission.READ), jobs.c.project_id))
    page = page_by_key(connection, query, schedules.c.id, asked)
    ticks = _last_ticks(connection, [row.id for row in page.items])
    return Page(items=[_view(row, ticks, now) for row in page.items], next=page.next, total=page.total)


def schedule_views(connection: Connection, job_ids: Sequence[int], *, now: Instant) -> dict[int, ScheduleView]:
    """The schedules of these jobs, by the job's id."""
    rows = connection.execute(_schedules().where(schedules.c.job_id.in_(job_ids))).all()
    ticks = _last_ticks(connection, [row.id for row in rows])
    return {row.job_id: _view(row, ticks, now) for row in rows}


def _schedules() -> Select[tuple[object, ...]]:
    return (
        select(
            schedules,
            jobs.c.name.label("job"),
            jobs.c.enabled.label("job_enabled"),
            jobs.c.disabled_by,
            projects.c.name.label("project"),
        )
        .join(jobs, jobs.c.id == schedules.c.job_id)
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(schedules.c.retired_at.is_(None), jobs.c.retired_at.is_(None))
    )


def _last_ticks(connection: Connection, ids: Sequence[int]) -> dict[int, TickView]:
    newest = (
        select(schedule_ticks.c.schedule_id, func.max(schedule_ticks.c.due_at).label("due_at"))
        .where(schedule_ticks.c.schedule_id.in_(ids))
        .group_by(schedule_ticks.c.schedule_id)
        .subquery()
    )
    rows = connection.execute(
        select(schedule_ticks).join(
            newest,
            (newest.c.schedule_id == schedule_ticks.c.schedule_id) & (newest.c.due_at == schedule_ticks.c.due_at),
        )
    )
    return {row.schedule_id: TickView(due_at=moment(row.due_at), decision=row.decision, run=row.run_id) for row in rows}


def _view(row: Row[tuple[object, ...]], ticks: dict[int, TickView], now: Instant) -> ScheduleView:
    specification = msgspec.json.decode(row.specification, type=ScheduleSpecification)
    enabled = row.enabled and row.job_enabled and row.disabled_by is None
    return ScheduleView(
        project=row.project,
        job=row.job,
        expression=specification.cron or f"every {format_duration(specification.every_seconds or 0.0)}",
        zone=specification.zone,
        sentence=sentence(specification),
        overlap=specification.overlap,
        enabled=enabled,
        next_fire_at=moment(row.next_fire_at) if enabled else None,
        next=tuple(moment(instant) for instant in upcoming(specification, now, INSTANTS_SHOWN)) if enabled else (),
        last_tick=ticks.get(row.id),
    )
