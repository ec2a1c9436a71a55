"""The runs at which a new one looks: those with its key, those that hold or want what its group has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, literal_column, or_, select

from orchestra.clock import Instant, after
from orchestra.identifiers import JobId, RunId, Signature
from orchestra.lifecycle import HOLDING_STATES, RunState
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import run_demands, runs


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherRun:
    """One of them."""

    id: RunId
    state: RunState
    signature: Signature
    amount: int = 1
    """So many of the resource that was asked about."""
    is_for_later: bool
    """It was made for a time that has not come; nobody was asked about it yet."""
    is_stopping: bool
    """Somebody has asked it to stop."""

    @property
    def is_held(self) -> bool:
        """Whether a worker has it."""
        return self.state in HOLDING_STATES


def open_with_key(connection: Connection, job: JobId, key: str) -> Sequence[OtherRun]:
    """The job's runs with this key that are not over, the oldest first."""
    return [_other(row) for row in _OPEN_WITH_KEY.all(connection, {"job": job, "wanted": key})]


def newest_with_key(
    connection: Connection, job: JobId, key: str, window_seconds: float, now: Instant
) -> OtherRun | None:
    """The job's newest run with this key that is over, if it was made in this time. A skipped one does not count: it
    was as good as never made."""
    row = _NEWEST_WITH_KEY.first(connection, {"job": job, "wanted": key})
    return None if row is None or row.created_at <= after(now, -window_seconds) else _other(row)


def holders_of(connection: Connection, resource: str) -> Sequence[OtherRun]:
    """The runs that have some of it, the oldest first."""
    return [_other(row) for row in _HOLDERS.all(connection, {"wanted": resource})]


def waiters_for(connection: Connection, resource: str) -> Sequence[OtherRun]:
    """The runs that want some of it and have none, in the order of their turns."""
    return [_other(row) for row in _WAITERS.all(connection, {"wanted": resource})]


class _Row(NamedTuple):
    id: int
    state: str
    signature: str
    attempt: int
    due_at: int | None
    stop_requested_at: int | None
    created_at: int
    amount: int


def _other(row: _Row) -> OtherRun:
    state = RunState(row.state)
    return OtherRun(
        id=RunId(row.id),
        state=state,
        signature=Signature(row.signature),
        amount=row.amount,
        # One that waits for its next attempt has had one, and one that waits for earlier runs has no time.
        is_for_later=state is RunState.SCHEDULED and row.attempt == 0 and row.due_at is not None,
        is_stopping=row.stop_requested_at is not None,
    )


_COLUMNS = [runs.c[name] for name in _Row._fields if name != "amount"]
_WITH_KEY = select(*_COLUMNS, literal_column("1")).where(
    runs.c.job_id == bindparam("job"), runs.c.unique_key == bindparam("wanted")
)
_OPEN_WITH_KEY = PreparedQuery(_Row, lambda _: _WITH_KEY.where(runs.c.ended_at.is_(None)).order_by(runs.c.id))
# Along the index from its end, however long the history of a key is: what the window holds is decided by the newest.
_NEWEST_WITH_KEY = PreparedQuery(
    _Row,
    lambda _: (
        _WITH_KEY.where(runs.c.ended_at.is_not(None), runs.c.state != RunState.SKIPPED)
        .order_by(runs.c.id.desc())
        .limit(1)
    ),
)
# Not as a bare column: SQLite would begin with all that waits, not with the signatures that demand the resource.
_DEMANDING = (
    select(*_COLUMNS, run_demands.c.amount)
    .join(run_demands, run_demands.c.signature.concat("") == runs.c.signature)
    .where(run_demands.c.resource == bindparam("wanted"), runs.c.ended_at.is_(None))
)
_HOLDING = [runs.c.state == state for state in sorted(HOLDING_STATES)]
_WAITING = [runs.c.state == state for state in (RunState.PENDING, RunState.SCHEDULED, RunState.WAITING)]
_HOLDERS = PreparedQuery(_Row, lambda _: _DEMANDING.where(or_(*_HOLDING)).order_by(runs.c.id))
_WAITERS = PreparedQuery(_Row, lambda _: _DEMANDING.where(or_(*_WAITING)).order_by(runs.c.rank, runs.c.id))
