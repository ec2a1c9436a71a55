"""When a pending run is likely to start: by how long the runs before it usually take, or that nobody can know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestra.clock import Instant, after, rfc3339, seconds_between
from orchestra.durations import duration_in_words
from orchestra.identifiers import ProjectId
from orchestra.lifecycle import HOLDING_STATES
from orchestra.policy import Permission, Principal
from orchestra.queries.job_history import USUAL_RUNS, newest_marks, usual_of
from orchestra.queries.shortages import Holder, Shortage
from orchestra.storage.tables import runs, workers


@dataclass(frozen=True, kw_only=True, slots=True)
class BusySlots:
    """Slots that a run fills on a worker, and until when, if that can be known."""

    run: int
    is_visible: bool
    """The person who asks may see the run."""
    worker: str
    slots: int
    until: Instant | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """A guess, in words; without an instant it says why there is none."""

    expected_at: Instant | None
    words: str


def foretell(
    *,
    room: Mapping[str, int],
    slots: int,
    before: int,
    busy: Sequence[BusySlots],
    shortages: Sequence[Shortage],
    ends: Mapping[int, Instant | None],
    now: Instant,
) -> Forecast:
    """`room`: the free slots of each worker that matches and takes runs. `busy`: what is on these workers. `before`:
    how many like it go before it. `ends`: when runs that hold something are likely to be over."""
    if not room:
        return unknown("no worker that matches takes runs now")
    moments = [_worker_free(room, slots, before, busy, now)]
    moments += [_stock_free(each, ends) for each in shortages]
    if cause := next((each for each in moments if isinstance(each, str)), None):
        return unknown(cause)
    at = max([now, *(each for each in moments if not isinstance(each, str))])
    wait = duration_in_words(round(seconds_between(now, at)))
    return Forecast(expected_at=at, words=f"it is expected to start at about {rfc3339(at)} (in {wait})")


def _worker_free(
    room: Mapping[str, int], slots: int, before: int, busy: Sequence[BusySlots], now: Instant
) -> Instant | str:
    """When a worker has room, once those before it, as large as it, have had theirs."""
    free = dict(room)
    for name, count in room.items():
        taken = min(before, count // slots)
        free[name] -= taken * slots
        before -= taken
    if any(each >= slots for each in free.values()):
        return now
    known = [each for each in busy if each.until is not None]
    for each in sorted(known, key=lambda one: (one.until or now, one.run)):
        free[each.worker] += each.slots
        if free[each.worker] >= slots:
            if not before:
                return each.until or now
            free[each.worker] -= slots
            before -= 1
    if len(known) < len(busy):
        without = next(each for each in busy if each.until is None)
        return _untold(without)
    return "more runs wait before it than are under way"


def _stock_free(shortage: Shortage, ends: Mapping[int, Instant | None]) -> Instant | str:
    if shortage.demand.window_seconds is not None:
        return shortage.frees_at or "its rate lets nothing start"
    missing = shortage.demand.amount - (shortage.most - shortage.held)
    for holder in sorted(shortage.holders, key=lambda each: ends.get(each.run) or after(Instant(0), 1e12)):
        until = ends.get(holder.run)
        if until is None:
            return _untold(holder)
        missing -= holder.amount
        if missing <= 0:
            return until
    return f"there is never enough of {shortage.demand.kind} {shortage.demand.name}"


def _untold(each: BusySlots | Holder) -> str:
    return f"nobody knows how long {f'#{each.run}' if each.is_visible else 'a run of another project'} takes"


def unknown(cause: str) -> Forecast:
    """Nobody can know, and this is why."""
    return Forecast(expected_at=None, words=f"when it starts is not known: {cause}")


def busy_slots(connection: Connection, who: Principal, names: Sequence[str], *, now: Instant) -> list[BusySlots]:
    """What is under way on these workers, and until when by what is usual for its job."""
    scope = who.scope(Permission.READ)
    query = (
        select(runs.c.id, runs.c.project_id, runs.c.job_id, runs.c.slots, runs.c.started_at, workers.c.name)
        .join(workers, workers.c.id == runs.c.worker_id)
        .where(runs.c.ended_at.is_(None), runs.c.state.in_(HOLDING_STATES), workers.c.name.in_(names))
    )
    rows = connection.execute(query).all()
    until = likely_ends(connection, {row.id: (row.job_id, row.started_at) for row in rows}, now=now)
    return [
        BusySlots(
            run=row.id,
            is_visible=scope.covers(ProjectId(row.project_id)),
            worker=row.name,
            slots=row.slots,
            until=until[row.id],
        )
        for row in rows
    ]


def likely_ends(
    connection: Connection, started: Mapping[int, tuple[int, Instant | None]], *, now: Instant
) -> dict[int, Instant | None]:
    """When these runs, each with its job and start, are likely to be over; one that takes longer than usual: now."""
    marks = newest_marks(connection, sorted({job for job, _ in started.values()}), USUAL_RUNS)
    usual = {job: usual_of(of_job) for job, of_job in marks.items()}
    found: dict[int, Instant | None] = {}
    for run, (job, at) in started.items():
        length = usual.get(job)
        found[run] = None if length is None else max(now, after(at or now, length.seconds))
    return found
