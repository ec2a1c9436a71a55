"""Everything that is kept of a run, for its archive: one look, so that the parts fit each other."""

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.identifiers import RunId
from orchestra.policy import Principal
from orchestra.queries.run_logs import RunLogs, logs_of_run
from orchestra.queries.runs import RunDetail, RunEventView, history_of_run, show_run_detail
from orchestra.storage.tables import job_versions, runs


class ArchivedJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job as it was when the run was made."""

    project: str
    job: str
    version: int
    specification: msgspec.Raw


class ArchivedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its history, its job, and how much log there is of it."""

    run: RunDetail
    events: tuple[RunEventView, ...]
    job: ArchivedJob
    logs: RunLogs


def archive_of_run(connection: Connection, who: Principal, run: RunId, *, now: Instant) -> ArchivedRun:
    """What goes into the run's archive; raises NotFound. Secret parameters are nowhere in it."""
    detail = show_run_detail(connection, who, run, now=now)
    specification = connection.execute(
        select(job_versions.c.specification)
        .join(runs, runs.c.job_version_id == job_versions.c.id)
        .where(runs.c.id == run)
    ).scalar_one()
    return ArchivedRun(
        run=detail,
        events=history_of_run(connection, who, run),
        job=ArchivedJob(
            project=detail.project,
            job=detail.job,
            version=detail.job_version,
            specification=msgspec.Raw(specification.encode()),
        ),
        logs=logs_of_run(connection, who, run),
    )
