"""Runs: lists of them, one with everything, its history."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import ProjectId, RunId
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.run_filters import RunFilter, conditions
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
from orchestra.queries.visibility import within
from orchestra.queries.waiting import WaitingView, waiting_of
from orchestra.storage.paging import KEY_MAX, Page, count_capped, cursor_of
from orchestra.storage.tables import run_events, runs


class RunDetail(RunView, frozen=True, kw_only=True):
    """A run with everything that is known of it."""

    attempts: tuple[AttemptView, ...]
    steps: tuple[StepView, ...]
    results: dict[str, msgspec.Raw]
    waiting: WaitingView | None
    """Why it is not running; None if it runs or is over."""


class RunEventView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's history."""

    at: datetime
    kind: str
    attempt: int | None
    actor: str
    detail: str


def list_runs(connection: Connection, who: Principal, asked: RunFilter) -> Page[RunView]:
    """A page of the runs that this person may see."""
    wanted = [*conditions(connection, asked), *within(who.scope(Permission.READ), runs.c.project_id)]
    order = runs.c.id.asc() if asked.oldest_first else runs.c.id.desc()
    query = select_runs().where(*wanted).order_by(order).limit(asked.limit + 1)
    if asked.behind is not None:
        query = query.where(runs.c.id > asked.behind if asked.oldest_first else runs.c.id < asked.behind)
    views = [run_view(row) for row in connection.execute(query)]
    page = tuple(views[: asked.limit])
    return Page(
        items=page,
        next=cursor_of(page[-1].id) if len(views) > asked.limit else None,
        total=count_capped(connection, select(runs.c.id).where(*wanted)),
    )


def project_of_run(connection: Connection, who: Principal, run: RunId) -> ProjectId:
    """The project that decides who may touch the run; raises NotFound for one that this person may not see."""
    project = None
    if 0 < run <= KEY_MAX:
        project = connection.execute(select(runs.c.project_id).where(runs.c.id == run)).scalar_one_or_none()
    if project is None or not who.scope(Permission.READ).covers(ProjectId(project)):
        raise NotFound("run", run)
    return ProjectId(project)


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
        waiting=waiting_of(connection, run, now=now),
    )


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
