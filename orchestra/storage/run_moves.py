"""Steps of runs along the table of their life: taken in memory, stored together with their history."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import HOLDING_STATES, NEXT_RUN_STATE, TERMINAL_STATES, RunEvent, RunState, next_state
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.statements import update_rows
from orchestra.storage.tables import runs


def state_of_run(connection: Connection, run: RunId, *, lock: bool = False) -> RunState:
    """The run's state; with `lock` no other transaction changes the run before this one ends. Raises NotFound."""
    found = (_LOCKED_STATE if lock else _STATE).first(connection, {"run": run})
    if found is None:
        raise NotFound("run", run)
    return RunState(found.state)


class _Now(NamedTuple):
    state: str


_SELECT_STATE = select(runs.c.state).where(runs.c.id == bindparam("run"))
_STATE = PreparedQuery(_Now, lambda _: _SELECT_STATE)
_LOCKED_STATE = PreparedQuery(_Now, lambda _: _SELECT_STATE.with_for_update())


class RunMove:
    """A run on its way along the table of its life: steps are taken in memory, `write_moves` stores them together.

    Made of the state that the run's locked row has.
    """

    def __init__(self, run: RunId, state: RunState) -> None:
        self.run = run
        self.state = state
        self.events: list[RunEventRow] = []
        self._state_stored = state
        self._changes: dict[str, object] = {}

    def take(
        self,
        event: RunEvent,
        *,
        actor: str,
        now: Instant,
        reason: str = "",
        attempt: AttemptNumber | None = None,
        changes: Mapping[str, object] | None = None,
    ) -> None:
        """Takes one step; raises ImpossibleTransition. `changes` are further columns of the run that belong to it."""
        self.state = next_state(NEXT_RUN_STATE, self.state, event)
        self._changes |= {**(changes or {}), "state": self.state, "reason": reason}
        if self.state in TERMINAL_STATES:
            self._changes |= {"ended_at": now, "sealed_secrets": None}
        # An offer that was taken back never ran: the run has waited all the while.
        if self.state is RunState.PENDING and event is not RunEvent.WITHDRAWN:
            self._changes["pending_at"] = now
        self.events.append(RunEventRow(run=self.run, at=now, kind=event, actor=actor, attempt=attempt, detail=reason))

    @property
    def gives_back(self) -> bool:
        """Whether a worker had it, and none has it any more: what it demanded is free."""
        return self._state_stored in HOLDING_STATES and self.state not in HOLDING_STATES

    @property
    def row(self) -> tuple[Mapping[str, object], Mapping[str, object]]:
        """The key of the row as it is stored, and what changes in it."""
        return {"id": self.run, "state": self._state_stored}, self._changes


def store_moves(connection: Connection, moves: Sequence[RunMove]) -> None:
    """Writes rows and history of those that have taken a step; what follows from an end is for
    `orchestra.storage.runs`."""
    update_rows(connection, runs, [move.row for move in moves])
    add_run_events(connection, [event for move in moves for event in move.events])
