"""What a retry of a pipeline does again, and of which version of its definition."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, select

from orchestra.errors import InvalidFields
from orchestra.identifiers import JobVersionId, RunId
from orchestra.queries.run_views import RunView
from orchestra.specification import JobSpecification
from orchestra.storage.jobs import JobRecord
from orchestra.storage.pipeline_children import ALL, FAILED, FROM
from orchestra.storage.pipeline_versions import specification_of_version
from orchestra.storage.tables import job_versions, runs


class Asked(Protocol):
    """What a person wants of the retry."""

    @property
    def failed_only(self) -> bool:
        """What succeeded is used again."""

    @property
    def from_element(self) -> str | None:
        """This element and all after it is done again."""

    @property
    def newest(self) -> bool:
        """By the newest definition, from the beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunVersion:
    """The version of its job that a run was made of."""

    id: JobVersionId
    number: int
    specification: JobSpecification

    def job_as_it_was(self, job: JobRecord) -> JobRecord:
        """The job in this version."""
        return job.as_of(self.id, self.number, self.specification)


def version_of_run(connection: Connection, run: RunId) -> RunVersion:
    """The version that the run was made of."""
    row = connection.execute(
        select(job_versions.c.id, job_versions.c.number)
        .join(runs, runs.c.job_version_id == job_versions.c.id)
        .where(runs.c.id == run)
    ).one()
    version = JobVersionId(row.id)
    return RunVersion(id=version, number=row.number, specification=specification_of_version(connection, version))


def check_retry(old: RunView, asked: Asked) -> None:
    """Raises InvalidFields for wishes that do not go together, or that only a pipeline can fulfil."""
    wishes = {
        "/failed_only": asked.failed_only,
        "/from_element": asked.from_element is not None,
        "/newest": asked.newest,
    }
    named = [path for path, is_asked in wishes.items() if is_asked]
    if named and not old.is_pipeline:
        raise InvalidFields([(path, f"run #{old.id} is no pipeline: leave it out") for path in named])
    if len(named) > 1:
        raise InvalidFields(
            [(path, "only one of failed_only, from_element and newest can be asked for") for path in named]
        )


def retry_scope(old: RunView, asked: Asked, version: RunVersion) -> str | None:
    """As the new run's row has it: None for a run that is made of the newest version. Raises InvalidFields for an
    element that the pipeline does not have."""
    pipeline = version.specification.pipeline
    if not old.is_pipeline or asked.newest or pipeline is None:
        return None
    if asked.from_element is not None:
        names = [element.name for element in (*pipeline.elements, *pipeline.closing)]
        if asked.from_element not in names:
            raise InvalidFields([("/from_element", f"is no element of run #{old.id}: it has {', '.join(names[:20])}")])
        return FROM + asked.from_element
    return FAILED if asked.failed_only else ALL
