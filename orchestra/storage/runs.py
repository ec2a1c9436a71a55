"""Runs: how they are made, moved along the table of their life, and asked to stop."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
from sqlalchemy import ClauseElement, Connection, bindparam, select, update

from orchestra.clock import Instant, after
from orchestra.errors import Conflict, NotFound
from orchestra.identifiers import AttemptNumber, JobId, JobVersionId, ProjectId, RunId, Signature
from orchestra.lifecycle import NEXT_RUN_STATE, TERMINAL_STATES, RunEvent, RunState, next_state
from orchestra.limits import ALONE_POLL_SECONDS
from orchestra.specification import PropertyValue
from orchestra.storage.database import Signal, Topic, announce
from orchestra.storage.prepared import PreparedQuery, inserted
from orchestra.storage.queued import QueuedRun, behind_words, open_run_of_job, queued_behind
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.statements import update_rows
from orchestra.storage.tables import runs
from orchestra.storage.upserts import DIALECTS, insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """Everything that is known of a run when it is made."""

    creation_key: str
    """Made by the creator: the same key never makes a second run."""
    project_id: ProjectId
    job_id: JobId
    job_version_id: JobVersionId
    signature: Signature
    slots: int
    priority: int
    parameters: Mapping[str, PropertyValue]
    """Without the secret ones."""
    sealed_secrets: str | None
    source: str
    """Who wanted it: "user ana", "schedule", "retry of #480"."""
    retry_of: RunId | None
    delay_seconds: float
    """How long it is `scheduled` before it becomes `pending`."""
    expire_after_seconds: float
    is_queued: bool = False
    """It waits until the earlier runs of its job are over."""
    now: Instant


def create_run(connection: Connection, new: NewRun) -> RunId:
    """Makes the run, or finds the one that was made with the same key."""
    pending_at = after(new.now, new.delay_seconds)
    behind = open_run_of_job(connection, new.job_id) if new.is_queued and new.delay_seconds <= 0 else None
    state = RunState.SCHEDULED if new.delay_seconds > 0 or behind is not None else RunState.PENDING
    found = _INSERT_RUN[connection.dialect.name].first(
        connection,
        {
            "creation_key": new.creation_key,
            "project_id": new.project_id,
            "job_id": new.job_id,
            "job_version_id": new.job_version_id,
            "signature": new.signature,
            "slots": new.slots,
            "priority": new.priority,
            "parameters": msgspec.json.encode(new.parameters).decode(),
            "sealed_secrets": new.sealed_secrets,
            "source": new.source,
            "retry_of": new.retry_of,
            "state": state,
            "reason": "" if behind is None else behind_words(behind),
            "is_queued": new.is_queued,
            "created_at": new.now,
            "due_at": pending_at if behind is None else None,
            "pending_at": None if state is RunState.SCHEDULED else new.now,
            "expires_at": after(pending_at, new.expire_after_seconds),
        },
    )
    if found is None:
        repeated = select(runs.c.id).where(runs.c.creation_key == new.creation_key)
        return RunId(connection.execute(repeated).scalar_one())
    run = RunId(found.id)
    add_run_events(connection, [RunEventRow(run=run, at=new.now, kind="created", actor=new.source)])
    if behind is None:
        announce(connection, *signals_of_run(new.signature, new.delay_seconds, new.expire_after_seconds))
    return run


def signals_of_run(signature: Signature, delay_seconds: float, expire_after_seconds: float) -> tuple[Signal, ...]:
    """What to tell once such a run was made: who gives runs out, or who waits for their time."""
    due, pending = Signal(Topic.DUE), Signal(Topic.PENDING, signature)
    if delay_seconds > 0:
        return (due,)
    # Whoever looks for runs that have waited too long sleeps until it knows of one.
    return (pending, due) if expire_after_seconds <= ALONE_POLL_SECONDS else (pending,)


class _Made(NamedTuple):
    id: int


_NEW = inserted(
    runs,
    "creation_key",
    "project_id",
    "job_id",
    "job_version_id",
    "signature",
    "slots",
    "priority",
    "parameters",
    "sealed_secrets",
    "source",
    "retry_of",
    "state",
    "reason",
    "is_queued",
    "created_at",
    "due_at",
    "pending_at",
    "expires_at",
)


def _insert_run(dialect: str, _: int) -> ClauseElement:
    new = insert_into(runs, dialect).values(_NEW)
    return new.on_conflict_do_nothing(index_elements=["creation_key"]).returning(runs.c.id)


_INSERT_RUN = {dialect: PreparedQuery(_Made, partial(_insert_run, dialect)) for dialect in DIALECTS}


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
        if self.state is RunState.PENDING:
            self._changes["pending_at"] = now
        self.events.append(RunEventRow(run=self.run, at=now, kind=event, actor=actor, attempt=attempt, detail=reason))

    @property
    def row(self) -> tuple[Mapping[str, object], Mapping[str, object]]:
        """The key of the row as it is stored, and what changes in it."""
        return {"id": self.run, "state": self._state_stored}, self._changes


def write_moves(connection: Connection, moves: Iterable[RunMove]) -> None:
    """Stores the steps that were taken, and writes them into the history; lets go who waited for those that ended."""
    taken = [move for move in moves if move.events]
    update_rows(connection, runs, [move.row for move in taken])
    add_run_events(connection, [event for move in taken for event in move.events])
    ended = [move for move in taken if move.state in TERMINAL_STATES]
    if ended:
        let_go(connection, queued_behind(connection, [move.run for move in ended]), now=ended[-1].events[-1].at)


def let_go(connection: Connection, turns: Iterable[QueuedRun], *, now: Instant) -> None:
    """The turn of these queued runs has come: they are pending."""
    moves = []
    for queued in turns:
        move = RunMove(queued.id, RunState.SCHEDULED)
        expires_at = Instant(now + queued.expires_at - queued.created_at)
        move.take(RunEvent.DUE, actor="queue", now=now, changes={"due_at": now, "expires_at": expires_at})
        moves.append(move)
        announce(connection, Signal(Topic.PENDING, queued.signature), Signal(Topic.RUN, str(queued.id)))
    update_rows(connection, runs, [move.row for move in moves])
    add_run_events(connection, [event for move in moves for event in move.events])


def move_run(
    connection: Connection,
    run: RunId,
    event: RunEvent,
    *,
    actor: str,
    now: Instant,
    reason: str = "",
    attempt: AttemptNumber | None = None,
    changes: Mapping[str, object] | None = None,
) -> RunState:
    """Takes one step of the run's life and writes it into the history; raises NotFound and ImpossibleTransition.

    `changes` are further columns of the run that belong to this step.
    """
    move = RunMove(run, state_of_run(connection, run, lock=True))
    move.take(event, actor=actor, now=now, reason=reason, attempt=attempt, changes=changes)
    write_moves(connection, [move])
    return move.state


def request_stop(connection: Connection, run: RunId, *, by: str, reason: str, now: Instant) -> RunState:
    """What a person asks for: a run that nobody has yet ends at once, one that a worker may have is asked to stop.

    Returns the state afterwards; a second request changes nothing. Raises NotFound, and Conflict if the run is over.
    """
    state = state_of_run(connection, run, lock=True)
    if state in TERMINAL_STATES:
        raise Conflict(f"run #{run} is over ({state}): nothing can stop it any more")
    words = f"cancelled by {by}" + (f": {reason}" if reason else "")
    if state not in (RunState.ASSIGNED, RunState.RUNNING):
        return move_run(connection, run, RunEvent.CANCELLED, actor=by, now=now, reason=words)
    asked = connection.execute(_REQUEST_STOP, {"run": run, "at": now, "by": by, "why": reason})
    if asked.rowcount:
        add_run_events(connection, [RunEventRow(run=run, at=now, kind="stop asked", actor=by, detail=reason)])
    return state


_REQUEST_STOP = (
    update(runs)
    .where(runs.c.id == bindparam("run"), runs.c.stop_requested_at.is_(None), runs.c.ended_at.is_(None))
    .values(stop_requested_at=bindparam("at"), stop_requested_by=bindparam("by"), stop_reason=bindparam("why"))
)
