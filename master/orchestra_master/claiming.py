"""One transaction of the dispatcher: reads what a plan looks at, plans, and claims. Replayable: it keeps nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from orchestra.clock import Instant, after
from orchestra.demands import is_demanding, project_of
from orchestra.identifiers import ProjectId, RunId, Signature, WorkerId
from orchestra.limits import HOLD_BACK_SECONDS
from orchestra.matching import RunHistory, exclusion
from orchestra.specification import Matching
from orchestra.storage.attempts import Claim, Claimed, ClaimedRun, claim_runs
from orchestra.storage.job_versions import JobVersion
from orchestra.storage.pending import PendingRun, pending_heads
from orchestra.storage.resources import (
    ProjectSlots,
    SlotUse,
    Stock,
    keep_starts,
    lock_names,
    slots_in_use,
    slots_of_projects,
    stock_of,
)
from orchestra.storage.run_history import histories_of
from orchestra.storage.terms import Terms
from orchestra_master.parts import MasterParts
from orchestra_master.planning import Plan, Reserve, Situation, plan
from orchestra_master.roster import ConnectedWorker
from orchestra_master.selection import Candidate, WorkerSelector


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one pass wants to give away."""

    wanted: Mapping[Signature, int]
    """How many runs of each signature there may be room for."""
    elders: Sequence[Signature]
    """Whose next run needs much: if it has waited long enough, room may be kept free for it."""
    terms: Mapping[Signature, Terms]
    candidates: Sequence[Candidate]
    fleet: Sequence[ConnectedWorker]
    """All workers of this master, with and without room."""
    settling: Mapping[WorkerId, int]
    """Of their slots, those of runs that are over, which no row says yet."""
    had: Mapping[ProjectId, float]
    """What each project had of the slots lately."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one pass gave away."""

    claimed: Sequence[tuple[ClaimedRun, JobVersion]]
    exhausted: frozenset[Signature]
    """Signatures of which every pending run was looked at and given away."""
    lacking: frozenset[Signature]
    """Signatures whose next run must wait for something else than a worker with room."""
    short: frozenset[Signature]
    """Those of them that wait for what others hold."""
    void: frozenset[WorkerId]
    """Workers that were chosen, but whose session is not the newest any more or that take nothing."""
    frees_at: Instant | None
    """When the first of the rates that are used up lets another one start."""
    in_use: Sequence[SlotUse] | None
    """Who used the slots before; None if it was not asked."""


class Claiming:
    """Claims for one master."""

    def __init__(self, *, parts: MasterParts, selector: WorkerSelector) -> None:
        self._actor = parts.actor
        self._versions = parts.versions
        self._selector = selector

    def claim(self, connection: Connection, request: Request, now: Instant) -> Outcome:
        """Gives away what can be given, in the transaction of this connection."""
        demanding = [each for each in (*request.wanted, *request.elders) if is_demanding(each)]
        demands = [demand for each in demanding for demand in request.terms[each].demands]
        lock_names(connection, {each.resource for each in demands})
        stocks = stock_of(connection, demands, now)
        # Of what others hold there may be any number of kinds: their runs are not looked at.
        short = {each for each in request.wanted if _is_short(request.terms[each], stocks)}
        heads, unread = _heads(connection, {each: most for each, most in request.wanted.items() if each not in short})
        elder = _elder(connection, _waiting_for_others(request, stocks), now)
        slots = slots_of_projects(connection)
        are_several = len({project_of(each.signature) for each in heads}) > 1
        in_use = slots_in_use(connection) if are_several or any(each.reserve for each in slots.values()) else None
        planned = plan(
            Situation(
                heads=heads,
                terms=request.terms,
                candidates=request.candidates,
                stocks=stocks,
                had=request.had,
                shares={project: each.share for project, each in slots.items()},
                reserves=_reserves(slots, in_use or (), request.fleet),
                settling=request.settling,
                histories=self._histories(connection, [*heads, *([elder] if elder else [])], request.terms),
                elder=elder,
            ),
            self._selector,
        )
        epochs = {each.worker: each.epoch for each in request.fleet}
        claims = [Claim(run=head.run, worker=worker, epoch=epochs[worker]) for head, worker in planned.given]
        done = claim_runs(connection, claims, actor=self._actor, now=now)
        self._keep_starts(connection, request, planned, done, now)
        # What was planned for a run that was not to be had after all may be enough for another one.
        is_whole = len(done.claimed) == len(planned.given)
        waits = [stock.frees_at for stock in stocks.values() if stock.frees_at is not None]
        return Outcome(
            claimed=[(each, self._versions.get(connection, each.job_version_id)) for each in done.claimed],
            exhausted=_exhausted(request, done, heads, unread | short),
            lacking=(planned.lacking if is_whole else frozenset()) | short,
            short=(planned.short if is_whole else frozenset()) | short,
            void=done.void,
            frees_at=min(waits, default=None),
            in_use=in_use,
        )

    def _histories(
        self, connection: Connection, heads: Sequence[PendingRun], terms: Mapping[Signature, Terms]
    ) -> dict[RunId, RunHistory]:
        sticky = [head.run for head in heads if terms[head.signature].matching.sticky]
        avoiding = [
            head.run
            for head in heads
            if head.attempts_counted
            and self._versions.get(connection, head.job_version).specification.retry.avoid_worker
        ]
        return histories_of(connection, sticky=sticky, avoiding=avoiding) if sticky or avoiding else {}

    def _keep_starts(
        self, connection: Connection, request: Request, planned: Plan, done: Claimed, now: Instant
    ) -> None:
        demands = {head.run: request.terms[head.signature].demands for head, _ in planned.given}
        keep_starts(connection, [(each.run, each.attempt, demands[each.run]) for each in done.claimed], now)


def _is_short(terms: Terms, stocks: Mapping[str, Stock]) -> bool:
    return any(stocks[each.stock].left_for(each) < each.amount for each in terms.demands)


def _waiting_for_others(request: Request, stocks: Mapping[str, Stock]) -> list[Signature]:
    """The elders that can go once others are over: what is kept free for any other one would lie idle."""
    demands = {each: request.terms[each].demands for each in request.elders}
    return [each for each in request.elders if all(stocks[one.stock].comes_free_for(one) for one in demands[each])]


def _heads(connection: Connection, wanted: Mapping[Signature, int]) -> tuple[list[PendingRun], set[Signature]]:
    """The next runs of each signature, and the signatures that may have more."""
    heads: list[PendingRun] = []
    unread: set[Signature] = set()
    for signature, limit in wanted.items():
        found = pending_heads(connection, signature, limit)
        heads += found
        if len(found) == limit:
            unread.add(signature)
    return heads, unread


def _elder(connection: Connection, elders: Sequence[Signature], now: Instant) -> PendingRun | None:
    """The first of those that have waited long enough, so that room is kept free for it if it cannot go."""
    waited = after(now, -HOLD_BACK_SECONDS)
    heads = [
        head for signature in elders for head in pending_heads(connection, signature, 1) if head.pending_at <= waited
    ]
    return min(heads, key=lambda each: each.turn, default=None)


def _reserves(
    slots: Mapping[ProjectId, ProjectSlots], in_use: Sequence[SlotUse], fleet: Sequence[ConnectedWorker]
) -> list[Reserve]:
    """What is still to be kept free, for each project that has a reserve; nothing of one that is filled."""
    found = []
    for each in slots.values():
        if each.reserve is None:
            continue
        matching = Matching(requirements=each.reserve.requirements)
        workers = frozenset(one.worker for one in fleet if exclusion(matching, one.properties) is None)
        used = sum(use.slots for use in in_use if use.project == each.project and use.worker in workers)
        found.append(Reserve(project=each.project, slots=max(0, each.reserve.count - used), workers=workers))
    return found


def _exhausted(
    request: Request, done: Claimed, heads: Sequence[PendingRun], unread: Collection[Signature]
) -> frozenset[Signature]:
    """The signatures of which no run is left."""
    claimed = {each.run for each in done.claimed}
    left = {head.signature for head in heads if head.run not in claimed}
    return frozenset(request.wanted.keys() - left - set(unread))
