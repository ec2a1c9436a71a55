"""Jobs in quarantine: by what, since when, and how many of their runs wait for a person who releases them."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, select

from orchestra.identifiers import JobId
from orchestra.lifecycle import RunState
from orchestra.limits import BEFORE_COUNT_MAX
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.visibility import within
from orchestra.storage.tables import jobs, projects, runs


class QuarantinedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of which nothing starts, because too many of its attempts were lost."""

    project: str
    job: str
    since: datetime
    reason: str
    runs: int
    """How many of its runs wait, at most 100."""


def quarantined_jobs(connection: Connection, who: Principal) -> list[QuarantinedJob]:
    """Those that this person may see, the newest first; a retired one only while something of it waits."""
    query = (
        select(
            jobs.c.id,
            projects.c.name.label("project"),
            jobs.c.name.label("job"),
            jobs.c.quarantined_at,
            jobs.c.quarantine_reason,
            jobs.c.retired_at,
        )
        .join(projects, projects.c.id == jobs.c.project_id)
        .where(jobs.c.quarantined_at.is_not(None), *within(who.scope(Permission.READ), jobs.c.project_id))
        .order_by(jobs.c.quarantined_at.desc(), jobs.c.id)
    )
    rows = [(row, _waiting(connection, JobId(row.id))) for row in connection.execute(query)]
    return [
        QuarantinedJob(
            project=row.project,
            job=row.job,
            since=moment(row.quarantined_at),
            reason=row.quarantine_reason,
            runs=waiting,
        )
        for row, waiting in rows
        if waiting or row.retired_at is None
    ]


def count_quarantined(connection: Connection) -> int:
    """How many jobs are in quarantine, whoever may see them."""
    query = select(func.count()).where(jobs.c.quarantined_at.is_not(None), jobs.c.retired_at.is_(None))
    return connection.execute(query).scalar_one()


def _waiting(connection: Connection, job: JobId) -> int:
    some = (
        select(runs.c.id)
        .where(runs.c.job_id == job, runs.c.ended_at.is_(None), runs.c.state == RunState.PENDING)
        .limit(BEFORE_COUNT_MAX)
    )
    return connection.execute(select(func.count()).select_from(some.subquery())).scalar_one()
