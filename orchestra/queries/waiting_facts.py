"""What decides why a run waits, read from rows: the same for its own page, for lists and for what needs a person."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, Select, func, or_, select

from orchestra.clock import Instant
from orchestra.identifiers import RunId, Signature
from orchestra.lifecycle import RunState, WorkerState
from orchestra.limits import BEFORE_COUNT_MAX
from orchestra.matching import PIPELINE, exclusion
from orchestra.policy import Principal
from orchestra.queries.forecast import busy_slots, foretell, likely_ends, unknown
from orchestra.queries.kept_slots import elder_of, kept_resource, kept_workers
from orchestra.queries.shortages import Shortage, shortage_words, shortages_of
from orchestra.queries.waiting import WAITING_STATES, RunFacts, WaitingView, explain
from orchestra.queries.worker_facts import WorkerFacts, all_workers
from orchestra.specification import Matching
from orchestra.storage.pending import MAY_GO
from orchestra.storage.quarantine import Quarantine
from orchestra.storage.tables import jobs, projects, runs, workers
from orchestra.storage.terms import Terms, terms_of

_KEPT_FOR_ANOTHER = unknown("what comes free is kept for another one first")


def waiting_of(
    connection: Connection, who: Principal, run: int, *, now: Instant, fleet: Sequence[WorkerFacts] | None = None
) -> WaitingView | None:
    """Why the run waits, or None if it does not; in words for this person, who may see the run.

    `fleet`: every worker, if that is known already.
    """
    row = _WaitingRow._make(connection.execute(_row_of(run)).one())
    state = RunState(row.state)
    if state not in WAITING_STATES:
        return None
    if state is not RunState.PENDING:
        its_worker = () if row.worker is None else all_workers(connection, who, name=row.worker)
        return explain(_facts(row, Matching(slots=row.slots), its_worker, now))
    if row.signature == PIPELINE:
        return WaitingView(state=state, reasons=("a master begins it in a moment",), workers=())
    return explain(_pending_facts(connection, who, row, fleet or all_workers(connection, who), now))


def _pending_facts(
    connection: Connection, who: Principal, row: "_WaitingRow", fleet: Sequence[WorkerFacts], now: Instant
) -> RunFacts:
    signature = Signature(row.signature)
    # Its own, because an element of a pipeline may ask for more than its job does.
    terms = terms_of(connection, signature) or Terms(matching=Matching())
    matching = msgspec.structs.replace(terms.matching, slots=row.slots)
    shortages = shortages_of(connection, who, terms.demands, now=now)
    elder = elder_of(connection, who, fleet, now=now)
    if elder is not None and elder.run == row.id:
        elder = None
    kept = list(kept_resource(terms.demands, elder))
    obstacles = [*_quarantine(row), *map(shortage_words, shortages), *kept]
    facts = replace(
        _facts(row, matching, fleet, now),
        before=_runs_before(connection, row),
        obstacles=tuple(obstacles),
        kept=kept_workers(connection, who, signature, row.slots, fleet, elder, now),
    )
    if row.quarantined_at is not None:
        # It waits for a person: no clock tells when that one comes.
        return facts
    if kept:
        return replace(facts, forecast=_KEPT_FOR_ANOTHER)
    return _foretold(connection, who, facts, shortages)


def _foretold(connection: Connection, who: Principal, facts: RunFacts, shortages: Sequence[Shortage]) -> RunFacts:
    matching, now = facts.matching, facts.now
    room = {
        each.name: 0 if each.name in facts.kept else max(0, each.slots - each.slots_used)
        for each in facts.workers
        if each.state is WorkerState.ONLINE
        and each.is_connected(now)
        and exclusion(matching, each.properties, slots=each.slots) is None
    }
    if not shortages and any(free >= matching.slots for free in room.values()):
        # It is offered in a moment: there is nothing to foretell.
        return facts
    if room.keys() & facts.kept.keys():
        return replace(facts, forecast=_KEPT_FOR_ANOTHER)
    holders = {each.run: (each.job_id, each.since) for shortage in shortages for each in shortage.holders}
    forecast = foretell(
        room=room,
        slots=matching.slots,
        before=facts.before,
        busy=busy_slots(connection, who, sorted(room), now=now),
        shortages=shortages,
        ends=likely_ends(connection, holders, now=now),
        now=now,
    )
    return replace(facts, forecast=forecast)


def _facts(row: "_WaitingRow", matching: Matching, fleet: Sequence[WorkerFacts], now: Instant) -> RunFacts:
    return RunFacts(
        state=RunState(row.state),
        reason=row.reason,
        matching=matching,
        due_at=row.due_at,
        worker=row.worker,
        stop_requested_by=row.stop_requested_by,
        before=0,
        workers=tuple(fleet),
        now=now,
    )


def _quarantine(row: "_WaitingRow") -> list[str]:
    if row.quarantined_at is None:
        return []
    reason = row.quarantine_reason or ""
    return [Quarantine(project=row.project, job=row.job, since=row.quarantined_at, reason=reason).words]


def _runs_before(connection: Connection, row: "_WaitingRow") -> int:
    before = (
        select(runs.c.id)
        .where(
            *MAY_GO,
            runs.c.signature == row.signature,
            or_(runs.c.rank < row.rank, (runs.c.rank == row.rank) & (runs.c.id < row.id)),
        )
        .limit(BEFORE_COUNT_MAX)
    )
    return connection.execute(select(func.count()).select_from(before.subquery())).scalar_one()


class _WaitingRow(NamedTuple):
    id: RunId
    state: str
    reason: str
    signature: str
    slots: int
    rank: int
    due_at: Instant | None
    stop_requested_by: str | None
    worker: str | None
    project: str
    job: str
    quarantined_at: Instant | None
    quarantine_reason: str | None


def _row_of(run: int) -> Select[tuple[object, ...]]:
    return (
        select(
            *(runs.c[name] for name in _WaitingRow._fields[:8]),
            workers.c.name.label("worker"),
            projects.c.name.label("project"),
            jobs.c.name.label("job"),
            jobs.c.quarantined_at,
            jobs.c.quarantine_reason,
        )
        .join(jobs, jobs.c.id == runs.c.job_id)
        .join(projects, projects.c.id == runs.c.project_id)
        .outerjoin(workers, workers.c.id == runs.c.worker_id)
        .where(runs.c.id == run)
    )
