"""What a stop does to the run itself: one that nobody has ends at once, one that a worker may have is asked to."""

from sqlalchemy import Connection, bindparam, update

from orchestra.clock import Instant
from orchestra.errors import Conflict
from orchestra.identifiers import RunId
from orchestra.lifecycle import TERMINAL_STATES, RunEvent, RunState
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.run_moves import RunMove, state_of_run, store_moves
from orchestra.storage.tables import runs


def ask_to_stop(connection: Connection, run: RunId, *, by: str, reason: str, now: Instant) -> RunState:
    """Returns the state afterwards; what follows from an end is the caller's. A second request changes nothing.

    Raises NotFound, and Conflict if the run is over.
    """
    state = state_of_run(connection, run, lock=True)
    if state in TERMINAL_STATES:
        raise Conflict(f"run #{run} is over ({state}): nothing can stop it any more")
    if state not in (RunState.ASSIGNED, RunState.RUNNING):
        words = f"cancelled by {by}" + (f": {reason}" if reason else "")
        move = RunMove(run, state)
        move.take(RunEvent.CANCELLED, actor=by, now=now, reason=words)
        store_moves(connection, [move])
        return move.state
    asked = connection.execute(_REQUEST_STOP, {"run": run, "at": now, "by": by, "why": reason})
    if asked.rowcount:
        add_run_events(connection, [RunEventRow(run=run, at=now, kind="stop asked", actor=by, detail=reason)])
    return state


_REQUEST_STOP = (
    update(runs)
    .where(runs.c.id == bindparam("run"), runs.c.stop_requested_at.is_(None), runs.c.ended_at.is_(None))
    .values(stop_requested_at=bindparam("at"), stop_requested_by=bindparam("by"), stop_reason=bindparam("why"))
)
