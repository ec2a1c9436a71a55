"""Attempts: how runs are given to workers, taken back, and what the workers hold according to the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, Epoch, JobVersionId, ProjectId, RunId, Signature, WorkerId
from orchestra.lifecycle import AttemptState, RunEvent, RunState, WorkerState
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted, listed
from orchestra.storage.run_events import RunEventRow, add_run_events
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.runs import move_run
from orchestra.storage.tables import attempts, runs, workers


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The wish to give a pending run to a worker."""

    run: RunId
    worker: WorkerId
    epoch: Epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedRun:
    """A run that was given to a worker, with what the offer needs."""

    run: RunId
    attempt: AttemptNumber
    worker: WorkerId
    epoch: Epoch
    signature: Signature
    project_id: ProjectId
    job_version_id: JobVersionId
    slots: int
    parameters: str
    sealed_secrets: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAttempt:
    """An attempt that is not over, with what its run says."""

    run: RunId
    attempt: AttemptNumber
    state: AttemptState
    sequence: int
    log_length: int
    slots: int
    stop_reason: str | None
    """Set if a person asked to stop the run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """What became of some claims."""

    claimed: list[ClaimedRun]
    void: frozenset[WorkerId]
    """Workers that can be given nothing: the session is not the newest any more, or a person has switched it off."""


def claim_runs(connection: Connection, claims: Sequence[Claim], *, actor: str, now: Instant) -> Claimed:
    """Gives the runs to the workers, each if it is still pending and the worker's session is still the same.

    A master may only claim for workers that are connected to it; of two masters that want one run, one gets it.
    """
    usable = _usable_sessions(connection, claims)
    claimed = [
        each for worker, epoch in sorted(usable) for each in _claim_for(connection, claims, worker=worker, epoch=epoch)
    ]
    _INSERT.execute_all(
        connection,
        [
            {
                "run_id": each.run,
                "number": each.attempt,
                "worker_id": each.worker,
                "epoch": each.epoch,
                "state": AttemptState.OFFERED,
                "offered_at": now,
            }
            for each in claimed
        ],
    )
    add_run_events(
        connection,
        [
            RunEventRow(run=each.run, at=now, kind=RunEvent.OFFERED, actor=actor, attempt=each.attempt)
            for each in claimed
        ],
    )
    void = frozenset(claim.worker for claim in claims if (claim.worker, claim.epoch) not in usable)
    return Claimed(claimed=claimed, void=void)


def _claim_for(connection: Connection, claims: Sequence[Claim], *, worker: WorkerId, epoch: Epoch) -> list[ClaimedRun]:
    """Those of the claims for this session whose run is still pending, in their order."""
    wanted = [claim.run for claim in claims if claim.worker == worker and claim.epoch == epoch]
    if not wanted:
        return []
    rows = {row.id: row for row in _CLAIM.all(connection, {"wanted": wanted, "worker": worker})}
    return [
        ClaimedRun(
            run=run,
            attempt=AttemptNumber(rows[run].attempt),
            worker=worker,
            epoch=epoch,
            signature=Signature(rows[run].signature),
            project_id=ProjectId(rows[run].project_id),
            job_version_id=JobVersionId(rows[run].job_version_id),
            slots=rows[run].slots,
            parameters=rows[run].parameters,
            sealed_secrets=rows[run].sealed_secrets,
        )
        for run in wanted
        if run in rows
    ]


def _usable_sessions(connection: Connection, claims: Sequence[Claim]) -> set[tuple[WorkerId, Epoch]]:
    wanted = sorted({claim.worker for claim in claims})
    if not wanted:
        return set()
    # Locked on PostgreSQL until the commit, so that a new session cannot begin between this look and the claim.
    rows = _SESSIONS.all(connection, {"wanted": wanted})
    return {(WorkerId(row.id), Epoch(row.session_epoch)) for row in rows}


class _Session(NamedTuple):
    id: int
    session_epoch: int


class _Taken(NamedTuple):
    id: int
    attempt: int
    signature: str
    project_id: int
    job_version_id: int
    slots: int
    parameters: str
    sealed_secrets: str | None


_SESSIONS = PreparedQuery(
    _Session,
    lambda count: (
        select(workers.c.id, workers.c.session_epoch)
        .where(workers.c.id.in_(listed("wanted", workers.c.id.type, count)), workers.c.state == WorkerState.ONLINE)
        .with_for_update(read=True)
    ),
    of_list="wanted",
)
_INSERT = PreparedChange(
    lambda _: insert(attempts).values(
        inserted(attempts, "run_id", "number", "worker_id", "epoch", "state", "offered_at")
    )
)
_CLAIM = PreparedQuery(
    _Taken,
    lambda count: (
        update(runs)
        .where(
            runs.c.id.in_(listed("wanted", runs.c.id.type, count)),
            runs.c.state == RunState.PENDING,
            runs.c.stop_requested_at.is_(None),
        )
        .values(state=RunState.ASSIGNED, attempt=runs.c.attempt + 1, worker_id=bindparam("worker"), reason="")
        .returning(*(runs.c[name] for name in _Taken._fields))
    ),
    of_list="wanted",
)


def withdraw_offer(
    connection: Connection,
    run: RunId,
    attempt: AttemptNumber,
    *,
    actor: str,
    reason: str,
    now: Instant,
    from_states: Sequence[AttemptState] = (AttemptState.OFFERED,),
) -> bool:
    """Takes back an offer that never ran: the run is pending again, or cancelled if somebody asked to stop it.

    False if the attempt is not in one of the states any more, and nothing was changed.
    """
    # The run's row first, as everywhere: two masters that lock in different orders would wait for each other.
    state_of_run(connection, run, lock=True)
    withdrawn = connection.execute(
        update(attempts)
        .where(attempts.c.run_id == run, attempts.c.number == attempt, attempts.c.state.in_(from_states))
        .values(state=AttemptState.WITHDRAWN, reason=reason, ended_at=now)
    )
    if not withdrawn.rowcount:
        return False
    asked = connection.execute(select(runs.c.stop_requested_by, runs.c.stop_reason).where(runs.c.id == run)).one()
    if asked.stop_requested_by is None:
        event, words = RunEvent.WITHDRAWN, reason
    else:
        event, words = RunEvent.CANCELLED, stopped_by(asked.stop_requested_by, asked.stop_reason)
    changes = {"worker_id": None}
    move_run(connection, run, event, actor=actor, now=now, attempt=attempt, reason=words, changes=changes)
    return True


def recall_offer(
    connection: Connection, run: RunId, attempt: AttemptNumber, *, actor: str, reason: str, now: Instant
) -> bool:
    """Takes back an offer whose worker was never told to go, whether it has accepted it or not.

    Only the master that made it knows, and only while the session in which it was made is the worker's newest: it makes
    sure of that in the same transaction.
    """
    states = (AttemptState.OFFERED, AttemptState.ACCEPTED)
    return withdraw_offer(connection, run, attempt, actor=actor, reason=reason, now=now, from_states=states)


def is_open(connection: Connection, run: RunId, attempt: AttemptNumber) -> bool:
    """Whether the attempt is not over yet."""
    query = select(attempts.c.ended_at).where(attempts.c.run_id == run, attempts.c.number == attempt)
    row = connection.execute(query).one_or_none()
    return row is not None and row.ended_at is None


def stopped_by(by: str, reason: str | None) -> str:
    """The words for a stop that somebody asked for."""
    return f"stopped by {by}" + (f": {reason}" if reason else "")


def open_attempts(connection: Connection, worker: WorkerId) -> list[OpenAttempt]:
    """What the worker holds as far as the database knows: the truth that its slots are counted from.

    On PostgreSQL nobody else changes any of it before this transaction ends, so that what is decided on it holds.
    """
    rows = connection.execute(
        select(
            attempts.c.run_id,
            attempts.c.number,
            attempts.c.state,
            attempts.c.sequence,
            attempts.c.log_length,
            runs.c.slots,
            runs.c.stop_requested_by,
            runs.c.stop_reason,
        )
        .select_from(runs.join(attempts, runs.c.id == attempts.c.run_id))
        .where(attempts.c.worker_id == worker, attempts.c.ended_at.is_(None))
        .order_by(attempts.c.run_id)
        .with_for_update()
    )
    return [
        OpenAttempt(
            run=RunId(row.run_id),
            attempt=AttemptNumber(row.number),
            state=AttemptState(row.state),
            sequence=row.sequence,
            log_length=row.log_length,
            slots=row.slots,
            stop_reason=stopped_by(row.stop_requested_by, row.stop_reason) if row.stop_requested_by else None,
        )
        for row in rows
    ]
