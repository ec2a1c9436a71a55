"""Versions of jobs: what a run was created from. They never change, so they are kept in memory once read."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestra.errors import NotFound
from orchestra.identifiers import JobVersionId
from orchestra.limits import JOB_VERSIONS_KEPT_MAX
from orchestra.specification import JobSpecification
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import job_versions, jobs, projects


@dataclass(frozen=True, kw_only=True, slots=True)
class JobVersion:
    """A job as it was when a run was created from it."""

    project: str
    job: str
    specification: JobSpecification


class JobVersions:
    """Reads job versions; may be used from several threads, since each entry is written whole and never changed."""

    def __init__(self) -> None:
        self._known: dict[JobVersionId, JobVersion] = {}

    def get(self, connection: Connection, version: JobVersionId) -> JobVersion:
        """The version; raises NotFound."""
        known = self._known.get(version)
        if known is not None:
            return known
        row = connection.execute(
            select(projects.c.name.label("project"), jobs.c.name.label("job"), job_versions.c.specification)
            .join(jobs, jobs.c.id == job_versions.c.job_id)
            .join(projects, projects.c.id == jobs.c.project_id)
            .where(job_versions.c.id == version)
        ).one_or_none()
        if row is None:
            raise NotFound("job version", version)
        specification = msgspec.json.decode(row.specification, type=JobSpecification)
        found = JobVersion(project=row.project, job=row.job, specification=specification)
        if len(self._known) >= JOB_VERSIONS_KEPT_MAX:
            self._known.clear()
        self._known[version] = found
        return found


def version_text(connection: Connection, version: JobVersionId) -> str:
    """A version's JobSpecification as it is stored, JSON; raises NotFound."""
    row = _TEXT.first(connection, {"version": version})
    if row is None:
        raise NotFound("job version", version)
    return row.specification


class _Text(NamedTuple):
    specification: str


_TEXT = PreparedQuery(
    _Text, lambda _: select(job_versions.c.specification).where(job_versions.c.id == bindparam("version"))
)
