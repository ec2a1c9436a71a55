"""Slots that are free and yet not for a run: kept for another project, or for a run that has waited long for much."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestra.clock import Instant, after, rfc3339
from orchestra.demands import Demand, project_of
from orchestra.identifiers import RunId, Signature, WorkerId
from orchestra.lifecycle import WorkerState
from orchestra.limits import HOLD_BACK_SECONDS
from orchestra.matching import PIPELINE, exclusion
from orchestra.policy import Permission, Principal
from orchestra.queries.worker_facts import WorkerFacts
from orchestra.specification import Matching
from orchestra.storage.pending import MAY_GO, pending_signatures
from orchestra.storage.resources import slots_in_use, slots_of_projects, stock_of
from orchestra.storage.tables import projects, runs, workers
from orchestra.storage.terms import Terms, terms_of

_SIGNATURES_LOOKED_AT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Elder:
    """A run for which room is kept free, because smaller ones would pass it by for ever."""

    run: RunId
    signature: Signature
    is_visible: bool
    """The person who asks may see the run."""
    terms: Terms
    is_short: bool
    """Others hold what it demands: until they are over no slots are kept for it."""
    since: Instant

    @property
    def words(self) -> str:
        """Whom it is kept for."""
        run = f"#{self.run}" if self.is_visible else "a run of another project"
        return f"{run}, which has waited since {rfc3339(self.since)} for all that it needs at once"


def elder_of(connection: Connection, who: Principal, fleet: Sequence[WorkerFacts], *, now: Instant) -> Elder | None:
    """The run for which masters keep room free now, or None."""
    found = []
    waited = after(now, -HOLD_BACK_SECONDS)
    large = list(_passed_by(connection, _open(fleet, now)))
    stocks = stock_of(connection, [each for _, terms in large for each in terms.demands], now)
    for signature, terms in large:
        if not all(stocks[each.stock].comes_free_for(each) for each in terms.demands):
            continue
        next_one = (
            select(runs.c.id, runs.c.rank, runs.c.pending_at)
            .where(*MAY_GO, runs.c.signature == signature)
            .order_by(runs.c.rank, runs.c.id)
            .limit(1)
        )
        row = connection.execute(next_one).one_or_none()
        if row is not None and row.pending_at <= waited:
            elder = Elder(
                run=RunId(row.id),
                signature=signature,
                is_visible=who.scope(Permission.READ).covers(project_of(signature)),
                terms=terms,
                is_short=any(stocks[each.stock].left_for(each) < each.amount for each in terms.demands),
                since=Instant(row.pending_at),
            )
            found.append((row.rank, row.id, elder))
    return min(found, default=(0, 0, None), key=lambda each: each[:2])[2]


def _passed_by(connection: Connection, fleet: Sequence[WorkerFacts]) -> Iterator[tuple[Signature, Terms]]:
    """What smaller runs could pass by for ever, of what waits for these workers."""
    for signature in pending_signatures(connection)[:_SIGNATURES_LOOKED_AT]:
        terms = None if signature == PIPELINE else terms_of(connection, signature)
        if terms is None or not terms.may_be_passed_by:
            continue
        if any(exclusion(terms.matching, each.properties, slots=each.slots) is None for each in fleet):
            yield signature, terms


def kept_resource(demands: Sequence[Demand], elder: Elder | None) -> Iterator[str]:
    """Why there is something of a resource, and yet not for a run with these demands."""
    kept = set() if elder is None else {each.resource for each in elder.terms.demands}
    for demand in demands:
        if elder is not None and demand.resource in kept:
            yield f"{demand.kind} {demand.name} is kept free for {elder.words}"


def kept_workers(
    connection: Connection,
    who: Principal,
    signature: Signature,
    slots: int,
    fleet: Sequence[WorkerFacts],
    elder: Elder | None,
    now: Instant,
) -> dict[str, str]:
    """The workers whose free slots are not for runs with this signature, by name, and why."""
    found: dict[str, str] = {}
    rows = connection.execute(select(workers.c.id, workers.c.name, workers.c.master)).all()
    master_of = {row.name: row.master for row in rows}
    id_of = {row.name: WorkerId(row.id) for row in rows}
    open_workers = _open(fleet, now)
    # Each master keeps a reserve, and room for an elder, among its own workers.
    for master in {master_of[each.name] for each in open_workers}:
        own = [each for each in open_workers if master_of[each.name] == master]
        found |= _reserved(connection, who, signature, slots, own, id_of)
        if elder is not None and elder.terms.matching.slots > 1 and not elder.is_short:
            suiting = [
                each
                for each in own
                if exclusion(elder.terms.matching, each.properties, slots=each.slots) is None and _free(each)
            ]
            best = max(suiting, key=lambda each: (_free(each), each.name), default=None)
            if best is not None:
                found[best.name] = f"its free slots are kept for {elder.words}"
    return found


def _reserved(
    connection: Connection,
    who: Principal,
    signature: Signature,
    slots: int,
    fleet: Sequence[WorkerFacts],
    id_of: dict[str, WorkerId],
) -> dict[str, str]:
    found: dict[str, str] = {}
    for project, each in slots_of_projects(connection).items():
        if each.reserve is None or project == project_of(signature):
            continue
        matching = Matching(requirements=each.reserve.requirements)
        members = [one for one in fleet if exclusion(matching, one.properties) is None]
        ids = {id_of[one.name] for one in members}
        used = sum(use.slots for use in slots_in_use(connection) if use.project == project and use.worker in ids)
        kept = each.reserve.count - used
        if kept > 0 and sum(_free(one) for one in members) - slots < kept:
            owner = "another project"
            if who.scope(Permission.READ).covers(project):
                name = connection.execute(select(projects.c.name).where(projects.c.id == project)).scalar_one()
                owner = f"project {name}"
            found |= {one.name: f"{_kept_words(min(kept, _free(one)))} for {owner}" for one in members if _free(one)}
    return found


def _kept_words(slots: int) -> str:
    return f"{slots} free slot{'' if slots == 1 else 's'} {'is' if slots == 1 else 'are'} kept"


def _open(fleet: Sequence[WorkerFacts], now: Instant) -> list[WorkerFacts]:
    return [each for each in fleet if each.state is WorkerState.ONLINE and each.is_connected(now)]


def _free(worker: WorkerFacts) -> int:
    return max(0, worker.slots - worker.slots_used)
