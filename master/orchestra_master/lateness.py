"""What a worker holds of attempts that are over without its word: kept in the history of the run, and nothing else."""

from collections.abc import Iterator, Mapping, Sequence

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


def note_late(connection: Connection, held: Sequence[Held], *, worker: WorkerId, actor: str, now: Instant) -> None:
    """Adds a line for each held attempt whose end was decided without this worker, once."""
    ran = {(each.run, each.attempt): each for each in held if each.state not in _NEVER_RAN}
    if not ran:
        return
    decided = _ends(connection, {run for run, _ in ran}, worker)
    told = _told(connection, {run for run, _ in ran})
    add_run_events(connection, list(_lines(ran, decided, told, actor=actor, now=now)))


def _lines(
    ran: Mapping[AttemptKey, Held],
    decided: Mapping[AttemptKey, AttemptState],
    told: set[AttemptKey],
    *,
    actor: str,
    now: Instant,
) -> Iterator[RunEventRow]:
    for key, each in ran.items():
        # The same end on both sides: the worker's own word was stored, only the answer did not reach it.
        if key in decided and decided[key] is not each.state and key not in told:
            words = "it was still running" if each.state is AttemptState.STARTED else f"it had {each.state}"
            run, attempt = key
            yield RunEventRow(
                run=run, at=now, kind=_LATE, actor=actor, attempt=attempt, detail=f"came too late: {words}"
            )


def _ends(connection: Connection, runs: set[RunId], worker: WorkerId) -> dict[AttemptKey, AttemptState]:
    rows = connection.execute(
        select(attempts.c.run_id, attempts.c.number, attempts.c.state).where(
            attempts.c.run_id.in_(runs), attempts.c.worker_id == worker, attempts.c.ended_at.is_not(None)
        )
    )
    return {(RunId(row.run_id), AttemptNumber(row.number)): AttemptState(row.state) for row in rows}


def _told(connection: Connection, runs: set[RunId]) -> set[AttemptKey]:
    rows = connection.execute(
        select(run_events.c.run_id, run_events.c.attempt).where(
            run_events.c.run_id.in_(runs), run_events.c.kind == _LATE
        )
    )
    return {(RunId(row.run_id), AttemptNumber(row.attempt)) for row in rows}
