"""How a run is shown: the same fields for programs, the command line and pages."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from orchestra.lifecycle import AttemptState, RunState
from orchestra.matching import PIPELINE
from orchestra.queries.addresses import moment, run_address
from orchestra.specification import PropertyValue
from orchestra.storage.tables import attempts, job_versions, jobs, projects, run_results, run_steps, runs, workers


class StopView(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for; it is not done before the state says so."""

    at: datetime
    by: str
    reason: str


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as lists show it."""

    id: int
    url: str
    project: str
    job: str
    job_version: int
    state: RunState
    reason: str
    source: str
    parameters: dict[str, PropertyValue]
    """Without the secret ones."""
    priority: int
    attempt: int
    attempts_counted: int
    worker: str | None
    worker_connected: bool
    """As its master knows it; a run on a worker that is not goes on there."""
    worker_last_contact_at: datetime | None
    stop_requested: StopView | None
    created_at: datetime
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    log_length: int
    progress: float | None
    progress_text: str | None
    retry_of: int | None
    parent: int | None
    """The pipeline that made it for one of its elements."""
    element: str | None
    element_key: str | None
    """Which of the runs of the element's matrix or list: `os=linux`; empty for the only one."""
    is_pipeline: bool
    """It makes other runs, and no worker has it: see its elements."""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try of a run on one worker."""

    number: int
    worker: str | None
    """None: it was started elsewhere, and `orchestra wrap` tells of it."""
    state: AttemptState
    reason: str
    offered_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    log_length: int
    log_digest: str | None
    lost_bytes: int


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """One command of an attempt, with its part of the attempt's log."""

    attempt: int
    number: int
    name: str
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    reason: str
    log_start: int
    log_end: int | None


def select_runs() -> Select[tuple[object, ...]]:
    """Runs with all that a view needs; add conditions and an order."""
    return (
        select(
            runs,
            projects.c.name.label("project"),
            jobs.c.name.label("job"),
            job_versions.c.number.label("job_version"),
            workers.c.name.label("worker"),
            workers.c.last_contact_at,
            workers.c.master.label("worker_master"),
            # A run's own figure is set at its end; while it runs, its attempt's grows.
            func.coalesce(attempts.c.log_length, runs.c.log_length).label("log_length_now"),
        )
        .join(jobs, jobs.c.id == runs.c.job_id)
        .join(projects, projects.c.id == runs.c.project_id)
        .join(job_versions, job_versions.c.id == runs.c.job_version_id)
        .outerjoin(workers, workers.c.id == runs.c.worker_id)
        .outerjoin(attempts, (attempts.c.run_id == runs.c.id) & (attempts.c.number == runs.c.attempt))
    )


def run_view(row: Row[tuple[object, ...]]) -> RunView:
    """The view of a row of `select_runs`."""
    stop = None
    if row.stop_requested_at is not None:
        stop = StopView(at=moment(row.stop_requested_at), by=row.stop_requested_by or "", reason=row.stop_reason or "")
    return RunView(
        id=row.id,
        url=run_address(row.id),
        project=row.project,
        job=row.job,
        job_version=row.job_version,
        state=RunState(row.state),
        reason=row.reason,
        source=row.source,
        parameters=msgspec.json.decode(row.parameters, type=dict[str, PropertyValue]),
        priority=row.priority,
        attempt=row.attempt,
        attempts_counted=row.attempts_counted,
        worker=row.worker,
        worker_connected=row.worker_master is not None,
        worker_last_contact_at=moment(row.last_contact_at),
        stop_requested=stop,
        created_at=moment(row.created_at),
        due_at=moment(row.due_at),
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        exit_code=row.exit_code,
        log_length=row.log_length_now,
        progress=row.progress,
        progress_text=row.progress_text,
        retry_of=row.retry_of,
        parent=row.parent_id,
        element=row.element,
        element_key=row.element_key,
        is_pipeline=row.signature == PIPELINE,
    )


def attempts_of(connection: Connection, run: int) -> tuple[AttemptView, ...]:
    """The attempts of a run, oldest first; offers that never ran are none."""
    rows = connection.execute(
        select(attempts, workers.c.name.label("worker"))
        .outerjoin(workers, workers.c.id == attempts.c.worker_id)
        .where(attempts.c.run_id == run, attempts.c.state != AttemptState.WITHDRAWN)
        .order_by(attempts.c.number)
    )
    return tuple(
        AttemptView(
            number=row.number,
            worker=row.worker,
            state=AttemptState(row.state),
            reason=row.reason,
            offered_at=moment(row.offered_at),
            started_at=moment(row.started_at),
            ended_at=moment(row.ended_at),
            exit_code=row.exit_code,
            log_length=row.log_length,
            log_digest=row.log_digest,
            lost_bytes=row.lost_bytes,
        )
        for row in rows
    )


def steps_of(connection: Connection, run: int) -> tuple[StepView, ...]:
    """The steps of all attempts of a run, in their order."""
    rows = connection.execute(
        select(run_steps).where(run_steps.c.run_id == run).order_by(run_steps.c.attempt, run_steps.c.number)
    )
    return tuple(
        StepView(
            attempt=row.attempt,
            number=row.number,
            name=row.name,
            started_at=moment(row.started_at),
            ended_at=moment(row.ended_at),
            exit_code=row.exit_code,
            reason=row.reason,
            log_start=row.log_start,
            log_end=row.log_end,
        )
        for row in rows
    )


def results_of(connection: Connection, run: int) -> dict[str, msgspec.Raw]:
    """What a run has found out: name to JSON value."""
    rows = connection.execute(
        select(run_results.c.name, run_results.c.value).where(run_results.c.run_id == run).order_by(run_results.c.name)
    )
    return {row.name: msgspec.Raw(row.value.encode()) for row in rows}
