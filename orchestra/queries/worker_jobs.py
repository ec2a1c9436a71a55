"""Which jobs a worker can do, and why not the others."""

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.matching import exclusion
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import job_address
from orchestra.queries.visibility import within
from orchestra.queries.waiting import match_workers
from orchestra.queries.worker_facts import all_workers
from orchestra.specification import JobSpecification
from orchestra.storage.paging import Page, PageAsked, page_by_key
from orchestra.storage.tables import job_versions, jobs, projects


class WorkerJobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job beside one worker."""

    project: str
    job: str
    url: str
    matches: bool
    reason: str
    """Why the worker can never run it or, if it matches, could not at this moment; empty if nothing is in the way."""
    is_only: bool
    """No other worker that is known can do the job."""


def list_worker_jobs(
    connection: Connection, who: Principal, name: str, asked: PageAsked, *, now: Instant
) -> Page[WorkerJobView]:
    """A page of the jobs that this person may see, beside the worker; raises NotFound."""
    fleet = all_workers(connection, who)
    worker = next((facts for facts in fleet if facts.name == name), None)
    if worker is None:
        raise NotFound("worker", name)
    query = (
        select(jobs.c.id, jobs.c.name, projects.c.name.label("project"), job_versions.c.specification)
        .join(projects, projects.c.id == jobs.c.project_id)
        .join(job_versions, job_versions.c.id == jobs.c.version_id)
        .where(jobs.c.retired_at.is_(None), *within(who.scope(Permission.READ), jobs.c.project_id))
    )
    page = page_by_key(connection, query, jobs.c.id, asked)
    views = []
    for row in page.items:
        matching = msgspec.json.decode(row.specification, type=JobSpecification).matching
        answer = match_workers(matching, [worker], now)[0]
        others = (other for other in fleet if other is not worker)
        views.append(
            WorkerJobView(
                project=row.project,
                job=row.name,
                url=job_address(row.project, row.name),
                matches=answer.matches,
                reason=answer.reason,
                is_only=answer.matches
                and all(exclusion(matching, other.properties, slots=other.slots) is not None for other in others),
            )
        )
    return Page(items=views, next=page.next, total=page.total)
