"""What is expected of a job, what was missed, and which jobs miss a run at this moment."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from orchestra.cron.expected import comes_for, expectation_sentence, expected_at
from orchestra.identifiers import JobId
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.visibility import within
from orchestra.storage.expectations import (
    ExpectationRecord,
    MissedRun,
    expectation_of,
    missed_runs_of_job,
    newest_starts,
    open_missed_runs,
)
from orchestra.storage.tables import jobs, projects

_SHOWN = 10


class MissedRunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run that did not start in time."""

    due_at: datetime
    missed_at: datetime
    recovered_at: datetime | None
    """When one started after all, or nothing was expected any more; null: it is still missed."""
    run: int | None
    """The one that started."""


class ExpectationView(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a job."""

    sentence: str
    grace_seconds: float
    since: datetime
    last_start: datetime | None
    next_at: datetime | None
    """When the next run is expected; null while nothing is, because the job is disabled."""
    is_missed: bool
    missed: tuple[MissedRunView, ...]
    """The newest first."""


class MissedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of which a run was expected and did not start."""

    project: str
    job: str
    due_at: datetime
    last_start: datetime | None


def expectation_view(connection: Connection, job: JobId, *, is_active: bool) -> ExpectationView | None:
    """What is expected of the job, or None."""
    record = expectation_of(connection, job)
    if record is None:
        return None
    starts = newest_starts(connection, job)
    last = starts[0].at if starts else None
    missed = missed_runs_of_job(connection, job, _SHOWN)
    return ExpectationView(
        sentence=expectation_sentence(record.specification),
        grace_seconds=record.specification.grace_seconds,
        since=moment(record.since),
        last_start=moment(last),
        next_at=moment(expected_at(record.specification, max(record.since, last or record.since)))
        if is_active
        else None,
        is_missed=any(_is_open(connection, record, each) for each in missed),
        missed=tuple(
            MissedRunView(
                due_at=moment(each.due_at),
                missed_at=moment(each.missed_at),
                recovered_at=moment(each.recovered_at),
                run=each.run,
            )
            for each in missed
        ),
    )


def missed_jobs(connection: Connection, who: Principal) -> list[MissedJob]:
    """Jobs that miss a run now, as far as this person may see them, the longest missing first."""
    open_runs = {each.job_id: each for each in open_missed_runs(connection)}
    if not open_runs:
        return []
    query = (
        select(jobs.c.id, jobs.c.name, projects.c.name.label("project"))
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(jobs.c.id.in_(open_runs), *within(who.scope(Permission.READ), jobs.c.project_id))
    )
    found = []
    for row in connection.execute(query):
        missed, record = open_runs[JobId(row.id)], expectation_of(connection, JobId(row.id))
        if record is not None and _is_open(connection, record, missed):
            starts = newest_starts(connection, missed.job_id)
            last = moment(starts[0].at) if starts else None
            found.append(MissedJob(project=row.project, job=row.name, due_at=moment(missed.due_at), last_start=last))
    return sorted(found, key=lambda each: each.due_at)


def _is_open(connection: Connection, record: ExpectationRecord, missed: MissedRun) -> bool:
    """The master writes down a little later that one came: who looks meanwhile shall not see what is not so."""
    if missed.recovered_at is not None:
        return False
    starts = newest_starts(connection, missed.job_id)
    return not any(comes_for(record.specification, start.at, missed.due_at) for start in starts)
