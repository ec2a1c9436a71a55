"""What is held of the resources that runs demand, and who uses the workers' slots: sums over rows, never counters."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, text

from orchestra.clock import Instant, after
from orchestra.demands import DEMANDING_SIGNATURES, Demand, ResourceKind
from orchestra.identifiers import AttemptNumber, ProjectId, RunId, WorkerId
from orchestra.lifecycle import HOLDING_STATES, AttemptState
from orchestra.specification import SlotReserve
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted
from orchestra.storage.tables import attempts, locks, projects, run_demands, run_starts, runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Stock:
    """How it stands with one resource."""

    most: int | None
    """The capacity of a declared lock; None: each demand says it itself."""
    held: int
    frees_at: Instant | None = None
    """Of a rate: when the next start stops counting; None if nobody can know."""

    def left_for(self, demand: Demand) -> int:
        """How much of it there is for this demand."""
        return (demand.most if self.most is None else self.most) - self.held

    def comes_free_for(self, demand: Demand) -> bool:
        """Whether there is enough of it once other runs are over: not if there is never so much, and not while a rate
        is used up, which only time gives back."""
        given_back = self.held if demand.window_seconds is None else 0
        return self.left_for(demand) + given_back >= demand.amount


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectSlots:
    """What a project is to have of the workers' slots."""

    project: ProjectId
    share: int
    reserve: SlotReserve | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotUse:
    """How many slots of a worker a project's runs fill."""

    project: ProjectId
    worker: WorkerId
    slots: int


def lock_names(connection: Connection, names: Iterable[str]) -> None:
    """Nobody else decides about these before this transaction ends. To be asked before any row is locked."""
    if connection.dialect.name == "sqlite":
        return  # It has one writer.
    keys = [
        int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True) for name in sorted(set(names))
    ]
    # One question for all of them, since a pass may look at many: they are locked in the order in which they are named.
    if keys:
        connection.execute(_LOCK_NAMES, {"keys": keys}).all()


def stock_of(connection: Connection, demands: Iterable[Demand], now: Instant) -> dict[str, Stock]:
    """How it stands with the resources of these demands, by the `stock` of each."""
    asked = {demand.stock: demand for demand in demands}
    stocks = {
        each.stock: _stock_of_rate(connection, each, each.window_seconds, now)
        for each in asked.values()
        if each.window_seconds is not None
    }
    others = [each for each in asked.values() if each.window_seconds is None]
    held = {row.resource: row.amount for row in _HELD.all(connection, {})} if others else {}
    return stocks | {each.stock: _stock(connection, each, held.get(each.resource, 0)) for each in others}


def _stock_of_rate(connection: Connection, demand: Demand, window_seconds: float, now: Instant) -> Stock:
    since = after(now, -window_seconds)
    starts = _STARTS.all(connection, {"wanted": demand.resource, "since": since})
    # With the oldest of the newest so many gone there is room for one.
    first = starts[demand.most - 1].at if 0 < demand.most <= len(starts) else None
    frees_at = None if first is None else after(Instant(first), window_seconds)
    return Stock(most=None, held=len(starts), frees_at=frees_at)


def _stock(connection: Connection, demand: Demand, held: int) -> Stock:
    most = None
    if demand.kind is ResourceKind.LOCK:
        lock = _CAPACITY.first(connection, {"wanted": demand.name})
        most = None if lock is None else lock.capacity
    return Stock(most=most, held=held)


def keep_starts(
    connection: Connection, started: Sequence[tuple[RunId, AttemptNumber, Sequence[Demand]]], now: Instant
) -> None:
    """Writes down that these attempts begin, for the rates among what they demand; what counts no more goes."""
    rates = [(run, attempt, each) for run, attempt, all_ in started for each in all_ if each.window_seconds is not None]
    _START.execute_all(
        connection,
        [{"resource": each.resource, "at": now, "run_id": run, "attempt": attempt} for run, attempt, each in rates],
    )
    for resource in {each.resource for _, _, each in rates}:
        # Runs that were made before the rate was changed, or after, may count for longer than these do.
        longest = _LONGEST.first(connection, {"wanted": resource})
        assert longest is not None, "what these demand is in the rows"
        since = after(now, -longest.seconds)
        connection.execute(delete(run_starts).where(run_starts.c.resource == resource, run_starts.c.at <= since))


def slots_in_use(connection: Connection) -> list[SlotUse]:
    """By project and worker."""
    return [
        SlotUse(project=ProjectId(row.project_id), worker=WorkerId(row.worker_id), slots=int(row.slots))
        for row in _IN_USE.all(connection, {})
    ]


def slots_of_projects(connection: Connection) -> Mapping[ProjectId, ProjectSlots]:
    """Of those that are to have other than one share and no reserve."""
    return {
        ProjectId(row.id): ProjectSlots(
            project=ProjectId(row.id),
            share=row.share,
            reserve=None if row.reserve is None else msgspec.json.decode(row.reserve, type=SlotReserve),
        )
        for row in _PROJECTS.all(connection, {})
    }


_LOCK_NAMES = text("select pg_advisory_xact_lock(key) from unnest(cast(:keys as bigint[])) as key")


class _Held(NamedTuple):
    resource: str
    amount: int


class _Capacity(NamedTuple):
    capacity: int


class _At(NamedTuple):
    at: int


class _Longest(NamedTuple):
    seconds: float


class _InUse(NamedTuple):
    project_id: int
    worker_id: int
    slots: int


class _ProjectRow(NamedTuple):
    id: int
    share: int
    reserve: str | None


_IS_HELD = [runs.c.state == state for state in sorted(HOLDING_STATES)]
# All at once, from the runs that hold anything: of those there are as many as slots. The signatures that ever demanded
# one lock, each with a group's name of its own, may be many more.
_HELD = PreparedQuery(
    _Held,
    lambda _: (
        select(run_demands.c.resource, func.sum(run_demands.c.amount))
        .select_from(runs.join(run_demands, run_demands.c.signature == runs.c.signature))
        .where(
            runs.c.ended_at.is_(None),
            or_(*_IS_HELD),
            runs.c.signature.like(DEMANDING_SIGNATURES),
            run_demands.c.window_seconds.is_(None),
        )
        .group_by(run_demands.c.resource)
    ),
)
_CAPACITY = PreparedQuery(_Capacity, lambda _: select(locks.c.capacity).where(locks.c.name == bindparam("wanted")))
# An offer that was taken back never started.
_STARTS = PreparedQuery(
    _At,
    lambda _: (
        select(run_starts.c.at)
        .join(attempts, (attempts.c.run_id == run_starts.c.run_id) & (attempts.c.number == run_starts.c.attempt))
        .where(
            run_starts.c.resource == bindparam("wanted"),
            run_starts.c.at > bindparam("since"),
            attempts.c.state != AttemptState.WITHDRAWN,
        )
        .order_by(run_starts.c.at.desc())
    ),
)
_START = PreparedChange(
    lambda _: insert(run_starts).values(inserted(run_starts, "resource", "at", "run_id", "attempt"))
)
_LONGEST = PreparedQuery(
    _Longest,
    lambda _: select(func.max(run_demands.c.window_seconds)).where(run_demands.c.resource == bindparam("wanted")),
)
_IN_USE = PreparedQuery(
    _InUse,
    lambda _: (
        select(runs.c.project_id, runs.c.worker_id, func.sum(runs.c.slots))
        # By the states too: with the worker alone SQLite reads the whole history, in the order of an index of it.
        .where(runs.c.ended_at.is_(None), or_(*_IS_HELD), runs.c.worker_id.is_not(None))
        .group_by(runs.c.project_id, runs.c.worker_id)
    ),
)
_PROJECTS = PreparedQuery(
    _ProjectRow,
    lambda _: select(projects.c.id, projects.c.share, projects.c.reserve).where(
        (projects.c.share != 1) | projects.c.reserve.is_not(None)
    ),
)
