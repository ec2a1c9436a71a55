"""What the page of one run shows beside the run itself: what is usual, who may steer it, what its job asked for."""

from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection, select

from orchestra.clock import MICROSECONDS_PER_SECOND, Instant
from orchestra.commands.approvals import may_answer
from orchestra.elements import Approval
from orchestra.identifiers import JobVersionId, ProjectId, RunId
from orchestra.lifecycle import RunState
from orchestra.limits import USUAL_RUNS, USUAL_RUNS_LOOKED_AT
from orchestra.pipeline.states import ElementState
from orchestra.policy import Permission, Principal
from orchestra.queries.elements import PipelineView, show_elements
from orchestra.queries.runs import RunDetail, show_run_detail
from orchestra.specification import JobSpecification
from orchestra.storage.jobs import specification_of
from orchestra.storage.tables import runs


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOverview:
    """A run for its page."""

    run: RunDetail
    may_steer: bool
    """Whether the reader may stop and retry it."""
    usual_seconds: float | None
    """The median of the job's last runs that succeeded; None if none did lately."""
    specification: JobSpecification
    """Of the version that the run was made from."""
    pipeline: PipelineView | None = None
    """Its elements, if it is one."""
    answerable: frozenset[str] = frozenset()
    """The elements that wait for a person, of those that the reader may answer."""


def run_overview(connection: Connection, who: Principal, run: RunId, *, now: Instant) -> RunOverview:
    """The run with what surrounds it; raises NotFound."""
    detail = show_run_detail(connection, who, run, now=now)
    key = connection.execute(select(runs.c.project_id, runs.c.job_id, runs.c.job_version_id).where(runs.c.id == run))
    row = key.one()
    project = ProjectId(row.project_id)
    pipeline = show_elements(connection, who, run) if detail.is_pipeline else None
    return RunOverview(
        run=detail,
        may_steer=who.scope(Permission.RUN).covers(project),
        usual_seconds=usual_seconds(connection, row.job_id, before=run),
        specification=specification_of(connection, JobVersionId(row.job_version_id)),
        pipeline=pipeline,
        answerable=frozenset() if pipeline is None else _answerable(who, pipeline, project),
    )


def _answerable(who: Principal, pipeline: PipelineView, project: ProjectId) -> frozenset[str]:
    if not who.scope(Permission.RUN).covers(project):
        return frozenset()
    return frozenset(
        each.name
        for each in pipeline.elements
        if each.approval is not None
        and each.state is ElementState.WAITING
        and may_answer(who, Approval(by=each.approval.by), project)
    )


def usual_seconds(connection: Connection, job: int, *, before: int) -> float | None:
    """The median duration of the job's last runs that succeeded, among a bounded number of runs before this one."""
    latest = (
        select(runs.c.state, runs.c.started_at, runs.c.ended_at)
        .where(runs.c.job_id == job, runs.c.id < before)
        .order_by(runs.c.id.desc())
        .limit(USUAL_RUNS_LOOKED_AT)
    )
    took = [
        row.ended_at - row.started_at
        for row in connection.execute(latest)
        if row.state == RunState.SUCCEEDED and row.started_at is not None
    ]
    return median(took[:USUAL_RUNS]) / MICROSECONDS_PER_SECOND if took else None
