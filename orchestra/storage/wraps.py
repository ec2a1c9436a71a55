"""Runs that something else starts, as `orchestra wrap` tells of them: an attempt without a worker, a sign of life."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, JobVersionId, RunId
from orchestra.lifecycle import AttemptState, RunEvent, RunState
from orchestra.storage.new_runs import NewRun, create_run
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.runs import move_run
from orchestra.storage.tables import attempts, runs, wraps

ATTEMPT = AttemptNumber(1)
"""A wrapped run has this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWrap:
    """A command that runs elsewhere."""

    host: str
    account: str
    """The user on that machine."""
    command: str
    started_at: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class WrapRecord:
    """A wrapped run as it is stored."""

    run: RunId
    creation_key: str
    state: RunState
    host: str
    log_length: int
    started_at: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class WrapEnd:
    """How the command ended."""

    event: RunEvent
    reason: str
    exit_code: int | None
    log_digest: str | None
    ended_at: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenWrap:
    """A wrapped run that is not over."""

    run: RunId
    job_version: JobVersionId
    host: str
    heard_at: Instant


_OUTCOMES = {
    RunEvent.SUCCEEDED: AttemptState.SUCCEEDED,
    RunEvent.FAILED: AttemptState.FAILED,
    RunEvent.BROKE: AttemptState.EXCEPTION,
}


def create_wrapped_run(connection: Connection, new: NewRun, wrap: NewWrap) -> tuple[RunId, bool]:
    """Makes the run, which is running from the first moment, or finds the one that was made with the same key; whether
    it was made.

    It is never pending outside of this transaction: no master can offer it, and it takes no slot of a worker.
    """
    run = create_run(connection, new)
    if find_wrap(connection, run) is not None:
        return run, False
    connection.execute(
        insert(wraps).values(run_id=run, host=wrap.host, account=wrap.account, command=wrap.command, heard_at=new.now)
    )
    connection.execute(
        insert(attempts).values(
            run_id=run,
            number=ATTEMPT,
            worker_id=None,
            epoch=0,
            state=AttemptState.STARTED,
            offered_at=wrap.started_at,
            accepted_at=wrap.started_at,
            started_at=wrap.started_at,
        )
    )
    changes = {"attempt": ATTEMPT, "attempts_counted": 1, "started_at": wrap.started_at}
    move_run(connection, run, RunEvent.STARTED, actor=new.source, now=wrap.started_at, attempt=ATTEMPT, changes=changes)
    return run, True


def find_wrap(connection: Connection, run: RunId, *, lock: bool = False) -> WrapRecord | None:
    """The wrapped run of this number, or None; with `lock` nobody else changes the run before this transaction ends."""
    query = (
        select(runs.c.creation_key, runs.c.state, wraps.c.host, attempts.c.log_length, attempts.c.started_at)
        .select_from(runs)
        .join(wraps, wraps.c.run_id == runs.c.id)
        .join(attempts, (attempts.c.run_id == runs.c.id) & (attempts.c.number == ATTEMPT))
        .where(runs.c.id == run)
    )
    row = connection.execute(query.with_for_update(of=runs) if lock else query).one_or_none()
    if row is None:
        return None
    return WrapRecord(
        run=run,
        creation_key=row.creation_key,
        state=RunState(row.state),
        host=row.host,
        log_length=row.log_length,
        started_at=Instant(row.started_at),
    )


def hear_wrap(connection: Connection, run: RunId, *, log_length: int, now: Instant) -> None:
    """It has told of itself: its log is kept up to here."""
    connection.execute(update(wraps).where(wraps.c.run_id == run, wraps.c.heard_at < now).values(heard_at=now))
    connection.execute(
        update(attempts)
        .where(attempts.c.run_id == run, attempts.c.number == ATTEMPT, attempts.c.log_length < log_length)
        .values(log_length=log_length)
    )


def end_wrap(connection: Connection, wrap: WrapRecord, end: WrapEnd, *, log_length: int, actor: str) -> None:
    """The command has ended, or is given up."""
    connection.execute(update(wraps).where(wraps.c.run_id == wrap.run).values(heard_at=None))
    ending = {"exit_code": end.exit_code, "log_length": log_length, "log_digest": end.log_digest}
    connection.execute(
        update(attempts)
        .where(attempts.c.run_id == wrap.run, attempts.c.number == ATTEMPT)
        .values(state=_OUTCOMES[end.event], reason=end.reason, ended_at=end.ended_at, **ending)
    )
    move_run(
        connection,
        wrap.run,
        end.event,
        actor=actor,
        now=end.ended_at,
        reason=end.reason,
        attempt=ATTEMPT,
        changes=ending,
    )


def open_wraps(connection: Connection) -> list[OpenWrap]:
    """The wrapped runs that are not over."""
    return [
        OpenWrap(
            run=RunId(row.run_id),
            job_version=JobVersionId(row.job_version_id),
            host=row.host,
            heard_at=Instant(row.heard_at),
        )
        for row in _OPEN.all(connection, {})
    ]


class _Open(NamedTuple):
    run_id: int
    job_version_id: int
    host: str
    heard_at: int


_OPEN = PreparedQuery(
    _Open,
    lambda _: (
        select(wraps.c.run_id, runs.c.job_version_id, wraps.c.host, wraps.c.heard_at)
        .join(runs, runs.c.id == wraps.c.run_id)
        .where(wraps.c.heard_at.is_not(None))
        .order_by(wraps.c.heard_at)
    ),
)
