"""Runs that wait until the earlier runs of their job are over: who is next is computed from rows, never counted."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from orchestra.clock import Instant
from orchestra.identifiers import JobId, RunId, Signature
from orchestra.lifecycle import RunState
from orchestra.storage.prepared import PreparedQuery, listed
from orchestra.storage.tables import runs


class QueuedRun(NamedTuple):
    """A run whose turn has come, as its row is stored."""

    id: RunId
    signature: Signature
    created_at: Instant
    expires_at: Instant


class _Oldest(NamedTuple):
    id: int | None


class _Open(NamedTuple):
    id: int


def open_run_of_job(connection: Connection, job: JobId) -> RunId | None:
    """The oldest run of the job that is not over, or None."""
    oldest = _OPEN_RUN.first(connection, {"job": job})
    return None if oldest is None or oldest.id is None else RunId(oldest.id)


def open_runs_of_job(connection: Connection, job: JobId) -> list[RunId]:
    """All runs of the job that are not over, the oldest first."""
    return [RunId(row.id) for row in _OPEN_RUNS.all(connection, {"job": job})]


def behind_words(run: RunId) -> str:
    """Why a queued run waits."""
    return f"it waits until #{run} is over"


def queued_behind(connection: Connection, ended: Sequence[RunId]) -> list[QueuedRun]:
    """Of the jobs of these runs, which are over: the queued run of each whose turn it is, locked.

    One that somebody else changes at this moment is left to the next look at `queued_first`.
    """
    return _BEHIND.all(connection, {"ended": list(ended)})


def queued_first(connection: Connection, *, lock: bool) -> list[QueuedRun]:
    """The queued run of each job whose turn it is: for what a race between two masters has left."""
    return (_FIRST_LOCKED if lock else _FIRST).all(connection, {})


def queue_up(connection: Connection, run: RunId) -> bool:
    """The time of the scheduled run has come: if it has to wait for earlier ones, it does so now."""
    row = connection.execute(select(runs.c.job_id, runs.c.is_queued).where(runs.c.id == run)).one()
    behind = open_run_of_job(connection, JobId(row.job_id)) if row.is_queued else None
    if behind is None or behind >= run:
        return False
    connection.execute(update(runs).where(runs.c.id == run).values(due_at=None, reason=behind_words(behind)))
    return True


_EARLIER = runs.alias("earlier")
_OVER = runs.alias("over")
_TURN = select(*(runs.c[name] for name in QueuedRun._fields)).where(
    runs.c.ended_at.is_(None),
    runs.c.state == RunState.SCHEDULED,
    runs.c.due_at.is_(None),
    ~select(_EARLIER.c.id)
    .where(_EARLIER.c.job_id == runs.c.job_id, _EARLIER.c.ended_at.is_(None), _EARLIER.c.id < runs.c.id)
    .exists(),
)
_FIRST = PreparedQuery(QueuedRun, lambda _: _TURN)
_FIRST_LOCKED = PreparedQuery(QueuedRun, lambda _: _TURN.with_for_update(skip_locked=True))
_BEHIND = PreparedQuery(
    QueuedRun,
    lambda count: _TURN.where(
        runs.c.job_id.in_(select(_OVER.c.job_id).where(_OVER.c.id.in_(listed("ended", runs.c.id.type, count))))
    ).with_for_update(skip_locked=True),
    of_list="ended",
)
_OPEN_RUN = PreparedQuery(
    _Oldest, lambda _: select(func.min(runs.c.id)).where(runs.c.job_id == bindparam("job"), runs.c.ended_at.is_(None))
)
_OPEN_RUNS = PreparedQuery(
    _Open,
    lambda _: select(runs.c.id).where(runs.c.job_id == bindparam("job"), runs.c.ended_at.is_(None)).order_by(runs.c.id),
)
