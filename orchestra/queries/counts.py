"""Counts of runs for those who watch the whole instance: cheap however long the history is."""

from collections.abc import Mapping

from sqlalchemy import Connection, Select, func, literal, select, union_all

from orchestra.lifecycle import TERMINAL_STATES, RunEvent, RunState
from orchestra.limits import COUNT_OPEN_RUNS_MAX, COUNT_SPAN_MAX
from orchestra.storage.tables import run_events, runs

OPEN_STATES = tuple(state for state in RunState if state not in TERMINAL_STATES)
_STATE_OF_END = {
    RunEvent.SUCCEEDED: RunState.SUCCEEDED,
    RunEvent.APPROVAL_SATISFIED: RunState.SUCCEEDED,
    RunEvent.FAILED: RunState.FAILED,
    RunEvent.ABORTED: RunState.ABORTED,
    RunEvent.CANCELLED: RunState.CANCELLED,
    RunEvent.EXPIRED: RunState.CANCELLED,
    RunEvent.SKIPPED: RunState.SKIPPED,
    RunEvent.BROKE: RunState.EXCEPTION,
}
"""What a run is after the events that end it."""


def open_runs(connection: Connection) -> Mapping[RunState, int]:
    """How many runs there are in each state that is no end; counting stops at a bound."""
    found = dict.fromkeys(OPEN_STATES, 0)
    for row in connection.execute(_OPEN_RUNS):
        found[RunState(row.state)] = row.found
    return found


def ended_runs(connection: Connection, behind: int, settled_to: int) -> tuple[Mapping[RunState, int], int]:
    """How many runs ended by the events behind this number, and the number up to which it was counted."""
    end = min(settled_to, behind + COUNT_SPAN_MAX)
    found = {state: 0 for state in RunState if state in TERMINAL_STATES}
    if end > behind:
        rows = connection.execute(
            select(run_events.c.kind, func.count().label("found"))
            .where(run_events.c.id > behind, run_events.c.id <= end, run_events.c.kind.in_(_STATE_OF_END))
            .group_by(run_events.c.kind)
        )
        for row in rows:
            found[_STATE_OF_END[RunEvent(row.kind)]] += row.found
    return found, max(end, behind)


def _count(state: RunState) -> Select[str, int]:
    some = (
        select(runs.c.id)
        .where(runs.c.ended_at.is_(None), runs.c.state == state)
        .limit(COUNT_OPEN_RUNS_MAX)
        .subquery(f"some_{state}")
    )
    return select(literal(str(state)).label("state"), func.count().label("found")).select_from(some)


_OPEN_RUNS = union_all(*(_count(state) for state in OPEN_STATES))
