"""Pipelines as rows: how one begins, what is decided when one of its runs ends, and what follows from that.

The decision is made in the transaction that brought it about. The pipeline's own row is locked first, so that of two
transactions that end the last two predecessors the second one sees both.
"""

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestra.clock import Instant, after
from orchestra.errors import Conflict
from orchestra.identifiers import RunId
from orchestra.lifecycle import TERMINAL_STATES, RunEvent, RunState
from orchestra.matching import PIPELINE
from orchestra.pipeline.actions import Action, Ask, ElementRows, End, Expand, Finish, PipelineFacts, Start, Stop
from orchestra.pipeline.graph import Graph
from orchestra.pipeline.resolver import resolve
from orchestra.pipeline.states import ElementState
from orchestra.specification import PropertyValue
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.element_rows import add_elements, add_instances, change_elements, read_elements, results_of
from orchestra.storage.pipeline_children import ChildRefused, Children, PipelineRun
from orchestra.storage.pipeline_versions import graph_of_version, specification_of_version
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.run_moves import RunMove, store_moves
from orchestra.storage.stop_requests import ask_to_stop
from orchestra.storage.tables import runs

TIMED_OUT = "timeout"
"""Who asks a pipeline to stop that has taken too long: it has failed then, where others are aborted."""

Change = tuple[str, str, Mapping[str, object]]
"""Columns of an element (name, key)."""


def begin_pipeline(connection: Connection, run: RunId, *, actor: str, now: Instant) -> list[RunId]:
    """A pending pipeline runs from now on; does nothing if somebody else was faster. Returns the runs that are over by
    it."""
    row = _LOCKED.first(connection, {"run": run})
    if row is None or row.state != RunState.PENDING:
        return []
    timeout = specification_of_version(connection, row.job_version_id).execution.timeout_seconds
    expires_at = None if timeout is None else after(now, timeout)
    move = RunMove(run, RunState.PENDING)
    move.take(RunEvent.STARTED, actor=actor, now=now, changes={"started_at": now, "expires_at": expires_at})
    store_moves(connection, [move])
    announce(connection, Signal(Topic.RUN, str(run)), Signal(Topic.PIPELINES))
    children, graph = Children(connection, row), graph_of_version(connection, row.job_version_id)
    add_elements(connection, run, list(children.first_rows(graph)), now=now)
    for name, kept in children.kept_rows(graph).items():
        _keep(connection, row, name, kept, now=now)
    return resolve_pipeline(connection, run, now=now)


def resolve_pipeline(connection: Connection, run: RunId, *, now: Instant) -> list[RunId]:
    """Decides what is to be done about a running pipeline, and does it; harmless when there is nothing to do.

    Returns the runs that are over by it: children that nobody had yet, and the pipeline itself.
    """
    row = _LOCKED.first(connection, {"run": run})
    if row is None or row.state != RunState.RUNNING:
        return []
    graph = graph_of_version(connection, row.job_version_id)
    step = _Step(connection, row, graph, now)
    while step.apply(resolve(graph, _facts(connection, row))):
        pass
    return step.ended


def is_undecided(connection: Connection, run: RunId) -> bool:
    """Whether there is something to be done about a running pipeline; changes nothing."""
    row = _NOW.first(connection, {"run": run})
    if row is None or row.state != RunState.RUNNING:
        return False
    return bool(resolve(graph_of_version(connection, row.job_version_id), _facts(connection, row)))


class _Step:
    """Does in one transaction what the resolver has decided."""

    def __init__(self, connection: Connection, row: PipelineRun, graph: Graph, now: Instant) -> None:
        self._connection = connection
        self._row = row
        self._graph = graph
        self._now = now
        self._children = Children(connection, row)
        self._asked: list[RunId] = []
        self.ended: list[RunId] = []

    def apply(self, actions: Iterable[Action]) -> bool:
        """Whether it has to be decided anew, because a run could not be made."""
        changes: list[Change] = []
        has_refused = False
        for action in actions:
            match action:
                case Expand():
                    add_instances(self._connection, self._row.id, action.element, action.instances)
                    changes.append((action.element, "", {"state": ElementState.RUNNING}))
                case Start():
                    change = self._start(action)
                    has_refused = has_refused or change[2]["state"] is not ElementState.RUNNING
                    changes.append(change)
                case Ask():
                    changes.append(self._ask(action))
                case End():
                    changes.append(self._over(action.element, action.key, action.state, action.reason))
                case Stop():
                    self._stop(action)
                case Finish():
                    self._finish(action)
        change_elements(self._connection, self._row.id, changes)
        # Not before its own rows are written: what was asked to stop may be a pipeline that waits for this one.
        while self._asked:
            self.ended += resolve_if_pipeline(self._connection, self._asked.pop(), now=self._now)
        if changes:
            announce(self._connection, Signal(Topic.RUN, str(self._row.id)))
        return has_refused

    def _start(self, start: Start) -> Change:
        element = self._graph.by_name[start.element]
        try:
            admission = self._children.start(element, start, now=self._now)
        except ChildRefused as refusal:
            return self._over(start.element, start.key, refusal.state, str(refusal))
        self.ended += admission.ended
        self._asked += admission.asked
        return start.element, start.key, {"state": ElementState.RUNNING, "child_id": admission.run}

    def _ask(self, ask: Ask) -> Change:
        approval = self._graph.by_name[ask.element].approval
        assert approval is not None
        limit = approval.timeout_seconds
        due_at = None if limit is None else after(self._now, limit)
        announce(self._connection, Signal(Topic.PIPELINES))
        asked = {"state": ElementState.WAITING, "message": ask.message, "asked_at": self._now, "due_at": due_at}
        return ask.element, "", asked

    def _over(self, element: str, key: str, state: ElementState, reason: str) -> Change:
        return element, key, {"state": state, "reason": reason, "ended_at": self._now}

    def _stop(self, stop: Stop) -> None:
        actor = f"pipeline #{self._row.id}"
        try:
            state = ask_to_stop(self._connection, stop.run, by=actor, reason=stop.reason, now=self._now)
        except Conflict:
            return  # It has just ended: whoever ended it looks here next.
        announce(self._connection, Signal(Topic.STOPS, str(stop.run)), Signal(Topic.RUN, str(stop.run)))
        if state in TERMINAL_STATES:
            self.ended.append(stop.run)
        else:
            self.ended += resolve_if_pipeline(self._connection, stop.run, now=self._now)

    def _finish(self, finish: Finish) -> None:
        row, state, reason = self._row, finish.state, finish.reason
        if row.stop_requested_by == TIMED_OUT:
            state, reason = RunState.FAILED, row.stop_reason or TIMED_OUT
        elif row.stop_requested_by is not None:
            reason = f"stopped by {row.stop_requested_by}" + (f": {row.stop_reason}" if row.stop_reason else "")
        move = RunMove(row.id, RunState.RUNNING)
        move.take(_EVENT_OF_STATE[state], actor="pipeline", now=self._now, reason=reason)
        store_moves(self._connection, [move])
        announce(self._connection, Signal(Topic.RUN, str(row.id)))
        self.ended.append(row.id)


def resolve_if_pipeline(connection: Connection, run: RunId, *, now: Instant) -> list[RunId]:
    """The same for a run of any kind."""
    signature = connection.execute(select(runs.c.signature).where(runs.c.id == run)).scalar_one()
    return resolve_pipeline(connection, run, now=now) if signature == PIPELINE else []


def _facts(connection: Connection, row: PipelineRun) -> PipelineFacts:
    return PipelineFacts(
        number=row.id,
        parameters=msgspec.json.decode(row.parameters, type=dict[str, PropertyValue]),
        rows=read_elements(connection, row.id),
        results=lambda wanted: results_of(connection, wanted),
        is_stopped=row.stop_requested_at is not None,
    )


def _keep(connection: Connection, row: PipelineRun, name: str, kept: ElementRows, *, now: Instant) -> None:
    """What an earlier pipeline has done stands here as if this one had."""
    add_instances(connection, row.id, name, [each.instance for each in kept.instances])
    again = {"is_reused": True, "reason": f"done in #{row.retry_of}", "ended_at": now}
    change_elements(
        connection,
        row.id,
        [
            (name, each.instance.key, {**again, "state": each.state, "child_id": each.run})
            for each in (kept.head, *kept.instances)
        ],
    )


_EVENT_OF_STATE = {
    RunState.SUCCEEDED: RunEvent.SUCCEEDED,
    RunState.FAILED: RunEvent.FAILED,
    RunState.ABORTED: RunEvent.ABORTED,
    RunState.EXCEPTION: RunEvent.BROKE,
}
_ROW = select(*(runs.c[name] for name in PipelineRun._fields)).where(runs.c.id == bindparam("run"))
_NOW = PreparedQuery(PipelineRun, lambda _: _ROW)
_LOCKED = PreparedQuery(PipelineRun, lambda _: _ROW.with_for_update())
