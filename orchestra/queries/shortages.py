"""What a run demands and does not get: which resource, how much of it there is, who has it, and since when."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestra.clock import Instant, rfc3339
from orchestra.demands import Demand, ResourceKind
from orchestra.durations import duration_in_words
from orchestra.identifiers import ProjectId
from orchestra.lifecycle import HOLDING_STATES
from orchestra.policy import Permission, Principal
from orchestra.storage.resources import stock_of
from orchestra.storage.tables import run_demands, runs

_HOLDERS_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A run that has some of the resource."""

    run: int
    job_id: int
    amount: int
    since: Instant | None
    """When it started; None if that is not confirmed yet."""
    is_visible: bool
    """The person who asks may see it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortage:
    """A resource of which there is less than a run demands."""

    demand: Demand
    most: int
    held: int
    holders: tuple[Holder, ...]
    frees_at: Instant | None
    """Of a rate."""


def shortages_of(
    connection: Connection, who: Principal, demands: Sequence[Demand], *, now: Instant
) -> tuple[Shortage, ...]:
    """Those of the demands that cannot be met now."""
    stocks = stock_of(connection, demands, now)
    return tuple(
        Shortage(
            demand=demand,
            most=demand.most if stock.most is None else stock.most,
            held=stock.held,
            holders=_holders(connection, who, demand.resource) if demand.window_seconds is None else (),
            frees_at=stock.frees_at,
        )
        for demand in demands
        if (stock := stocks[demand.stock]).left_for(demand) < demand.amount
    )


def shortage_words(shortage: Shortage) -> str:
    """Why the run waits for it, in one sentence."""
    demand, most = shortage.demand, shortage.most
    match demand.kind:
        case ResourceKind.RATE:
            attempts = f"{most} attempt{'' if most == 1 else 's'}"
            words = f"{attempts} of {demand.name} may start within {duration_in_words(demand.window_seconds or 0)}"
            return words + (f": the next at {rfc3339(shortage.frees_at)}" if shortage.frees_at else "")
        case ResourceKind.GROUP:
            return f"group {demand.name} is full: {shortage.held} of {most} under way, {_held_by(shortage)}"
        case ResourceKind.LOCK:
            if demand.amount > most:
                return f"lock {demand.name}: it needs {demand.amount}, there {'is' if most == 1 else 'are'} only {most}"
            if most == 1:
                return f"lock {demand.name} is taken, {_held_by(shortage)}"
            free = max(0, most - shortage.held)
            return f"lock {demand.name}: it needs {demand.amount}, {free} of {most} free, {_held_by(shortage)}"


def _held_by(shortage: Shortage) -> str:
    seen = [each for each in shortage.holders if each.is_visible]
    named = [_holder_words(each) for each in seen[:_HOLDERS_NAMED]] + (["…"] if len(seen) > _HOLDERS_NAMED else [])
    if len(seen) < len(shortage.holders):
        named.append("runs of other projects")
    return "held by " + ", ".join(named) if named else "held by runs of other projects"


def _holder_words(holder: Holder) -> str:
    count = f" ({holder.amount})" if holder.amount > 1 else ""
    return f"#{holder.run}{count}" + (f" since {rfc3339(holder.since)}" if holder.since else "")


def _holders(connection: Connection, who: Principal, resource: str) -> tuple[Holder, ...]:
    scope = who.scope(Permission.READ)
    return tuple(
        Holder(
            run=row.id,
            job_id=row.job_id,
            amount=row.amount,
            since=row.started_at,
            is_visible=scope.covers(ProjectId(row.project_id)),
        )
        for row in _holding(connection, resource)
    )


class _Holding(NamedTuple):
    id: int
    job_id: int
    project_id: int
    started_at: Instant | None
    amount: int


def _holding(connection: Connection, resource: str) -> Iterator[_Holding]:
    query = (
        select(runs.c.id, runs.c.job_id, runs.c.project_id, runs.c.started_at, run_demands.c.amount)
        .join(run_demands, run_demands.c.signature == runs.c.signature)
        .where(run_demands.c.resource == resource, runs.c.ended_at.is_(None), runs.c.state.in_(HOLDING_STATES))
        .order_by(runs.c.id)
    )
    return (_Holding._make(row) for row in connection.execute(query))
