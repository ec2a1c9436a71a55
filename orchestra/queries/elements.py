"""The elements of a pipeline's run: how each stands, what it waits for, and the runs that it has made."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from orchestra.elements import Element, Pipeline, Rule
from orchestra.errors import NotFound
from orchestra.identifiers import JobVersionId, RunId
from orchestra.lifecycle import TERMINAL_STATES, RunState
from orchestra.pipeline.graph import Graph
from orchestra.pipeline.states import ElementState
from orchestra.policy import Principal
from orchestra.queries.addresses import moment, run_address
from orchestra.queries.runs import project_of_run
from orchestra.storage.pipeline_versions import graph_of_version, specification_of_version
from orchestra.storage.tables import pipeline_elements, runs


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked, or was."""

    message: str
    by: tuple[str, ...]
    """Names of users and of roles; empty: everybody who may run the job."""
    asked_at: datetime | None
    due_at: datetime | None
    """When `on_timeout` counts as the answer; null: never, or it is answered."""
    on_timeout: str
    decided_at: datetime | None
    decided_by: str | None


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an element, or the place where it will be."""

    key: str
    """Which of the runs of a matrix or list it is: `os=linux`; empty for the only one."""
    state: ElementState
    reason: str
    run: int | None
    run_state: RunState | None
    run_url: str | None
    is_reused: bool
    """The run belongs to an earlier pipeline, whose outcome is used again."""
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


class ElementView(msgspec.Struct, frozen=True, kw_only=True):
    """One element with all of its runs."""

    name: str
    job: str | None
    """`build`, or `shop/build` of another project; null for an approval."""
    state: ElementState
    reason: str
    after: dict[str, tuple[Rule, ...]]
    """The elements before it, and what it asks of each."""
    is_closing: bool
    """It runs when all others are over, whatever became of them."""
    column: int
    """In a drawing: how far it is from the beginning."""
    instances: tuple[InstanceView, ...]
    approval: ApprovalView | None


class PipelineView(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline's elements, as the definition has them."""

    run: int
    state: RunState
    elements: tuple[ElementView, ...]


def show_elements(connection: Connection, who: Principal, run: RunId) -> PipelineView:
    """All elements of the run; before it has begun, as they will be. Raises NotFound, also for a run that is no
    pipeline."""
    project_of_run(connection, who, run)
    row = connection.execute(select(runs.c.state, runs.c.job_version_id).where(runs.c.id == run)).one()
    version = JobVersionId(row.job_version_id)
    if specification_of_version(connection, version).pipeline is None:
        raise NotFound("pipeline", f"run #{run}")
    graph = graph_of_version(connection, version)
    columns, found = graph.columns(), _rows(connection, run)
    return PipelineView(
        run=run,
        state=RunState(row.state),
        elements=tuple(
            _view(graph, each, columns[each.name], found.get(each.name, [])) for each in graph.in_written_order()
        ),
    )


def elements_of(pipeline: Pipeline) -> tuple[ElementView, ...]:
    """The elements of a pipeline of which there is no run yet."""
    graph = Graph(pipeline)
    columns = graph.columns()
    return tuple(_view(graph, each, columns[each.name], []) for each in graph.in_written_order())


def _rows(connection: Connection, run: RunId) -> "dict[str, list[_ElementRow]]":
    rows = connection.execute(
        select(
            pipeline_elements,
            runs.c.state.label("run_state"),
            runs.c.reason.label("run_reason"),
            runs.c.created_at,
            runs.c.started_at,
            runs.c.ended_at.label("run_ended_at"),
        )
        .select_from(pipeline_elements.outerjoin(runs, runs.c.id == pipeline_elements.c.child_id))
        .where(pipeline_elements.c.run_id == run)
        .order_by(pipeline_elements.c.element, pipeline_elements.c.key != "", pipeline_elements.c.position)
    )
    found: dict[str, list[_ElementRow]] = {}
    for row in rows:
        found.setdefault(row.element, []).append(_ElementRow(**{name: getattr(row, name) for name in _NAMES}))
    return found


class _ElementRow(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    state: str
    reason: str
    child_id: int | None
    is_reused: bool
    message: str
    asked_at: int | None
    due_at: int | None
    decided_at: int | None
    decided_by: str | None
    ended_at: int | None
    run_state: str | None
    run_reason: str | None
    created_at: int | None
    started_at: int | None
    run_ended_at: int | None


_NAMES = _ElementRow.__struct_fields__


def _view(graph: Graph, element: Element, column: int, rows: list[_ElementRow]) -> ElementView:
    head = rows[0] if rows else None
    instances = rows[1:] or ([head] if head is not None and head.child_id is not None else [])
    return ElementView(
        name=element.name,
        job=element.job or None,
        state=ElementState.BLOCKED if head is None else _state(head),
        reason="" if head is None else _reason(head),
        after=dict(element.after),
        is_closing=element.name in graph.closing,
        column=column,
        instances=tuple(_instance(each) for each in instances),
        approval=None if element.approval is None else _approval(element, head),
    )


def _state(row: _ElementRow) -> ElementState:
    run_state = None if row.run_state is None else RunState(row.run_state)
    is_over = row.state == ElementState.RUNNING and run_state in TERMINAL_STATES
    return ElementState(str(run_state)) if is_over else ElementState(row.state)


def _reason(row: _ElementRow) -> str:
    return row.reason or row.run_reason or ""


def _instance(row: _ElementRow) -> InstanceView:
    has_run = row.child_id is not None
    return InstanceView(
        key=row.key,
        state=_state(row),
        reason=_reason(row),
        run=row.child_id,
        run_state=RunState(row.run_state) if row.run_state is not None else None,
        run_url=run_address(RunId(row.child_id)) if row.child_id is not None else None,
        is_reused=bool(row.is_reused),
        created_at=moment(row.created_at),
        started_at=moment(row.started_at),
        ended_at=moment(row.run_ended_at if has_run else row.ended_at),
    )


def _approval(element: Element, row: _ElementRow | None) -> ApprovalView:
    asked = element.approval
    assert asked is not None
    return ApprovalView(
        message=asked.message if row is None or row.asked_at is None else row.message,
        by=asked.by,
        asked_at=moment(row.asked_at) if row else None,
        due_at=moment(row.due_at) if row else None,
        on_timeout=str(asked.on_timeout),
        decided_at=moment(row.decided_at) if row else None,
        decided_by=row.decided_by if row else None,
    )
