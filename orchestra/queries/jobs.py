"""Jobs with their schedules and their last run, and the projects that they belong to."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import JobId
from orchestra.lifecycle import RunState
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import job_address, moment
from orchestra.queries.expectations import ExpectationView, expectation_view
from orchestra.queries.job_history import newest_marks
from orchestra.queries.schedules import ScheduleView, schedule_views
from orchestra.queries.visibility import within
from orchestra.queries.waiting import WorkerAnswer, match_workers
from orchestra.queries.worker_facts import all_workers
from orchestra.specification import JobSpecification, Parameter
from orchestra.storage.paging import Page, PageAsked, page_by_key
from orchestra.storage.tables import definitions, job_versions, jobs, projects


class LastRunView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest run of a job."""

    id: int
    state: RunState
    ended_at: datetime | None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as lists show it."""

    project: str
    name: str
    url: str
    description: str
    enabled: bool
    """Whether it makes runs: the definition and the people agree."""
    disabled_by: str | None
    quarantined_at: datetime | None
    """Since when nothing of it starts, because too many of its attempts were lost; a person releases it."""
    quarantine_reason: str | None
    retired: bool
    version: int
    parameters: tuple[Parameter, ...]
    schedule: ScheduleView | None
    last_run: LastRunView | None


class JobDetail(JobView, frozen=True, kw_only=True):
    """A job with everything that its definition says, and which workers can do it."""

    specification: JobSpecification
    workers: tuple[WorkerAnswer, ...]
    expect: ExpectationView | None
    """When runs of it are expected, whoever starts them."""


class ProjectView(msgspec.Struct, frozen=True, kw_only=True):
    """A project."""

    name: str
    description: str
    owner_file: str | None
    version: str | None
    """The digest of the definition that holds."""
    jobs: int


def list_projects(connection: Connection, who: Principal, asked: PageAsked) -> Page[ProjectView]:
    """A page of the projects that this person may see."""
    newest = (
        select(definitions.c.digest)
        .where(definitions.c.project_id == projects.c.id)
        .order_by(definitions.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    job_count = (
        select(func.count()).where(jobs.c.project_id == projects.c.id, jobs.c.retired_at.is_(None)).scalar_subquery()
    )
    query = select(projects, newest.label("version"), job_count.label("jobs")).where(
        *within(who.scope(Permission.READ), projects.c.id)
    )
    page = page_by_key(connection, query, projects.c.id, asked)
    views = [
        ProjectView(
            name=row.name, description=row.description, owner_file=row.owner_file, version=row.version, jobs=row.jobs
        )
        for row in page.items
    ]
    return Page(items=views, next=page.next, total=page.total)


def list_jobs(
    connection: Connection, who: Principal, project: str | None, asked: PageAsked, *, now: Instant
) -> Page[JobView]:
    """A page of the jobs that some definition has, of one project or of all that this person may see."""
    query = select_jobs().where(jobs.c.retired_at.is_(None), *within(who.scope(Permission.READ), jobs.c.project_id))
    if project is not None:
        query = query.where(projects.c.name == project)
    page = page_by_key(connection, query, jobs.c.id, asked)
    return Page(items=job_views(connection, page.items, now=now), next=page.next, total=page.total)


def show_job(connection: Connection, who: Principal, project: str, name: str, *, now: Instant) -> JobDetail:
    """One job, a retired one too; raises NotFound."""
    query = select_jobs().where(projects.c.name == project, jobs.c.name == name)
    row = connection.execute(query.where(*within(who.scope(Permission.READ), jobs.c.project_id))).one_or_none()
    if row is None:
        raise NotFound("job", f"{project}/{name}")
    specification = _specification(row)
    view = job_views(connection, [row], now=now)[0]
    return JobDetail(
        **msgspec.structs.asdict(view),
        specification=specification,
        workers=match_workers(specification.matching, all_workers(connection, who), now),
        expect=expectation_view(connection, JobId(row.id), is_active=view.enabled),
    )


def select_jobs() -> Select[tuple[object, ...]]:
    """Jobs with all that a view needs; add conditions."""
    return (
        select(jobs, projects.c.name.label("project"), job_versions.c.number, job_versions.c.specification)
        .join(projects, projects.c.id == jobs.c.project_id)
        .join(job_versions, job_versions.c.id == jobs.c.version_id)
    )


def job_views(connection: Connection, rows: Sequence[Row[tuple[object, ...]]], *, now: Instant) -> list[JobView]:
    """The views of rows of `select_jobs`."""
    ids = [row.id for row in rows]
    schedules = schedule_views(connection, ids, now=now)
    last_runs = _last_runs(connection, ids)
    views = []
    for row in rows:
        specification = _specification(row)
        views.append(
            JobView(
                project=row.project,
                name=row.name,
                url=job_address(row.project, row.name),
                description=specification.description,
                enabled=row.enabled and row.disabled_by is None and row.retired_at is None,
                disabled_by=row.disabled_by,
                quarantined_at=moment(row.quarantined_at),
                quarantine_reason=row.quarantine_reason,
                retired=row.retired_at is not None,
                version=row.number,
                parameters=specification.parameters,
                schedule=schedules.get(row.id),
                last_run=last_runs.get(row.id),
            )
        )
    return views


def _specification(row: Row[tuple[object, ...]]) -> JobSpecification:
    return msgspec.json.decode(row.specification, type=JobSpecification)


def _last_runs(connection: Connection, ids: Sequence[int]) -> dict[int, LastRunView]:
    return {
        job: LastRunView(id=marks[0].id, state=marks[0].state, ended_at=marks[0].ended_at)
        for job, marks in newest_marks(connection, ids, 1).items()
    }
