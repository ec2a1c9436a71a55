"""Runs: lists of them, one with everything, its history."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import ProjectId, RunId
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.run_filters import RunFilter, cursor_ahead
from orchestra.queries.run_search import find_runs
from orchestra.queries.run_views import (
    AttemptView,
    RunView,
    StepView,
    attempts_of,
    results_of,
    run_view,
    select_runs,
    steps_of,
)
from orchestra.queries.waiting import WaitingView
from orchestra.queries.waiting_facts import waiting_of
from orchestra.storage.paging import KEY_MAX, Page, cursor_of
from orchestra.storage.projects import find_project
from orchestra.storage.tables import run_events, runs, wraps


class WrapShown(msgspec.Struct, frozen=True, kw_only=True):
    """A command that something else started, and that `orchestra wrap` tells of."""

    host: str
    account: str
    command: str
    heard_at: datetime | None
    """Its last sign of life; null if it is over."""


class RunDetail(RunView, frozen=True, kw_only=True):
    """A run with everything that is known of it."""

    attempts: tuple[AttemptView, ...]
    steps: tuple[StepView, ...]
    results: dict[str, msgspec.Raw]
    waiting: WaitingView | None
    """Why it is not running; None if it runs or is over."""
    wrap: WrapShown | None
    """Where it runs, if something else started it."""


class RunEventView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's history."""

    at: datetime
    kind: str
    attempt: int | None
    actor: str
    detail: str


class RunPage(Page[RunView], frozen=True, kw_only=True):
    """A page of runs; it may have fewer than asked for although there are more behind it."""

    previous: str | None = None
    """The cursor of the page before; None on the first."""
    searched_to: int | None = None
    """The run at which the search for rare ones stopped for this time; `next` goes on there."""


def list_runs(connection: Connection, who: Principal, asked: RunFilter) -> RunPage:
    """A page of the runs that this person may see, in bounded time."""
    found = find_runs(connection, who.scope(Permission.READ), asked)
    rows = {row.id: row for row in connection.execute(select_runs().where(runs.c.id.in_(found.runs)))}
    # A run never goes away, so each number has its row.
    page = tuple(run_view(rows[number]) for number in found.runs)
    first, last = (page[0].id, page[-1].id) if page else (None, None)
    if asked.ahead is None:
        end = found.searched_to if found.searched_to is not None else last
        start = first if first is not None else asked.behind
        has_next, has_previous = found.has_more, asked.behind is not None
    else:
        end = last if last is not None else asked.ahead
        start = found.searched_to if found.searched_to is not None else first
        has_next, has_previous = True, found.has_more
    return RunPage(
        items=page,
        next=cursor_of(end) if has_next and end is not None else None,
        previous=cursor_ahead(start) if has_previous and start is not None else None,
        searched_to=found.searched_to,
        total=found.total,
    )


def project_of_run(connection: Connection, who: Principal, run: RunId) -> ProjectId:
    """The project that decides who may touch the run; raises NotFound for one that this person may not see."""
    project = None
    if 0 < run <= KEY_MAX:
        project = connection.execute(select(runs.c.project_id).where(runs.c.id == run)).scalar_one_or_none()
    if project is None or not who.scope(Permission.READ).covers(ProjectId(project)):
        raise NotFound("run", run)
    return ProjectId(project)


def require_project(connection: Connection, who: Principal, name: str) -> ProjectId:
    """The project of this name; raises NotFound for one that this person may not see."""
    project = find_project(connection, name)
    if not who.scope(Permission.READ).covers(project.id):
        raise NotFound("project", name)
    return project.id


def show_run(connection: Connection, who: Principal, run: RunId) -> RunView:
    """A run as lists have it; raises NotFound."""
    project_of_run(connection, who, run)
    return run_view(connection.execute(select_runs().where(runs.c.id == run)).one())


def show_run_detail(connection: Connection, who: Principal, run: RunId, *, now: Instant) -> RunDetail:
    """A run with everything; raises NotFound."""
    view = show_run(connection, who, run)
    return RunDetail(
        **msgspec.structs.asdict(view),
        attempts=attempts_of(connection, run),
        steps=steps_of(connection, run),
        results=results_of(connection, run),
        waiting=waiting_of(connection, who, run, now=now),
        wrap=_wrap_of(connection, run),
    )


def _wrap_of(connection: Connection, run: RunId) -> WrapShown | None:
    row = connection.execute(select(wraps).where(wraps.c.run_id == run)).one_or_none()
    if row is None:
        return None
    return WrapShown(host=row.host, account=row.account, command=row.command, heard_at=moment(row.heard_at))


def results_of_run(connection: Connection, who: Principal, run: RunId) -> dict[str, msgspec.Raw]:
    """What the run found out; raises NotFound."""
    project_of_run(connection, who, run)
    return results_of(connection, run)


def history_of_run(connection: Connection, who: Principal, run: RunId) -> tuple[RunEventView, ...]:
    """Everything that happened to the run, oldest first; raises NotFound."""
    project_of_run(connection, who, run)
    rows = connection.execute(select(run_events).where(run_events.c.run_id == run).order_by(run_events.c.id))
    return tuple(
        RunEventView(at=moment(row.at), kind=row.kind, attempt=row.attempt, actor=row.actor, detail=row.detail)
        for row in rows
    )
