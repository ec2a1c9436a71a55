"""Who declares which locks, and whose jobs take several of one: what a new definition must agree with."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, insert, select

from orchestra.identifiers import ProjectId
from orchestra.specification import JobSpecification
from orchestra.storage.tables import job_versions, jobs, locks, projects

_WITH_LOCKS = '%"locks":[%'
"""A specification in which a job takes locks; a script may hold the same text, which does no harm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredLock:
    """A lock of which a project says how many there are."""

    capacity: int
    project_id: ProjectId
    project: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockUser:
    """A job that takes locks."""

    project_id: ProjectId
    name: str
    """With its project: `ops/backup`."""
    specification: JobSpecification


def declare_locks(connection: Connection, project: ProjectId, capacities: Mapping[str, int]) -> None:
    """The project declares these locks and no others."""
    connection.execute(delete(locks).where(locks.c.project_id == project))
    if capacities:
        connection.execute(
            insert(locks),
            [{"name": name, "capacity": count, "project_id": project} for name, count in capacities.items()],
        )


def declared_locks(connection: Connection) -> Mapping[str, DeclaredLock]:
    """All of them by name: at most a few hundred for each project."""
    query = select(locks, projects.c.name.label("project")).join(projects, projects.c.id == locks.c.project_id)
    return {
        row.name: DeclaredLock(capacity=row.capacity, project_id=ProjectId(row.project_id), project=row.project)
        for row in connection.execute(query)
    }


def lock_users(connection: Connection, *, other_than: str) -> list[LockUser]:
    """The jobs of all projects but this one that take locks, by name; those that no definition has any more do not."""
    query = (
        select(jobs.c.project_id, projects.c.name.label("project"), jobs.c.name, job_versions.c.specification)
        .join(projects, projects.c.id == jobs.c.project_id)
        .join(job_versions, job_versions.c.id == jobs.c.version_id)
        .where(
            projects.c.name != other_than,
            jobs.c.retired_at.is_(None),
            job_versions.c.specification.like(_WITH_LOCKS),
        )
        .order_by(projects.c.name, jobs.c.name)
    )
    return [
        LockUser(
            project_id=ProjectId(row.project_id),
            name=f"{row.project}/{row.name}",
            specification=msgspec.json.decode(row.specification, type=JobSpecification),
        )
        for row in connection.execute(query)
    ]
