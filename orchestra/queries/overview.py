"""What the first page shows: what runs against its usual duration, what is next, what was last, slots, first steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, select

from orchestra.clock import Instant, after
from orchestra.lifecycle import RunState
from orchestra.policy import Permission, Principal, Role
from orchestra.queries.addresses import moment
from orchestra.queries.asked import AskedElement, asked_of
from orchestra.queries.attention import Attention, show_attention
from orchestra.queries.job_history import USUAL_RUNS, Usual, newest_marks, usual_of
from orchestra.queries.run_views import RunView, run_view, select_runs
from orchestra.queries.visibility import within
from orchestra.queries.worker_facts import WorkerFacts, all_workers
from orchestra.storage.due_schedules import is_not_paused
from orchestra.storage.paging import Count, count_capped
from orchestra.storage.tables import definitions, jobs, projects, role_assignments, runs, schedules, users, workers

DEMO_SOURCE = "demo.yaml"
"""Where the definition of `orchestra up --demo` comes from: nobody wrote that one here."""
_RUNNING_SHOWN = 10
_NEXT_SHOWN = 10
_NEWEST_SHOWN = 20
_DAY_SECONDS = 86_400.0
_PROJECTS_ASKED_MAX = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningRun:
    """A run that a worker executes, and how long its job usually takes."""

    run: RunView
    usual: Usual | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NextRun:
    """A schedule that fires within a day."""

    project: str
    job: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """The connected workers together."""

    used: int
    all: int
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstSteps:
    """What somebody does in the first hour; each is read from the database, so it ticks itself."""

    has_worker: bool
    has_run: bool
    has_definition: bool
    has_company: bool

    @property
    def done(self) -> int:
        """How many of the four."""
        return sum((self.has_worker, self.has_run, self.has_definition, self.has_company))


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Everything on the first page."""

    attention: Attention
    asked: tuple[AskedElement, ...]
    """What pipelines ask of this person."""
    running: tuple[RunningRun, ...]
    running_count: Count
    pending_count: Count
    next: tuple[NextRun, ...]
    newest: tuple[RunView, ...]
    slots: Slots


def show_overview(connection: Connection, who: Principal, *, now: Instant) -> Overview:
    """The first page for this person."""
    fleet = all_workers(connection, who)
    return Overview(
        attention=show_attention(connection, who, now=now, fleet=fleet),
        asked=tuple(asked_of(connection, who)),
        running=_running(connection, who),
        running_count=_count(connection, who, RunState.RUNNING),
        pending_count=_count(connection, who, RunState.PENDING),
        next=_next(connection, who, now),
        newest=newest_runs(connection, who, _NEWEST_SHOWN),
        slots=_slots(fleet, now),
    )


def first_steps(connection: Connection) -> FirstSteps:
    """Which of the first steps are done in this instance."""
    people = (
        select(func.count(func.distinct(role_assignments.c.user_id)))
        .join(users, users.c.id == role_assignments.c.user_id)
        .where(role_assignments.c.role != Role.WORKER, users.c.disabled_at.is_(None))
    )
    own = exists().where(definitions.c.source != DEMO_SOURCE)
    query = select(exists().where(workers.c.connected_at.is_not(None)), exists().where(runs.c.id > 0), own)
    has_worker, has_run, has_definition = connection.execute(query).one()
    return FirstSteps(
        has_worker=has_worker,
        has_run=has_run,
        has_definition=has_definition,
        has_company=connection.execute(people).scalar_one() > 1,
    )


def newest_runs(connection: Connection, who: Principal, count: int) -> tuple[RunView, ...]:
    """The newest runs that this person may see, read from the end of an index."""
    scope = who.scope(Permission.READ)
    query = select_runs().order_by(runs.c.id.desc()).limit(count)
    if scope.everywhere:
        return tuple(run_view(row) for row in connection.execute(query))
    # One index range each: with "in" a database reads all runs of these projects to sort them.
    found = [
        run_view(row)
        for project in sorted(scope.projects)[:_PROJECTS_ASKED_MAX]
        for row in connection.execute(query.where(runs.c.project_id == project))
    ]
    return tuple(sorted(found, key=lambda view: -view.id)[:count])


def _running(connection: Connection, who: Principal) -> tuple[RunningRun, ...]:
    query = (
        select_runs()
        .where(*_open(RunState.RUNNING), *within(who.scope(Permission.READ), runs.c.project_id))
        .order_by(runs.c.id)
        .limit(_RUNNING_SHOWN)
    )
    rows = connection.execute(query).all()
    marks = newest_marks(connection, sorted({row.job_id for row in rows}), USUAL_RUNS)
    return tuple(RunningRun(run=run_view(row), usual=usual_of(marks.get(row.job_id, ()))) for row in rows)


def _open(state: RunState) -> tuple[ColumnElement[bool], ...]:
    return (runs.c.ended_at.is_(None), runs.c.state == state)


def _count(connection: Connection, who: Principal, state: RunState) -> Count:
    seen = within(who.scope(Permission.READ), runs.c.project_id)
    return count_capped(connection, select(runs.c.id).where(*_open(state), *seen))


def _next(connection: Connection, who: Principal, now: Instant) -> tuple[NextRun, ...]:
    query = (
        select(projects.c.name.label("project"), jobs.c.name.label("job"), schedules.c.next_fire_at)
        .join(jobs, jobs.c.id == schedules.c.job_id)
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(schedules.c.next_fire_at > now, schedules.c.next_fire_at <= after(now, _DAY_SECONDS))
        .where(schedules.c.enabled, schedules.c.retired_at.is_(None), is_not_paused(now))
        .where(jobs.c.enabled, jobs.c.disabled_by.is_(None), jobs.c.retired_at.is_(None))
        .where(*within(who.scope(Permission.READ), jobs.c.project_id))
        .order_by(schedules.c.next_fire_at)
        .limit(_NEXT_SHOWN)
    )
    return tuple(
        NextRun(project=row.project, job=row.job, at=moment(row.next_fire_at)) for row in connection.execute(query)
    )


def _slots(fleet: Sequence[WorkerFacts], now: Instant) -> Slots:
    connected = [worker for worker in fleet if worker.is_connected(now)]
    return Slots(
        used=sum(worker.slots_used for worker in connected),
        all=sum(worker.slots for worker in connected),
        workers=len(connected),
    )
