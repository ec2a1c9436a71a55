"""What a worker holds of attempts that are over without its word: kept in the history of the run, and nothing else."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId, WorkerId
from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Held
from orchestra.protocol.window import AttemptKey
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.tables import attempts, run_events

_LATE = "late"
_NEVER_RAN = frozenset({AttemptState.OFFERED, AttemptState.ACCEPTED})
_WORDS = {
    AttemptState.SUCCEEDED: "succeeded",
    AttemptState.FAILED: "failed",
    AttemptState.ABORTED: "been aborted",
    AttemptState.EXCEPTION: "ended as an exception",
}


def note_late(connection: Connection, held: Sequence[Held], *, worker: WorkerId, actor: str, now: Instant) -> None:
    """Adds a line for each held attempt whose end was decided without this worker, once."""
    ran = {(each.run, each.attempt): each for each in held if each.state not in _NEVER_RAN}
    if not ran:
        return
    runs = {run for run, _ in ran}
    late = _decided(connection, runs, worker) - _told(connection, runs)
    add_run_events(connection, [_line(each, actor=actor, now=now) for key, each in ran.items() if key in late])


def _line(held: Held, *, actor: str, now: Instant) -> RunEventRow:
    had = "it was still running" if held.state is AttemptState.STARTED else f"it had {_WORDS[held.state]}"
    words = f"came too late: {had}"
    return RunEventRow(run=held.run, at=now, kind=_LATE, actor=actor, attempt=held.attempt, detail=words)


def _decided(connection: Connection, runs: set[RunId], worker: WorkerId) -> set[AttemptKey]:
    """Those that ended without a final word: with one, the digest of the log is stored."""
    rows = connection.execute(
        select(attempts.c.run_id, attempts.c.number).where(
            attempts.c.run_id.in_(runs),
            attempts.c.worker_id == worker,
            attempts.c.ended_at.is_not(None),
            attempts.c.log_digest.is_(None),
        )
    )
    return {(RunId(row.run_id), AttemptNumber(row.number)) for row in rows}


def _told(connection: Connection, runs: set[RunId]) -> set[AttemptKey]:
    rows = connection.execute(
        select(run_events.c.run_id, run_events.c.attempt).where(
            run_events.c.run_id.in_(runs), run_events.c.kind == _LATE
        )
    )
    return {(RunId(row.run_id), AttemptNumber(row.attempt)) for row in rows}
