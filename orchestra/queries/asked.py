"""What pipelines ask of one person: the elements that wait for an answer which this person may give."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestra.commands.approvals import may_answer
from orchestra.identifiers import JobVersionId, ProjectId
from orchestra.pipeline.states import ElementState
from orchestra.policy import Permission, Principal
from orchestra.queries.addresses import moment
from orchestra.queries.visibility import within
from orchestra.storage.pipeline_versions import graph_of_version
from orchestra.storage.tables import jobs, pipeline_elements, projects, runs

LOOKED_MAX = 200
"""Of all that wait: more than anybody answers at a time."""


class AskedElement(msgspec.Struct, frozen=True, kw_only=True):
    """An element that waits for this person, among others perhaps."""

    run: int
    project: str
    job: str
    element: str
    message: str
    asked_at: datetime | None
    due_at: datetime | None


def asked_of(connection: Connection, who: Principal) -> Sequence[AskedElement]:
    """Those that must be answered soonest first, then those that have waited longest."""
    scope = who.scope(Permission.RUN)
    if scope.is_empty:
        return ()
    rows = connection.execute(
        select(
            pipeline_elements.c.run_id,
            pipeline_elements.c.element,
            pipeline_elements.c.message,
            pipeline_elements.c.asked_at,
            pipeline_elements.c.due_at,
            runs.c.project_id,
            runs.c.job_version_id,
            projects.c.name.label("project"),
            jobs.c.name.label("job"),
        )
        .join(runs, runs.c.id == pipeline_elements.c.run_id)
        .join(jobs, jobs.c.id == runs.c.job_id)
        .join(projects, projects.c.id == runs.c.project_id)
        .where(pipeline_elements.c.state == bindparam("waiting"), *within(scope, runs.c.project_id))
        # As the index has them; the whole order is made below, of few.
        .order_by(pipeline_elements.c.due_at)
        .limit(LOOKED_MAX),
        {"waiting": ElementState.WAITING},
    )
    found = []
    for row in rows:
        element = graph_of_version(connection, JobVersionId(row.job_version_id)).by_name.get(row.element)
        if element is None or element.approval is None:
            continue
        if may_answer(who, element.approval, ProjectId(row.project_id)):
            found.append(
                AskedElement(
                    run=row.run_id,
                    project=row.project,
                    job=row.job,
                    element=row.element,
                    message=row.message,
                    asked_at=moment(row.asked_at),
                    due_at=moment(row.due_at),
                )
            )
    return sorted(found, key=lambda each: (each.due_at is None, each.due_at or each.asked_at, each.run))
