"""The rows of a pipeline's elements: read as the resolver looks at them, written as it decides."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, insert, select

from orchestra.clock import Instant
from orchestra.elements import MatrixValue
from orchestra.identifiers import JobVersionId, RunId
from orchestra.lifecycle import TERMINAL_STATES
from orchestra.pipeline.actions import ElementRows, Row
from orchestra.pipeline.expansion import ONLY, Instance, Member
from orchestra.pipeline.states import ElementState
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted, listed
from orchestra.storage.statements import update_rows
from orchestra.storage.tables import pipeline_elements, run_results, runs, workers


class NewElement(NamedTuple):
    """An element as a pipeline begins with it."""

    name: str
    job_version_id: JobVersionId | None
    state: ElementState = ElementState.BLOCKED
    reason: str = ""


def add_elements(connection: Connection, run: RunId, elements: Sequence[NewElement], *, now: Instant) -> None:
    """The elements of a pipeline that begins, in the order in which they are shown."""
    rows = [
        _row(
            run, each.name, "", position,
            state=each.state, reason=each.reason, job_version_id=each.job_version_id,
            ended_at=None if each.state is ElementState.BLOCKED else now,
        )
        for position, each in enumerate(elements)
    ]  # fmt: skip
    _INSERT.execute_all(connection, rows)


def add_instances(connection: Connection, run: RunId, element: str, instances: Sequence[Instance]) -> None:
    """The runs that the element's matrix or list is to have."""
    rows = [
        _row(
            run, element, each.key, position,
            matrix=msgspec.json.encode(each.matrix).decode(), item=msgspec.json.encode(each.item).decode(),
        )
        for position, each in enumerate(instances)
    ]  # fmt: skip
    _INSERT.execute_all(connection, rows)


def change_elements(
    connection: Connection, run: RunId, changes: Sequence[tuple[str, str, Mapping[str, object]]]
) -> None:
    """These columns of these elements (name, key) change; what comes later about the same element holds."""
    # One change for each: changes of different columns are separate statements, in no order that says anything.
    together: dict[tuple[str, str], dict[str, object]] = {}
    for name, key, new in changes:
        together.setdefault((name, key), {}).update(new)
    rows = [({"run_id": run, "element": name, "key": key}, new) for (name, key), new in together.items()]
    update_rows(connection, pipeline_elements, rows)


def read_elements(connection: Connection, run: RunId) -> dict[str, ElementRows]:
    """How the elements stand: of those that have a run, what that one has come to."""
    found: dict[str, ElementRows] = {}
    for row in _READ.all(connection, {"run": run}):
        if row.key == "":
            found[row.element] = ElementRows(head=_stands(row, ONLY), instances=[])
        else:
            found[row.element].instances.append(_stands(row, _instance(row)))
    return found


def job_versions_of(connection: Connection, run: RunId) -> dict[str, JobVersionId | None]:
    """Which version of its job each element runs."""
    rows = connection.execute(
        select(pipeline_elements.c.element, pipeline_elements.c.job_version_id).where(
            pipeline_elements.c.run_id == run, pipeline_elements.c.key == ""
        )
    )
    return {row.element: None if row.job_version_id is None else JobVersionId(row.job_version_id) for row in rows}


def job_version_of(connection: Connection, run: RunId, element: str) -> JobVersionId | None:
    """The same for one of them, however many there are."""
    row = _VERSION.first(connection, {"run": run, "element": element})
    return None if row is None or row.job_version_id is None else JobVersionId(row.job_version_id)


def worker_of_element(connection: Connection, run: RunId, element: str) -> str | None:
    """The name of the worker that had the element's run, also of one that is used again; None if none ever had it."""
    row = _WORKER.first(connection, {"run": run, "element": element})
    return None if row is None else row.name


def results_of(connection: Connection, wanted: Sequence[RunId]) -> dict[RunId, dict[str, object]]:
    """What these runs have found out, as plain JSON values by name."""
    found: dict[RunId, dict[str, object]] = {}
    for row in _RESULTS.all(connection, {"wanted": list(wanted)}):
        found.setdefault(RunId(row.run_id), {})[row.name] = msgspec.json.decode(row.value)
    return found


def _row(run: RunId, element: str, key: str, position: int, **further: object) -> dict[str, object]:
    usual = dict.fromkeys(_COLUMNS)
    usual |= {"state": ElementState.BLOCKED, "reason": "", "is_reused": False, "message": ""}
    return {**usual, "run_id": run, "element": element, "key": key, "position": position, **further}


class _Element(NamedTuple):
    element: str
    key: str
    state: str
    child_id: int | None
    matrix: str | None
    item: str | None
    run_state: str | None
    exit_code: int | None
    stop_requested_at: Instant | None


def _stands(row: _Element, instance: Instance) -> Row:
    # By a table: this is done for thousands of rows with each decision, and making an enum's member is slow.
    state = _STATES[row.state]
    if state is ElementState.RUNNING and row.run_state in TERMINAL_STATES:
        state = _STATES[row.run_state]
    return Row(
        instance=instance,
        state=state,
        run=None if row.child_id is None else RunId(row.child_id),
        exit_code=row.exit_code,
        is_stopping=row.stop_requested_at is not None,
    )


def _instance(row: _Element) -> Instance:
    # Only one that is not begun yet is asked for its values.
    if row.state != ElementState.BLOCKED:
        return Instance(key=row.key, matrix={})
    matrix = msgspec.json.decode(row.matrix or "{}", type=dict[str, MatrixValue])
    item: Member = msgspec.json.decode(row.item or "null")
    return Instance(key=row.key, matrix=matrix, item=item)


_STATES = {str(state): state for state in ElementState}
_COLUMNS = (
    "run_id", "element", "key", "position", "state", "reason", "child_id", "is_reused", "job_version_id", "matrix",
    "item", "message", "asked_at", "due_at", "decided_at", "decided_by", "ended_at",
)  # fmt: skip
_INSERT = PreparedChange(lambda _: insert(pipeline_elements).values(inserted(pipeline_elements, *_COLUMNS)))
_READ = PreparedQuery(
    _Element,
    lambda _: (
        select(
            *(pipeline_elements.c[name] for name in _Element._fields[:6]),
            runs.c.state.label("run_state"),
            runs.c.exit_code,
            runs.c.stop_requested_at,
        )
        .select_from(pipeline_elements.outerjoin(runs, runs.c.id == pipeline_elements.c.child_id))
        .where(pipeline_elements.c.run_id == bindparam("run"))
        # The element itself before its runs.
        .order_by(pipeline_elements.c.element, pipeline_elements.c.key != "", pipeline_elements.c.position)
    ),
)


class _Version(NamedTuple):
    job_version_id: int | None


_VERSION = PreparedQuery(
    _Version,
    lambda _: select(pipeline_elements.c.job_version_id).where(
        pipeline_elements.c.run_id == bindparam("run"),
        pipeline_elements.c.element == bindparam("element"),
        pipeline_elements.c.key == "",
    ),
)


class _Worker(NamedTuple):
    name: str


_WORKER = PreparedQuery(
    _Worker,
    lambda _: (
        select(workers.c.name)
        .select_from(pipeline_elements)
        .join(runs, runs.c.id == pipeline_elements.c.child_id)
        .join(workers, workers.c.id == runs.c.worker_id)
        .where(
            pipeline_elements.c.run_id == bindparam("run"),
            pipeline_elements.c.element == bindparam("element"),
            pipeline_elements.c.key == "",
        )
    ),
)


class _Result(NamedTuple):
    run_id: int
    name: str
    value: str


_RESULTS = PreparedQuery(
    _Result,
    lambda count: select(run_results.c.run_id, run_results.c.name, run_results.c.value).where(
        run_results.c.run_id.in_(listed("wanted", run_results.c.run_id.type, count))
    ),
    of_list="wanted",
)
