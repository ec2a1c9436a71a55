"""What becomes of runs: steps of their life with all that follows from them, and requests to stop."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.demands import DEMANDING_SIGNATURES, is_demanding
from orchestra.identifiers import AttemptNumber, RunId, Signature
from orchestra.lifecycle import TERMINAL_STATES, RunEvent, RunState
from orchestra.storage.admission import Admission, admit
from orchestra.storage.database import Signal, Topic, announce, pending_signal
from orchestra.storage.new_runs import NewRun
from orchestra.storage.pipelines import resolve_if_pipeline, resolve_pipeline
from orchestra.storage.prepared import PreparedQuery, listed
from orchestra.storage.queued import QueuedRun, queued_behind
from orchestra.storage.run_moves import RunMove, state_of_run, store_moves
from orchestra.storage.stop_requests import ask_to_stop
from orchestra.storage.tables import runs


def write_moves(connection: Connection, moves: Iterable[RunMove]) -> None:
    """Stores the steps that were taken with their history, and does what follows from the ends among them."""
    taken = [move for move in moves if move.events]
    store_moves(connection, taken)
    ended = [move for move in taken if move.state in TERMINAL_STATES]
    tell_released(connection, [move.run for move in taken if move.gives_back and move.state not in TERMINAL_STATES])
    if ended:
        follow_ends(connection, [move.run for move in ended], now=ended[-1].events[-1].at)


def follow_ends(connection: Connection, ended: Sequence[RunId], *, now: Instant) -> None:
    """These runs are over: lets go who waited for them, and goes on with the pipelines that they belong to."""
    while ended:
        let_go(connection, queued_behind(connection, ended), now=now)
        parents = tell_released(connection, ended)
        ended = [each for parent in parents for each in resolve_pipeline(connection, parent, now=now)]


def tell_released(connection: Connection, left: Sequence[RunId]) -> list[RunId]:
    """No worker has these runs any more: tells that what they demanded is free. Returns the pipelines they are of."""
    if not left:
        return []
    rows = _LEFT.all(connection, {"left": list(left)})
    released = {Signature(row.signature) for row in rows if is_demanding(row.signature)}
    announce(connection, *(Signal(Topic.RELEASED, each) for each in sorted(released)))
    return sorted({RunId(row.parent_id) for row in rows if row.parent_id is not None})


def let_go(connection: Connection, turns: Iterable[QueuedRun], *, now: Instant) -> None:
    """The turn of these queued runs has come: they are pending."""
    moves = []
    for queued in turns:
        move = RunMove(queued.id, RunState.SCHEDULED)
        expires_at = Instant(now + queued.expires_at - queued.created_at)
        move.take(RunEvent.DUE, actor="queue", now=now, changes={"due_at": now, "expires_at": expires_at})
        moves.append(move)
        announce(connection, pending_signal(queued.signature), Signal(Topic.RUN, str(queued.id)))
    store_moves(connection, moves)


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
    """What a person asks for: a run that nobody has yet ends at once, one that a worker may have is asked to stop, and
    of a pipeline all that it has.

    Returns the state afterwards; a second request changes nothing. Raises NotFound, and Conflict if the run is over.
    """
    state = ask_to_stop(connection, run, by=by, reason=reason, now=now)
    over = [run] if state in TERMINAL_STATES else resolve_if_pipeline(connection, run, now=now)
    follow_ends(connection, over, now=now)
    return state_of_run(connection, run)


def admit_run(connection: Connection, new: NewRun) -> Admission:
    """Makes the run if its job's policies let it, with all that follows for those whose place it takes. No row is to be
    locked before."""
    admission = admit(connection, new)
    follow_displaced(connection, admission, now=new.now)
    return admission


def follow_displaced(connection: Connection, admission: Admission, *, now: Instant) -> None:
    """Does what follows for the runs whose place an admitted one takes."""
    over = [each for run in admission.asked for each in resolve_if_pipeline(connection, run, now=now)]
    follow_ends(connection, [*admission.ended, *over], now=now)


class _Left(NamedTuple):
    parent_id: int | None
    signature: str


_LEFT = PreparedQuery(
    _Left,
    lambda count: select(runs.c.parent_id, runs.c.signature).where(
        runs.c.id.in_(listed("left", runs.c.id.type, count)),
        runs.c.parent_id.is_not(None) | runs.c.signature.like(DEMANDING_SIGNATURES),
    ),
    of_list="left",
)
