"""Finding jobs, projects and workers by a piece of their names."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestra.errors import NotFound
from orchestra.identifiers import RunId
from orchestra.policy import Permission, Principal
from orchestra.queries.runs import project_of_run
from orchestra.queries.visibility import within
from orchestra.storage.tables import jobs, projects, workers

SHOWN_MAX = 20
"""Of each kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundJob:
    """A job whose name fits."""

    project: str
    name: str
    is_retired: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What fits a text, each kind by name and cut at twenty."""

    jobs: tuple[FoundJob, ...]
    projects: tuple[str, ...]
    workers: tuple[str, ...]

    @property
    def count(self) -> int:
        """All together."""
        return len(self.jobs) + len(self.projects) + len(self.workers)


def find_by_name(connection: Connection, who: Principal, text: str) -> Found:
    """Names with the text in them, as far as this person may see them; `ops/back` looks for a job in a project."""
    wanted = text.lower()
    project, slash, name = wanted.rpartition("/")
    scope = who.scope(Permission.READ)
    job_query = (
        select(projects.c.name.label("project"), jobs.c.name, jobs.c.retired_at)
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(jobs.c.name.contains(name, autoescape=True), *within(scope, jobs.c.project_id))
        .order_by(jobs.c.retired_at.is_not(None), jobs.c.name, projects.c.name)
        .limit(SHOWN_MAX)
    )
    if slash:
        job_query = job_query.where(projects.c.name.contains(project, autoescape=True))
    project_query = (
        select(projects.c.name)
        .where(projects.c.name.contains(wanted, autoescape=True), *within(scope, projects.c.id))
        .order_by(projects.c.name)
        .limit(SHOWN_MAX)
    )
    worker_query = (
        select(workers.c.name)
        .where(workers.c.name.contains(wanted, autoescape=True))
        .order_by(workers.c.name)
        .limit(SHOWN_MAX)
    )
    return Found(
        jobs=tuple(
            FoundJob(project=row.project, name=row.name, is_retired=row.retired_at is not None)
            for row in connection.execute(job_query)
        ),
        projects=tuple(connection.execute(project_query).scalars()),
        workers=tuple(connection.execute(worker_query).scalars()),
    )


def may_see_run(connection: Connection, who: Principal, number: int) -> bool:
    """Whether there is such a run for this person."""
    try:
        project_of_run(connection, who, RunId(number))
    except NotFound:
        return False
    return True
