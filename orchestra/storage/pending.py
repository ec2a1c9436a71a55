"""Pending runs as the dispatcher and the duties of time look at them: always behind an index, always bounded."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, or_, select

from orchestra.clock import Instant
from orchestra.identifiers import JobId, JobVersionId, RunId, Signature
from orchestra.lifecycle import RunState
from orchestra.matching import PIPELINE
from orchestra.storage.prepared import NextInstant, PreparedQuery
from orchestra.storage.tables import jobs, runs


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingRun:
    """The head of a queue."""

    run: RunId
    signature: Signature
    rank: int
    pending_at: Instant
    job: JobId
    job_version: JobVersionId
    attempts_counted: int

    @property
    def turn(self) -> tuple[int, int]:
        """The smallest is next."""
        return self.rank, self.run


def pending_heads(connection: Connection, signature: Signature, limit: int) -> list[PendingRun]:
    """The runs of a signature that go next, in the order of their turns; none of a job in quarantine.

    On PostgreSQL rows that another master is just claiming are passed over.
    """
    rows = _HEADS.all(connection, {"wanted": signature, "most": limit})
    return [
        PendingRun(
            run=RunId(row.id),
            signature=signature,
            rank=row.rank,
            pending_at=Instant(row.pending_at),
            job=JobId(row.job_id),
            job_version=JobVersionId(row.job_version_id),
            attempts_counted=row.attempts_counted,
        )
        for row in rows
    ]


_IS_PENDING = (runs.c.ended_at.is_(None), runs.c.state == RunState.PENDING)
MAY_GO = (
    *_IS_PENDING,
    runs.c.stop_requested_at.is_(None),
    ~select(jobs.c.id).where(jobs.c.id == runs.c.job_id, jobs.c.quarantined_at.is_not(None)).exists(),
)
"""Of the pending runs those that have a turn: nobody asked to stop them, and their jobs are not in quarantine."""


class _Head(NamedTuple):
    id: int
    rank: int
    pending_at: int
    job_id: int
    job_version_id: int
    attempts_counted: int


_HEADS = PreparedQuery(
    _Head,
    lambda _: (
        select(*(runs.c[name] for name in _Head._fields))
        .where(*MAY_GO, runs.c.signature == bindparam("wanted"))
        .order_by(runs.c.rank, runs.c.id)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=runs)
    ),
)


def pending_signatures(connection: Connection) -> list[Signature]:
    """Every signature that has a pending run, each found by one step along the index, however many runs wait."""
    return [Signature(row.signature) for row in _SIGNATURES.all(connection, {})]


class _Waiting(NamedTuple):
    signature: str


def _signatures() -> Select[tuple[str | None]]:
    first = select(func.min(runs.c.signature).label("signature")).where(*_IS_PENDING)
    found = first.cte("found", recursive=True)
    following = select(func.min(runs.c.signature)).where(*_IS_PENDING, runs.c.signature > found.c.signature)
    steps = found.union_all(select(following.scalar_subquery()).where(found.c.signature.is_not(None)))
    return select(steps.c.signature).where(steps.c.signature.is_not(None))


_SIGNATURES = PreparedQuery(_Waiting, lambda _: _signatures())


_IS_SCHEDULED = (runs.c.ended_at.is_(None), runs.c.state == RunState.SCHEDULED)


class _Due(NamedTuple):
    id: int
    signature: str


class _Expired(NamedTuple):
    id: int


def due_runs(connection: Connection, now: Instant, limit: int) -> list[tuple[RunId, Signature]]:
    """Scheduled runs whose time has come, the longest overdue first."""
    rows = _DUE.all(connection, {"now": now, "most": limit})
    return [(RunId(row.id), Signature(row.signature)) for row in rows]


_DUE = PreparedQuery(
    _Due,
    lambda _: (
        select(runs.c.id, runs.c.signature)
        .where(*_IS_SCHEDULED, runs.c.due_at <= bindparam("now"))
        .order_by(runs.c.due_at)
        .limit(bindparam("most"))
    ),
)


def next_due(connection: Connection) -> Instant | None:
    """When the next scheduled run becomes due."""
    (found,) = _NEXT_DUE.all(connection, {})
    return found.at


_NEXT_DUE = PreparedQuery(NextInstant, lambda _: select(func.min(runs.c.due_at)).where(*_IS_SCHEDULED))


def next_expiry(connection: Connection) -> Instant | None:
    """When the next pending run will have waited for a worker for too long."""
    (found,) = _NEXT_EXPIRY.all(connection, {})
    return found.at


_NEXT_EXPIRY = PreparedQuery(NextInstant, lambda _: select(func.min(runs.c.expires_at)).where(*_IS_PENDING))


def expired_runs(connection: Connection, now: Instant, limit: int) -> list[RunId]:
    """Pending runs that have waited for a worker for too long."""
    return [RunId(row.id) for row in _EXPIRED.all(connection, {"now": now, "most": limit})]


_EXPIRED = PreparedQuery(
    _Expired,
    lambda _: (
        select(runs.c.id)
        .where(*_IS_PENDING, runs.c.expires_at <= bindparam("now"))
        .order_by(runs.c.expires_at)
        .limit(bindparam("most"))
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenPipelines:
    """The pipelines that are not over."""

    pending: list[RunId]
    running: dict[RunId, Instant | None]
    """With the moment at which they will have taken too long, unless they are asked to stop already."""


def open_pipelines(connection: Connection) -> OpenPipelines:
    """Those that are to be begun, the more important ones first, and those that run."""
    rows = _PIPELINES.all(connection, {})
    return OpenPipelines(
        pending=[RunId(row.id) for row in rows if row.state == RunState.PENDING],
        running={
            # Once it is asked to stop, its time plays no part any more: how long its last runs take is theirs.
            RunId(row.id): row.expires_at if row.stop_requested_at is None else None
            for row in rows
            if row.state == RunState.RUNNING
        },
    )


class _Pipeline(NamedTuple):
    id: int
    state: str
    expires_at: Instant | None
    stop_requested_at: int | None


_PIPELINES = PreparedQuery(
    _Pipeline,
    lambda _: (
        select(*(runs.c[name] for name in _Pipeline._fields))
        .where(
            runs.c.ended_at.is_(None),
            or_(runs.c.state == RunState.PENDING, runs.c.state == RunState.RUNNING),
            runs.c.signature == PIPELINE,
        )
        .order_by(runs.c.priority.desc(), runs.c.id)
    ),
)
