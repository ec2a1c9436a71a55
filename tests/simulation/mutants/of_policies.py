"""Defects of who may start when: locks, groups, rates, quarantine, retries, and room that is kept for somebody."""

from collections.abc import Iterable
from dataclasses import replace

import msgspec
from sqlalchemy import Connection, bindparam, func, or_, select

from orchestra.clock import Instant, after
from orchestra.demands import Demand, ResourceKind
from orchestra.identifiers import AttemptNumber, RunId, Signature
from orchestra.lifecycle import RunState
from orchestra.policies import PoisonGuard
from orchestra.specification import RetryPolicy
from orchestra.storage import pending, resources
from orchestra.storage.pending import PendingRun
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.quarantine import Quarantine
from orchestra.storage.resources import Stock, stock_of
from orchestra.storage.tables import run_demands, runs
from orchestra_master import claiming, ending, gathered, planning
from orchestra_master.claiming import Claiming, Outcome, Request
from orchestra_master.dispatcher import Dispatcher
from orchestra_master.retrying import seconds_until_retry
from tests.simulation.mutants.planting import Graft, Mutants

limiting = Mutants()


def _held_in(*states: RunState) -> "PreparedQuery[resources._Held]":
    """What is held, if runs in these states hold."""
    return PreparedQuery(
        resources._Held,
        lambda _: (
            select(run_demands.c.resource, func.sum(run_demands.c.amount))
            .select_from(runs.join(run_demands, run_demands.c.signature == runs.c.signature))
            .where(runs.c.ended_at.is_(None), or_(*(runs.c.state == state for state in states)))
            .group_by(run_demands.c.resource)
        ),
    )


@limiting.breaks("R17")
def assigned_runs_hold_nothing(graft: Graft) -> None:
    """What is held is summed up over what runs, without what was given to a worker and has not begun."""
    graft.replace(resources, "_HELD", _held_in(RunState.RUNNING))


@limiting.breaks("R20", "R1")
def lock_kept_for_the_next_attempt(graft: Graft) -> None:
    """A run that waits for its next attempt keeps what it held."""
    graft.replace(resources, "_HELD", _held_in(RunState.ASSIGNED, RunState.RUNNING, RunState.SCHEDULED))


@limiting.breaks("R20", "R1")
def nobody_told_of_what_is_free(graft: Graft) -> None:
    """What a run gives back is told to nobody, and a master looks for itself only once."""
    poll = Dispatcher._poll

    async def poll_once(self: Dispatcher) -> None:
        if self._polled_at is None:
            await poll(self)

    def released(self: Dispatcher, signature: Signature) -> None:
        """Nobody hears it."""

    def freed_by_themselves(self: Dispatcher) -> None:
        """What is blocked for want of a lock is not looked at when a worker has room."""
        self._hungry.update(each for each in self._blocked if not self._terms[each].demands)

    graft.replace(Dispatcher, "_poll", poll_once)
    graft.replace(Dispatcher, "_released", released)
    graft.replace(Dispatcher, "capacity_changed", freed_by_themselves)


@limiting.breaks("R17")
def lock_counted_by_signature(graft: Graft) -> None:
    """Of a lock only what runs with the same terms hold is counted, not what other jobs do."""
    present: list[Iterable[Signature]] = [()]
    claim_first = Claiming.claim

    def claim(self: Claiming, connection: Connection, request: Request, now: Instant) -> Outcome:
        present[0] = list(request.wanted)
        return claim_first(self, connection, request, now)

    def stock(connection: Connection, demands: Iterable[Demand], now: Instant) -> dict[str, Stock]:
        found = stock_of(connection, demands, now)
        for resource, each in found.items():
            if resource.startswith(ResourceKind.LOCK):
                query = (
                    select(func.coalesce(func.sum(run_demands.c.amount), 0))
                    .select_from(run_demands.join(runs, runs.c.signature == run_demands.c.signature))
                    .where(
                        run_demands.c.resource == resource,
                        run_demands.c.signature.in_(present[0]),
                        runs.c.state.in_((RunState.ASSIGNED, RunState.RUNNING)),
                    )
                )
                found[resource] = replace(each, held=connection.execute(query).scalar_one())
        return found

    graft.replace(Claiming, "claim", claim)
    graft.replace(claiming, "stock_of", stock)


@limiting.breaks("R17")
def planned_on_what_was_free_before(graft: Graft) -> None:
    """A master believes what it saw of a resource when it last looked, whoever has taken of it since."""
    seen: dict[str, dict[str, Stock]] = {}
    actor = [""]
    claim_first = Claiming.claim

    def claim(self: Claiming, connection: Connection, request: Request, now: Instant) -> Outcome:
        actor[0] = self._actor
        return claim_first(self, connection, request, now)

    def stock(connection: Connection, demands: Iterable[Demand], now: Instant) -> dict[str, Stock]:
        mine = seen.setdefault(actor[0], {})
        found = stock_of(connection, demands, now)
        believed = {resource: mine.get(resource, each) for resource, each in found.items()}
        mine.update(found)
        return believed

    graft.replace(Claiming, "claim", claim)
    graft.replace(claiming, "stock_of", stock)


@limiting.breaks("R17")
def amount_ignored(graft: Graft) -> None:
    """A run that needs two of something begins when there is one."""
    at_hand = planning._Planning._is_at_hand

    def one_is_enough(self: planning._Planning, head: PendingRun) -> bool:
        terms = self._situation.terms
        with_one = {
            head.signature: replace(
                terms[head.signature],
                demands=tuple(
                    Demand(resource=each.resource, most=each.most, window_seconds=each.window_seconds)
                    for each in terms[head.signature].demands
                ),
            )
        }
        present = self._situation
        self._situation = replace(present, terms={**terms, **with_one})
        try:
            return at_hand(self, head)
        finally:
            self._situation = present

    graft.replace(planning._Planning, "_is_at_hand", one_is_enough)


@limiting.breaks("R17")
def what_one_pass_gives_is_not_taken(graft: Graft) -> None:
    """Of several runs that one pass looks at each finds everything that was there before the first."""

    def at_hand(self: planning._Planning, head: PendingRun) -> bool:
        stocks = self._situation.stocks
        return all(
            stocks[each.stock].left_for(each) >= each.amount for each in self._situation.terms[head.signature].demands
        )

    graft.replace(planning._Planning, "_is_at_hand", at_hand)


@limiting.breaks("R18")
def one_more_start_in_a_window(graft: Graft) -> None:
    """A rate of two lets three start."""

    def stock(connection: Connection, demands: Iterable[Demand], now: Instant) -> dict[str, Stock]:
        wanted = {each.stock: each for each in demands}
        found = stock_of(connection, wanted.values(), now)
        return {
            resource: replace(each, held=each.held - 1) if wanted[resource].window_seconds is not None else each
            for resource, each in found.items()
        }

    graft.replace(claiming, "stock_of", stock)


@limiting.breaks("R18")
def rate_counted_by_the_period(graft: Graft) -> None:
    """So many may start in each period, which begins anew when the clock says so: twice as many around its end."""

    def stock(connection: Connection, demands: Iterable[Demand], now: Instant) -> dict[str, Stock]:
        found: dict[str, Stock] = {}
        for demand in demands:
            if demand.window_seconds is None:
                found |= stock_of(connection, [demand], now)
                continue
            passed = now % round(demand.window_seconds * 1_000_000) / 1_000_000
            looked = msgspec.structs.replace(demand, window_seconds=passed + 0.000001)
            rest = after(now, demand.window_seconds - passed)
            for each in stock_of(connection, [looked], now).values():
                found[demand.stock] = replace(each, frees_at=None if each.frees_at is None else rest)
        return found

    graft.replace(claiming, "stock_of", stock)


@limiting.breaks("R3")
def retried_after_never(graft: Graft) -> None:
    """What a policy says of causes after which there is no other attempt is not read."""

    def wait(
        policy: RetryPolicy, *, run: RunId, attempt: AttemptNumber, attempts_counted: int, cause: str | None
    ) -> float | None:
        return seconds_until_retry(
            msgspec.structs.replace(policy, never=()),
            run=run,
            attempt=attempt,
            attempts_counted=attempts_counted,
            cause=cause,
        )

    graft.replace(ending, "seconds_until_retry", wait)


@limiting.breaks("R19")
def heads_of_a_job_in_quarantine(graft: Graft) -> None:
    """Who looks for the next runs does not look at whether their job is in quarantine."""
    unguarded = PreparedQuery(
        pending._Head,
        lambda _: (
            select(*(runs.c[name] for name in pending._Head._fields))
            .where(
                runs.c.ended_at.is_(None),
                runs.c.state == RunState.PENDING,
                runs.c.signature == bindparam("wanted"),
                runs.c.stop_requested_at.is_(None),
            )
            .order_by(runs.c.rank, runs.c.id)
            .limit(bindparam("most"))
        ),
    )
    graft.replace(pending, "_HEADS", unguarded)


@limiting.breaks("R19")
def losses_that_a_worker_tells_do_not_count(graft: Graft) -> None:
    """Only what a master declares lost counts against a job, not what a worker calls lost."""

    def nothing(connection: Connection, run: RunId, guard: PoisonGuard, *, now: Instant) -> Quarantine | None:
        return None

    graft.replace(gathered, "quarantine_if_poison", nothing)


@limiting.breaks("R20")
def elder_never_kept_for(graft: Graft) -> None:
    """For a run that needs much nothing is kept free, however long it waits."""

    def none(self: Dispatcher) -> list[Signature]:
        return []

    graft.replace(Dispatcher, "_elders", none)


@limiting.breaks("R20", "R1")
def capacity_not_read(graft: Graft) -> None:
    """Of a declared lock there is one, however many its definition says."""

    def stock(connection: Connection, demands: Iterable[Demand], now: Instant) -> dict[str, Stock]:
        return {resource: replace(each, most=None) for resource, each in stock_of(connection, demands, now).items()}

    graft.replace(claiming, "stock_of", stock)
