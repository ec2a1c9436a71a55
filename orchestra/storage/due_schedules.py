"""Schedules whose instant has come: what the ticker asks at every turn, by statements that are compiled once."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, or_, select

from orchestra.clock import Instant
from orchestra.identifiers import ScheduleId, Signature
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import job_versions, jobs, schedules


@dataclass(frozen=True, kw_only=True, slots=True)
class DueSchedule:
    """A schedule whose instant has come, and the signature of the run that it may make."""

    id: ScheduleId
    due_at: Instant
    signature: Signature


def due_schedules(connection: Connection, *, now: Instant, limit: int) -> list[DueSchedule]:
    """Schedules whose instant is not after now and that are not paused, the oldest first."""
    rows = _DUE.all(connection, {"now": now, "most": limit})
    return [
        DueSchedule(id=ScheduleId(row.id), due_at=Instant(row.next_fire_at), signature=Signature(row.signature))
        for row in rows
    ]


def next_due_at(connection: Connection) -> Instant | None:
    """The earliest instant at which any schedule is due, or None."""
    first = [row.next_fire_at for row in _FIRST.all(connection, {})]
    # What comes due in a pause that ends by itself is due at its end.
    paused = [max(row.next_fire_at, row.paused_until) for row in _PAUSED.all(connection, {})]
    return min([*first, *paused], default=None)


def is_not_paused(now: Instant | BindParameter[int]) -> ColumnElement[bool]:
    """The condition that nobody holds the schedule up at this moment."""
    return or_(schedules.c.paused_at.is_(None), schedules.c.paused_until <= now)


class _Due(NamedTuple):
    id: int
    next_fire_at: int
    signature: str


class _First(NamedTuple):
    next_fire_at: Instant


class _Paused(NamedTuple):
    next_fire_at: Instant
    paused_until: Instant


_IS_IN_FORCE = (schedules.c.next_fire_at.is_not(None), schedules.c.retired_at.is_(None))
_DUE = PreparedQuery(
    _Due,
    lambda _: (
        select(schedules.c.id, schedules.c.next_fire_at, job_versions.c.signature)
        .join(jobs, jobs.c.id == schedules.c.job_id)
        .join(job_versions, job_versions.c.id == jobs.c.version_id)
        .where(
            schedules.c.next_fire_at <= bindparam("now"),
            schedules.c.retired_at.is_(None),
            is_not_paused(bindparam("now")),
        )
        .order_by(schedules.c.next_fire_at)
        .limit(bindparam("most"))
    ),
)
_FIRST = PreparedQuery(
    _First,
    lambda _: (
        select(schedules.c.next_fire_at)
        .where(*_IS_IN_FORCE, schedules.c.paused_at.is_(None))
        .order_by(schedules.c.next_fire_at)
        .limit(1)
    ),
)
_PAUSED = PreparedQuery(
    _Paused,
    lambda _: select(schedules.c.next_fire_at, schedules.c.paused_until).where(
        *_IS_IN_FORCE, schedules.c.paused_at.is_not(None), schedules.c.paused_until.is_not(None)
    ),
)
