"""Projects with how their jobs are doing, and the definitions that were applied to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.attention import failing_jobs
from orchestra.queries.job_history import STRIP_RUNS, USUAL_RUNS, RunMark, newest_marks, success_text
from orchestra.queries.jobs import JobView, job_views, select_jobs
from orchestra.queries.visibility import within
from orchestra.specification import JobSpecification, ProjectDefinition
from orchestra.storage.paging import Page, PageAsked, page_by_key
from orchestra.storage.tables import definitions, jobs, projects, schedules

_STRIPS_SHOWN = 8
_JOBS_SHOWN = 200
HISTORY_SHOWN = 20


class DefinitionView(msgspec.Struct, frozen=True, kw_only=True):
    """A definition that was applied."""

    version: str
    source: str
    applied_at: datetime
    applied_by: str


class ProjectDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A project."""

    name: str
    description: str
    owner_file: str | None
    created_at: datetime
    jobs: int
    definition: DefinitionView | None
    """The one that holds."""


class AppliedDefinition(DefinitionView, frozen=True, kw_only=True):
    """A definition with its content."""

    project: str
    definition: ProjectDefinition


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStrip:
    """A job with its newest runs, the newest first."""

    name: str
    is_enabled: bool
    is_quarantined: bool
    is_failing: bool
    marks: tuple[RunMark, ...]

    @property
    def summary(self) -> str:
        """`8 of 10 succeeded`."""
        return success_text(self.marks)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectLine:
    """A project, as the list of projects shows it."""

    name: str
    description: str
    definition: DefinitionView | None
    next_fire_at: datetime | None
    jobs: int
    failing: int
    strips: tuple[JobStrip, ...]
    """Of the first jobs by name, those in quarantine first, then failing ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLine:
    """A job, as its project shows it."""

    view: JobView
    steps: int
    marks: tuple[RunMark, ...]

    @property
    def summary(self) -> str:
        """`18 of 20 succeeded`."""
        return success_text(self.marks)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectPage:
    """Everything about one project."""

    detail: ProjectDetail
    jobs: tuple[JobLine, ...]
    retired: tuple[str, ...]
    document: str
    """The definition that holds, as JSON; empty if there is none."""
    history: tuple[DefinitionView, ...]


def list_project_lines(
    connection: Connection, who: Principal, asked: PageAsked, *, text: str = "", failing_only: bool = False
) -> Page[ProjectLine]:
    """A page of projects whose name or description, or a job's name, has the text in it."""
    query = select(projects).where(*within(who.scope(Permission.READ), projects.c.id))
    if text:
        named = select(jobs.c.project_id).where(jobs.c.name.contains(text.lower(), autoescape=True))
        query = query.where(
            or_(
                projects.c.name.contains(text.lower(), autoescape=True),
                func.lower(projects.c.description).contains(text.lower(), autoescape=True),
                projects.c.id.in_(named),
            )
        )
    if failing_only:
        visible = select(jobs.c.id).where(*_counted(who))
        bad = list(failing_jobs(connection, list(connection.execute(visible).scalars())))
        query = query.where(projects.c.id.in_(select(jobs.c.project_id).where(jobs.c.id.in_(bad))))
    page = page_by_key(connection, query, projects.c.id, asked)
    return Page(items=_lines(connection, page.items), next=page.next, total=page.total)


def show_project(connection: Connection, who: Principal, name: str) -> ProjectDetail:
    """One project; raises NotFound."""
    return _detail(connection, _find(connection, who, name))


def show_project_page(connection: Connection, who: Principal, name: str, *, now: Instant) -> ProjectPage:
    """One project with its jobs and its definitions; raises NotFound."""
    project = _find(connection, who, name)
    rows = connection.execute(
        select_jobs()
        .where(jobs.c.project_id == project.id, jobs.c.retired_at.is_(None))
        .order_by(jobs.c.name)
        .limit(_JOBS_SHOWN)
    ).all()
    marks = newest_marks(connection, [row.id for row in rows], USUAL_RUNS)
    views = job_views(connection, rows, now=now)
    retired = select(jobs.c.name).where(jobs.c.project_id == project.id, jobs.c.retired_at.is_not(None))
    applied = connection.execute(_definitions(project.id).limit(HISTORY_SHOWN)).all()
    return ProjectPage(
        detail=_detail(connection, project),
        jobs=tuple(
            JobLine(view=view, steps=_steps(row.specification), marks=marks.get(row.id, ()))
            for row, view in zip(rows, views, strict=True)
        ),
        retired=tuple(connection.execute(retired.order_by(jobs.c.name).limit(_JOBS_SHOWN)).scalars()),
        document=applied[0].document if applied else "",
        history=tuple(_definition(row) for row in applied),
    )


def show_definition(connection: Connection, who: Principal, name: str) -> AppliedDefinition:
    """The definition that holds for a project; raises NotFound."""
    project = _find(connection, who, name)
    row = connection.execute(_definitions(project.id).limit(1)).one_or_none()
    if row is None:
        raise NotFound("definition of the project", name)
    return AppliedDefinition(
        **msgspec.structs.asdict(_definition(row)),
        project=name,
        definition=msgspec.json.decode(row.document, type=ProjectDefinition),
    )


def _find(connection: Connection, who: Principal, name: str) -> Row[tuple[object, ...]]:
    query = select(projects).where(projects.c.name == name, *within(who.scope(Permission.READ), projects.c.id))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("project", name)
    return row


def _detail(connection: Connection, project: Row[tuple[object, ...]]) -> ProjectDetail:
    count = select(func.count()).where(jobs.c.project_id == project.id, jobs.c.retired_at.is_(None))
    newest = connection.execute(_definitions(project.id).limit(1)).one_or_none()
    return ProjectDetail(
        name=project.name,
        description=project.description,
        owner_file=project.owner_file,
        created_at=moment(project.created_at),
        jobs=connection.execute(count).scalar_one(),
        definition=None if newest is None else _definition(newest),
    )


def _definitions(project: int) -> Select[tuple[object, ...]]:
    return select(definitions).where(definitions.c.project_id == project).order_by(definitions.c.id.desc())


def _definition(row: Row[tuple[object, ...]]) -> DefinitionView:
    return DefinitionView(
        version=row.digest, source=row.source, applied_at=moment(row.applied_at), applied_by=row.applied_by
    )


def _steps(specification: str) -> int:
    return len(msgspec.json.decode(specification, type=JobSpecification).execution.steps)


def _counted(who: Principal) -> list[ColumnElement[bool]]:
    seen = within(who.scope(Permission.READ), jobs.c.project_id)
    return [jobs.c.enabled.is_(True), jobs.c.disabled_by.is_(None), jobs.c.retired_at.is_(None), *seen]


def _lines(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[ProjectLine]:
    ids = [row.id for row in rows]
    enabled, quarantined, by_project = _jobs_of(connection, ids)
    failing = failing_jobs(connection, sorted(enabled))
    shown = {
        project: sorted(own, key=lambda job: (job[0] not in quarantined, job[0] not in failing))[:_STRIPS_SHOWN]
        for project, own in by_project.items()
    }
    marks = newest_marks(connection, [job for own in shown.values() for job, _ in own], STRIP_RUNS)
    fires = _next_fires(connection, ids)
    lines = []
    for row in rows:
        newest = connection.execute(_definitions(row.id).limit(1)).one_or_none()
        own = by_project.get(row.id, [])
        lines.append(
            ProjectLine(
                name=row.name,
                description=row.description,
                definition=None if newest is None else _definition(newest),
                next_fire_at=moment(fires.get(row.id)),
                jobs=len(own),
                failing=sum(job in failing for job, _ in own),
                strips=tuple(
                    JobStrip(
                        name=name,
                        is_enabled=job in enabled,
                        is_quarantined=job in quarantined,
                        is_failing=job in failing,
                        marks=marks.get(job, ()),
                    )
                    for job, name in shown.get(row.id, [])
                ),
            )
        )
    return lines


def _jobs_of(connection: Connection, ids: Sequence[int]) -> tuple[set[int], set[int], dict[int, list[tuple[int, str]]]]:
    """Which of the jobs of these projects are enabled, which in quarantine, and (id, name) of all by project, in the
    order of names."""
    query = (
        select(jobs.c.id, jobs.c.project_id, jobs.c.name, jobs.c.enabled, jobs.c.disabled_by, jobs.c.quarantined_at)
        .where(jobs.c.project_id.in_(ids), jobs.c.retired_at.is_(None))
        .order_by(jobs.c.name)
    )
    enabled: set[int] = set()
    quarantined: set[int] = set()
    found: dict[int, list[tuple[int, str]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.project_id, []).append((row.id, row.name))
        if row.enabled and row.disabled_by is None:
            enabled.add(row.id)
        if row.quarantined_at is not None:
            quarantined.add(row.id)
    return enabled, quarantined, found


def _next_fires(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    query = (
        select(jobs.c.project_id, func.min(schedules.c.next_fire_at).label("next_fire_at"))
        .join(schedules, schedules.c.job_id == jobs.c.id)
        .where(jobs.c.project_id.in_(ids), jobs.c.enabled, jobs.c.disabled_by.is_(None), jobs.c.retired_at.is_(None))
        .where(schedules.c.enabled, schedules.c.retired_at.is_(None), schedules.c.next_fire_at.is_not(None))
        .group_by(jobs.c.project_id)
    )
    return {row.project_id: row.next_fire_at for row in connection.execute(query)}
