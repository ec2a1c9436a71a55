"""Attempts that nobody can tell the end of: they end as exception, and the job's policy may make another."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, JobVersionId, RunId
from orchestra.lifecycle import LIVE_ATTEMPT_STATES, AttemptState, RunState
from orchestra.specification import RetryCause
from orchestra.storage.database import Signal
from orchestra.storage.job_versions import JobVersions
from orchestra.storage.quarantine import Quarantine, quarantine_if_poison
from orchestra.storage.run_moves import RunMove
from orchestra.storage.runs import write_moves
from orchestra.storage.tables import attempts, runs
from orchestra_master.ending import Ending, end_run


class Loss(NamedTuple):
    """What is to be told once it is committed."""

    signals: Collection[Signal] = frozenset()
    quarantine: Quarantine | None = None
    """The job's, if this attempt was one too many."""


def lose_attempt(
    connection: Connection,
    versions: JobVersions,
    run: RunId,
    attempt: AttemptNumber,
    *,
    reason: str,
    actor: str,
    now: Instant,
) -> Loss:
    """Ends the attempt as lost if it is still open; returns what follows from it after the commit, nothing if nothing
    changed."""
    row = connection.execute(
        select(
            runs.c.state,
            runs.c.job_version_id,
            runs.c.attempts_counted,
            runs.c.stop_requested_at,
            attempts.c.started_at,
            attempts.c.log_length,
        )
        .join(attempts, (attempts.c.run_id == runs.c.id) & (attempts.c.number == runs.c.attempt))
        .where(runs.c.id == run, attempts.c.number == attempt, attempts.c.state.in_(LIVE_ATTEMPT_STATES))
        .with_for_update()
    ).one_or_none()
    if row is None:
        return Loss()
    connection.execute(
        update(attempts)
        .where(attempts.c.run_id == run, attempts.c.number == attempt)
        .values(state=AttemptState.EXCEPTION, reason=reason, cause=RetryCause.LOST, ended_at=now)
    )
    # An attempt whose start was never reported may have run all the same: it counts.
    counted = row.attempts_counted + (row.started_at is None)
    connection.execute(update(runs).where(runs.c.id == run).values(attempts_counted=counted))
    ending = Ending(
        attempt=attempt,
        outcome=AttemptState.EXCEPTION,
        reason=reason,
        cause=None if row.stop_requested_at is not None else RetryCause.LOST,
        exit_code=None,
        log_length=row.log_length,
        log_digest=None,
        attempts_counted=counted,
        specification=versions.get(connection, JobVersionId(row.job_version_id)).specification,
    )
    move = RunMove(run, RunState(row.state))
    signals = end_run(move, ending, actor=actor, now=now)
    write_moves(connection, [move])
    guard = ending.specification.policies.poison
    quarantine = None if guard is None else quarantine_if_poison(connection, run, guard, now=now)
    return Loss(signals, quarantine)
