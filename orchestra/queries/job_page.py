"""One job with everything on its page: definition, versions, workers, newest runs, and what the reader may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.definition.differences import describe_changes
from orchestra.identifiers import ProjectId
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.job_history import (
    STRIP_RUNS,
    USUAL_RUNS,
    RunMark,
    Streak,
    Usual,
    newest_marks,
    streak_of,
    success_text,
    usual_of,
)
from orchestra.queries.jobs import JobDetail, show_job
from orchestra.queries.run_views import RunView, run_view, select_runs
from orchestra.specification import JobSpecification
from orchestra.storage.tables import job_versions, jobs, projects, runs

PLOTTED_RUNS = 30
_RUNS_SHOWN = 20
_VERSIONS_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionLine:
    """A version of a job, and how it differs from the one before."""

    number: int
    created_at: datetime
    changes: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFacts:
    """A job for somebody who may want to run it."""

    detail: JobDetail
    usual: Usual | None
    may_run: bool
    may_switch: bool

    @property
    def matching(self) -> int:
        """How many workers have what the job asks."""
        return sum(worker.matches for worker in self.detail.workers)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPage:
    """Everything about one job."""

    facts: JobFacts
    marks: tuple[RunMark, ...]
    """The newest first."""
    streak: Streak | None
    runs: tuple[RunView, ...]
    versions: tuple[VersionLine, ...]

    @property
    def summary(self) -> str:
        """`8 of 10 succeeded`, of the strip."""
        return success_text(self.marks[:STRIP_RUNS])


def show_job_facts(connection: Connection, who: Principal, project: str, name: str, *, now: Instant) -> JobFacts:
    """What a trigger form needs of the job; raises NotFound."""
    detail = show_job(connection, who, project, name, now=now)
    job, owner = _ids(connection, project, name)
    marks = newest_marks(connection, [job], USUAL_RUNS).get(job, ())
    return _facts(who, owner, detail, marks)


def show_job_page(connection: Connection, who: Principal, project: str, name: str, *, now: Instant) -> JobPage:
    """One job, a retired one too; raises NotFound."""
    detail = show_job(connection, who, project, name, now=now)
    job, owner = _ids(connection, project, name)
    marks = newest_marks(connection, [job], PLOTTED_RUNS).get(job, ())
    newest = select_runs().where(runs.c.job_id == job).order_by(runs.c.id.desc()).limit(_RUNS_SHOWN)
    return JobPage(
        facts=_facts(who, owner, detail, marks[:USUAL_RUNS]),
        marks=marks,
        streak=streak_of(marks, PLOTTED_RUNS),
        runs=tuple(run_view(row) for row in connection.execute(newest)),
        versions=_versions(connection, job),
    )


def _ids(connection: Connection, project: str, name: str) -> tuple[int, ProjectId]:
    query = (
        select(jobs.c.id, jobs.c.project_id)
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(projects.c.name == project, jobs.c.name == name)
    )
    row = connection.execute(query).one()
    return row.id, ProjectId(row.project_id)


def _facts(who: Principal, project: ProjectId, detail: JobDetail, marks: Sequence[RunMark]) -> JobFacts:
    return JobFacts(
        detail=detail,
        usual=usual_of(marks),
        may_run=who.scope(Permission.RUN).covers(project),
        may_switch=who.scope(Permission.SWITCH_JOBS).covers(project),
    )


def _versions(connection: Connection, job: int) -> tuple[VersionLine, ...]:
    query = (
        select(job_versions.c.number, job_versions.c.created_at, job_versions.c.specification)
        .where(job_versions.c.job_id == job)
        .order_by(job_versions.c.number.desc())
        .limit(_VERSIONS_SHOWN + 1)
    )
    rows = connection.execute(query).all()
    read = [msgspec.json.decode(row.specification, type=JobSpecification) for row in rows]
    before = [*read[1:], None]
    lines = [
        VersionLine(
            number=row.number,
            created_at=moment(row.created_at),
            changes="first version" if old is None else describe_changes(old, new),
        )
        for row, new, old in zip(rows, read, before, strict=True)
    ]
    return tuple(lines[:_VERSIONS_SHOWN])
