"""Schedules in words, with their next instants, their decisions, and who has disabled them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from orchestra.clock import Instant, from_datetime, seconds_between
from orchestra.cron.clock_changes import ClockChangeDay
from orchestra.cron.occurrences import upcoming
from orchestra.cron.policies import policies
from orchestra.cron.preview import preview
from orchestra.cron.sentence import expression_of, sentence
from orchestra.errors import NotFound
from orchestra.identifiers import ScheduleId
from orchestra.limits import SCHEDULE_INSTANTS_SHOWN
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment, schedule_address
from orchestra.queries.visibility import within
from orchestra.specification import Overlap, PropertyValue, ScheduleSpecification
from orchestra.storage.due_schedules import is_not_paused
from orchestra.storage.paging import Page, PageAsked, count_capped, cursor_of, page_by_key
from orchestra.storage.schedules import pause_of
from orchestra.storage.tables import jobs, projects, schedule_ticks, schedules

DISABLED_BY_DEFINITION = "disabled by its definition"
SCHEDULE_DISABLED = "its schedule is disabled"


class TickView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one due instant."""

    due_at: datetime
    decided_at: datetime
    lateness_seconds: float
    """Between the two."""
    decision: str
    run: int | None


class PauseView(msgspec.Struct, frozen=True, kw_only=True):
    """That nothing is decided about a schedule for a while."""

    by: str
    reason: str
    since: datetime
    until: datetime | None
    """None: until somebody resumes it."""


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """When a job runs by itself."""

    project: str
    job: str
    url: str
    expression: str
    zone: str
    sentence: str
    overlap: Overlap
    enabled: bool
    """Whether a due instant makes a run: the schedule and its job are enabled."""
    disabled_because: str | None
    """Why none does; None if it is enabled."""
    paused: PauseView | None
    """What is due meanwhile is decided at its end."""
    next_fire_at: datetime | None
    next: tuple[datetime, ...]
    last_tick: TickView | None


class ScheduleDetail(ScheduleView, frozen=True, kw_only=True):
    """A schedule with what it does on difficult days."""

    policies: tuple[str, ...]
    warnings: tuple[str, ...]
    """What is probably not meant."""
    clock_changes: tuple[ClockChangeDay, ...]
    parameters: dict[str, PropertyValue]
    may_enable: bool
    """Whether people can enable its job: the definition does not disable it."""


def list_schedules(
    connection: Connection, who: Principal, project: str | None, asked: PageAsked, *, now: Instant
) -> Page[ScheduleView]:
    """A page of the schedules of one project, or of all that this person may see."""
    query = _visible(who)
    if project is not None:
        query = query.where(projects.c.name == project)
    page = page_by_key(connection, query, schedules.c.id, asked)
    ticks = _last_ticks(connection, [row.id for row in page.items])
    return Page(items=[_view(row, ticks, now) for row in page.items], next=page.next, total=page.total)


def schedule_views(connection: Connection, job_ids: Sequence[int], *, now: Instant) -> dict[int, ScheduleView]:
    """The schedules of these jobs, by the job's id."""
    rows = connection.execute(_schedules().where(schedules.c.job_id.in_(job_ids))).all()
    ticks = _last_ticks(connection, [row.id for row in rows])
    return {row.job_id: _view(row, ticks, now) for row in rows}


def show_schedule(connection: Connection, who: Principal, project: str, job: str, *, now: Instant) -> ScheduleDetail:
    """The schedule of this job; raises NotFound for a job without one too."""
    row = _row_of(connection, who, project, job)
    specification = _specification(row)
    told = preview(specification.timetable, now)
    return ScheduleDetail(
        **msgspec.structs.asdict(_view(row, _last_ticks(connection, [row.id]), now)),
        policies=policies(specification),
        warnings=told.warnings,
        clock_changes=told.clock_changes,
        parameters=specification.parameters,
        may_enable=row.enabled and row.job_enabled,
    )


def next_of_schedule(
    connection: Connection, who: Principal, project: str, job: str, count: int, *, now: Instant
) -> tuple[datetime, ...]:
    """The next so many instants at which the schedule is due, whether or not it is enabled; raises NotFound."""
    specification = _specification(_row_of(connection, who, project, job))
    return tuple(moment(instant) for instant in upcoming(specification.timetable, now, count))


def list_ticks(connection: Connection, who: Principal, project: str, job: str, asked: PageAsked) -> Page[TickView]:
    """A page of the decisions about a schedule's instants, the newest first; raises NotFound."""
    schedule = ScheduleId(_row_of(connection, who, project, job).id)
    query = select(schedule_ticks).where(schedule_ticks.c.schedule_id == schedule)
    wanted = query.order_by(schedule_ticks.c.due_at.desc()).limit(asked.limit + 1)
    if asked.behind:
        wanted = wanted.where(schedule_ticks.c.due_at < asked.behind)
    rows = connection.execute(wanted).all()
    page = rows[: asked.limit]
    return Page(
        items=tuple(_tick(row) for row in page),
        next=cursor_of(page[-1].due_at) if len(rows) > asked.limit else None,
        total=count_capped(connection, query.with_only_columns(schedule_ticks.c.id)),
    )


def specifications_in_force(
    connection: Connection, who: Principal, limit: int, *, now: Instant
) -> list[tuple[str, str, ScheduleSpecification]]:
    """Project, job and specification of each schedule that makes runs and is not paused, at most so many."""
    query = _visible(who).where(schedules.c.enabled, jobs.c.enabled, jobs.c.disabled_by.is_(None), is_not_paused(now))
    rows = connection.execute(query.order_by(schedules.c.id).limit(limit)).all()
    return [(row.project, row.job, _specification(row)) for row in rows]


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


def _visible(who: Principal) -> Select[tuple[object, ...]]:
    return _schedules().where(*within(who.scope(Permission.READ), jobs.c.project_id))


def _row_of(connection: Connection, who: Principal, project: str, job: str) -> Row[tuple[object, ...]]:
    query = _visible(who).where(projects.c.name == project, jobs.c.name == job)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("schedule", f"{project}/{job}")
    return row


def _last_ticks(connection: Connection, ids: Sequence[int]) -> dict[int, TickView]:
    # One probe of the index for each schedule; grouping would read every tick that there ever was.
    last = select(func.max(schedule_ticks.c.due_at)).where(schedule_ticks.c.schedule_id == schedules.c.id)
    newest = select(schedules.c.id, last.scalar_subquery().label("due_at")).where(schedules.c.id.in_(ids)).subquery()
    rows = connection.execute(
        select(schedule_ticks).join(
            newest,
            (newest.c.id == schedule_ticks.c.schedule_id) & (newest.c.due_at == schedule_ticks.c.due_at),
        )
    )
    return {row.schedule_id: _tick(row) for row in rows}


def _tick(row: Row[tuple[object, ...]]) -> TickView:
    return TickView(
        due_at=moment(row.due_at),
        decided_at=moment(row.decided_at),
        lateness_seconds=max(0.0, seconds_between(row.due_at, row.decided_at)),
        decision=row.decision,
        run=row.run_id,
    )


def _view(row: Row[tuple[object, ...]], ticks: dict[int, TickView], now: Instant) -> ScheduleView:
    specification = _specification(row)
    obstacle = _obstacle(row)
    pause = _pause(row, now)
    following: Sequence[Instant] = ()
    if obstacle is None and (pause is None or pause.until is not None):
        begin = now if pause is None or pause.until is None else from_datetime(pause.until)
        following = upcoming(specification.timetable, begin, SCHEDULE_INSTANTS_SHOWN)
    return ScheduleView(
        project=row.project,
        job=row.job,
        url=schedule_address(row.project, row.job),
        expression=expression_of(specification.timetable),
        zone=specification.timetable.zone,
        sentence=sentence(specification.timetable),
        overlap=specification.overlap,
        enabled=obstacle is None,
        disabled_because=obstacle,
        paused=pause,
        next_fire_at=_next_fire_at(row, following, pause) if obstacle is None else None,
        next=tuple(moment(instant) for instant in following),
        last_tick=ticks.get(row.id),
    )


def _pause(row: Row[tuple[object, ...]], now: Instant) -> PauseView | None:
    pause = pause_of(row.paused_at, row.paused_by, row.paused_reason, row.paused_until)
    if pause is None or pause.is_over(now):
        return None
    return PauseView(by=pause.by, reason=pause.reason, since=moment(pause.at), until=moment(pause.until))


def _next_fire_at(
    row: Row[tuple[object, ...]], following: Sequence[Instant], pause: PauseView | None
) -> datetime | None:
    if pause is not None:
        return moment(following[0]) if following else None
    due: Instant | None = row.next_fire_at
    return moment(due)


def _obstacle(row: Row[tuple[object, ...]]) -> str | None:
    if not row.job_enabled:
        return DISABLED_BY_DEFINITION
    if row.disabled_by is not None:
        return f"disabled by {row.disabled_by}"
    return None if row.enabled else SCHEDULE_DISABLED


def _specification(row: Row[tuple[object, ...]]) -> ScheduleSpecification:
    return msgspec.json.decode(row.specification, type=ScheduleSpecification)
