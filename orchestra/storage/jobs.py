"""Jobs and their versions: a run points for ever to the version that it was created from."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from orchestra.clock import Instant
from orchestra.demands import signature_of_job
from orchestra.errors import NotFound
from orchestra.identifiers import JobId, JobVersionId, ProjectId, Signature
from orchestra.specification import JobSpecification
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import job_versions, jobs, projects


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A job with its newest version."""

    id: JobId
    project_id: ProjectId
    project: str
    name: str
    version_id: JobVersionId
    version: int
    specification: JobSpecification
    signature: Signature
    enabled: bool
    """What the definition says."""
    disabled_by: str | None
    """Who disabled the job, and why; None if nobody did."""
    retired_at: Instant | None
    """Since when no definition has the job any more."""

    @property
    def is_active(self) -> bool:
        """Whether it may have new runs: both the definition and the people must want that."""
        return self.hindrance is None

    def as_of(self, version: JobVersionId, number: int, specification: JobSpecification) -> "JobRecord":
        """The job as one of its versions has it."""
        signature = signature_of_job(self.project_id, specification)
        return replace(self, version_id=version, version=number, specification=specification, signature=signature)

    @property
    def hindrance(self) -> str | None:
        """Why it has no new runs, with the repair; None if it may."""
        name = f"job {self.project}/{self.name}"
        if self.retired_at is not None:
            return f"{name} is in no definition any more: it makes no new runs"
        if self.disabled_by is not None:
            return f"{name} is disabled by {self.disabled_by}: enable it first"
        if not self.enabled:
            return f"{name} is disabled by its definition: say 'enabled: true' there"
        return None


def find_job(connection: Connection, project: str, name: str) -> JobRecord:
    """The job of this name, a retired one too; raises NotFound."""
    row = connection.execute(_jobs().where(projects.c.name == project, jobs.c.name == name)).one_or_none()
    if row is None:
        raise NotFound("job", f"{project}/{name}")
    return _record(_JobRow._make(row))


def job_of(connection: Connection, job: JobId) -> JobRecord:
    """The job of this id; raises NotFound."""
    row = _JOB_BY_ID.first(connection, {"job": job})
    if row is None:
        raise NotFound("job", job)
    return _record(row)


def job_by_name(connection: Connection, project: ProjectId, name: str) -> JobRecord | None:
    """The project's job of this name, a retired one too, or None."""
    row = connection.execute(_jobs().where(jobs.c.project_id == project, jobs.c.name == name)).one_or_none()
    return None if row is None else _record(_JobRow._make(row))


def jobs_of_project(connection: Connection, project: ProjectId, *, retired: bool = False) -> list[JobRecord]:
    """The jobs of a project by name; with `retired` those that no definition has any more as well."""
    query = _jobs().where(jobs.c.project_id == project).order_by(jobs.c.name)
    if not retired:
        query = query.where(jobs.c.retired_at.is_(None))
    return [_record(_JobRow._make(row)) for row in connection.execute(query)]


def specification_of(connection: Connection, version: JobVersionId) -> JobSpecification:
    """What a version of a job says; raises NotFound."""
    text = connection.execute(
        select(job_versions.c.specification).where(job_versions.c.id == version)
    ).scalar_one_or_none()
    if text is None:
        raise NotFound("job version", version)
    return msgspec.json.decode(text, type=JobSpecification)


def add_job(
    connection: Connection,
    project: ProjectId,
    name: str,
    specification: JobSpecification,
    *,
    enabled: bool,
    now: Instant,
) -> JobId:
    """Makes a job with its first version."""
    # The version needs the job and the job its version: the job is made first, with no version for a moment.
    job = JobId(
        connection.execute(
            insert(jobs).values(project_id=project, name=name, version_id=0, enabled=enabled).returning(jobs.c.id)
        ).scalar_one()
    )
    add_version(connection, job, specification, now=now)
    return job


def add_version(connection: Connection, job: JobId, specification: JobSpecification, *, now: Instant) -> JobVersionId:
    """Appends a version to the job; new runs are created from it, older runs keep theirs."""
    project = select(jobs.c.project_id).where(jobs.c.id == job)
    signature = signature_of_job(ProjectId(connection.execute(project).scalar_one()), specification)
    newest = select(func.coalesce(func.max(job_versions.c.number), 0) + 1).where(job_versions.c.job_id == job)
    version = JobVersionId(
        connection.execute(
            insert(job_versions)
            .values(
                job_id=job,
                number=newest.scalar_subquery(),
                specification=encode_specification(specification),
                signature=signature,
                created_at=now,
            )
            .returning(job_versions.c.id)
        ).scalar_one()
    )
    connection.execute(update(jobs).where(jobs.c.id == job).values(version_id=version))
    return version


def keep_job(connection: Connection, job: JobId, *, enabled: bool) -> None:
    """The definition has the job (again): it is not retired, and enabled or not as the definition says."""
    connection.execute(update(jobs).where(jobs.c.id == job).values(enabled=enabled, retired_at=None))


def retire_job(connection: Connection, job: JobId, *, now: Instant) -> None:
    """No definition has the job any more: it makes no new runs, its history stays."""
    connection.execute(update(jobs).where(jobs.c.id == job, jobs.c.retired_at.is_(None)).values(retired_at=now))


def switch_job(connection: Connection, job: JobId, *, disabled_by: str | None) -> None:
    """A person disables the job ("ana: disk is full"), or enables it (None). A definition never changes this."""
    connection.execute(update(jobs).where(jobs.c.id == job).values(disabled_by=disabled_by))


def encode_specification(specification: msgspec.Struct) -> str:
    """Canonical JSON text: equal specifications are equal texts."""
    return msgspec.json.encode(specification, order="sorted").decode()


class _JobRow(NamedTuple):
    id: int
    project_id: int
    name: str
    version_id: int
    enabled: bool
    disabled_by: str | None
    retired_at: Instant | None
    project: str
    number: int
    specification: str
    signature: str


def _jobs() -> Select[tuple[object, ...]]:
    return (
        select(
            *(jobs.c[name] for name in _JobRow._fields[:7]),
            projects.c.name.label("project"),
            job_versions.c.number,
            job_versions.c.specification,
            job_versions.c.signature,
        )
        .join(projects, projects.c.id == jobs.c.project_id)
        .join(job_versions, job_versions.c.id == jobs.c.version_id)
    )


def _record(row: _JobRow) -> JobRecord:
    return JobRecord(
        id=JobId(row.id),
        project_id=ProjectId(row.project_id),
        project=row.project,
        name=row.name,
        version_id=JobVersionId(row.version_id),
        version=row.number,
        specification=msgspec.json.decode(row.specification, type=JobSpecification),
        signature=Signature(row.signature),
        enabled=bool(row.enabled),
        disabled_by=row.disabled_by,
        retired_at=row.retired_at,
    )


_JOB_BY_ID = PreparedQuery(_JobRow, lambda _: _jobs().where(jobs.c.id == bindparam("job")))
