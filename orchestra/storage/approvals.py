"""Elements that wait for a person: which are due, and what is said to them."""

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from orchestra.clock import Instant
from orchestra.elements import Approval, Verdict
from orchestra.errors import Conflict, NotFound
from orchestra.identifiers import RunId
from orchestra.pipeline.states import ElementState
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.pipeline_versions import specification_of_version
from orchestra.storage.pipelines import resolve_pipeline
from orchestra.storage.prepared import NextInstant, PreparedQuery
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import follow_ends
from orchestra.storage.tables import pipeline_elements, runs

_OUTCOME = {Verdict.APPROVE: ElementState.SUCCEEDED, Verdict.REJECT: ElementState.FAILED}
_WORD = {Verdict.APPROVE: "approved", Verdict.REJECT: "rejected"}
NOBODY = "nobody in time"


def approval_of(connection: Connection, run: RunId, element: str) -> Approval:
    """What the definition says of an approval; raises NotFound if the run has no such element."""
    version = connection.execute(select(runs.c.job_version_id).where(runs.c.id == run)).scalar_one_or_none()
    pipeline = None if version is None else specification_of_version(connection, version).pipeline
    named = () if pipeline is None else (*pipeline.elements, *pipeline.closing)
    found = next((each.approval for each in named if each.name == element), None)
    if found is None:
        raise NotFound("approval", f"{element} of run #{run}")
    return found


def answer_approval(
    connection: Connection, run: RunId, element: str, verdict: Verdict, *, by: str, reason: str, now: Instant
) -> None:
    """Says yes or no, and goes on with the pipeline; raises NotFound, and Conflict if it does not wait for that."""
    state_of_run(connection, run, lock=True)
    row = (pipeline_elements.c.run_id == run) & (pipeline_elements.c.element == element)
    state = connection.execute(select(pipeline_elements.c.state).where(row)).scalar_one_or_none()
    if state is None:
        raise NotFound("approval", f"{element} of run #{run}")
    if state != ElementState.WAITING:
        raise Conflict(f"{element} of run #{run} does not wait for anybody: it is {state}")
    words = f"{_WORD[verdict]} by {by}" + (f": {reason}" if reason else "")
    connection.execute(
        update(pipeline_elements)
        .where(row)
        .values(state=_OUTCOME[verdict], reason=words, decided_by=by, decided_at=now, ended_at=now, due_at=None)
    )
    add_run_events(
        connection, [RunEventRow(run=run, at=now, kind=f"{element} {_WORD[verdict]}", actor=by, detail=reason)]
    )
    announce(connection, Signal(Topic.RUN, str(run)))
    follow_ends(connection, resolve_pipeline(connection, run, now=now), now=now)


def answer_in_time(connection: Connection, *, run: RunId, element: str, now: Instant) -> None:
    """Nobody has answered until it was due: what the definition says counts. Harmless if somebody just did."""
    verdict = approval_of(connection, run, element).on_timeout
    try:
        answer_approval(connection, run, element, verdict, by=NOBODY, reason="", now=now)
    except Conflict:
        return


class _Due(NamedTuple):
    run_id: int
    element: str


_IS_WAITING = pipeline_elements.c.state == ElementState.WAITING
_DUE = PreparedQuery(
    _Due,
    lambda _: select(pipeline_elements.c.run_id, pipeline_elements.c.element).where(
        _IS_WAITING, pipeline_elements.c.due_at <= bindparam("now")
    ),
)
_NEXT_DUE = PreparedQuery(NextInstant, lambda _: select(func.min(pipeline_elements.c.due_at)).where(_IS_WAITING))


def approvals_due(connection: Connection, *, now: Instant) -> list[tuple[RunId, str]]:
    """Those that should have been answered by now."""
    return [(RunId(row.run_id), row.element) for row in _DUE.all(connection, {"now": now})]


def next_approval_due(connection: Connection) -> Instant | None:
    """When the next one must be answered."""
    (found,) = _NEXT_DUE.all(connection, {})
    return found.at
