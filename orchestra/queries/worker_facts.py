"""What is known of the workers, with the slots in use computed from the runs that they have."""

from collections import Counter
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select

from orchestra.clock import Instant, seconds_between
from orchestra.identifiers import ProjectId
from orchestra.lifecycle import RunState, WorkerState
from orchestra.limits import CONTACT_SECONDS_MAX
from orchestra.matching import properties_of
from orchestra.policy import Permission, Principal
from orchestra.specification import PropertyValue
from orchestra.storage.tables import runs, workers


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFacts:
    """A worker as the database knows it."""

    name: str
    state: WorkerState
    reason: str
    has_master: bool
    """A master says that it holds the connection; if the master died, the last contact tells."""
    connected_at: Instant | None
    last_contact_at: Instant | None
    version: str
    properties: dict[str, PropertyValue]
    slots: int
    slots_used: int
    """By what runs, and by what was given to it as far as there is room; the rest waits there for a slot."""
    is_full: bool
    """What runs there leaves no slot."""
    runs: tuple[int, ...]
    """Those that the person who asks may see."""
    has_other_runs: bool
    """It has more than those."""
    load: float
    free_disk_bytes: int

    def is_connected(self, now: Instant) -> bool:
        """Whether a master holds its connection and has heard from it lately."""
        if not self.has_master or self.last_contact_at is None:
            return False
        return seconds_between(self.last_contact_at, now) <= CONTACT_SECONDS_MAX


def all_workers(connection: Connection, who: Principal, *, name: str | None = None) -> tuple[WorkerFacts, ...]:
    """Every worker by name, or the one of this name; of its runs, those that this person may see."""
    scope = who.scope(Permission.READ)
    query = select(workers).order_by(workers.c.name)
    held = select(runs.c.worker_id, runs.c.id, runs.c.state, runs.c.slots, runs.c.project_id).where(
        runs.c.ended_at.is_(None),
        runs.c.worker_id.is_not(None),
        runs.c.state.in_((RunState.ASSIGNED, RunState.RUNNING)),
    )
    if name is not None:
        query = query.where(workers.c.name == name)
        held = held.join(workers, workers.c.id == runs.c.worker_id).where(workers.c.name == name)
    held_by: dict[int, list[tuple[int, bool]]] = {}
    running: Counter[int] = Counter()
    assigned: Counter[int] = Counter()
    for row in sorted(connection.execute(held), key=lambda row: row.id):
        held_by.setdefault(row.worker_id, []).append((row.id, scope.covers(ProjectId(row.project_id))))
        (running if row.state == RunState.RUNNING else assigned)[row.worker_id] += row.slots
    return tuple(
        WorkerFacts(
            name=row.name,
            state=WorkerState(row.state),
            reason=row.reason,
            has_master=row.master is not None,
            connected_at=row.connected_at,
            last_contact_at=row.last_contact_at,
            version=row.version,
            properties=properties_of(row.name, msgspec.json.decode(row.properties, type=dict[str, PropertyValue])),
            slots=row.slots,
            slots_used=running[row.id] + min(assigned[row.id], max(0, row.slots - running[row.id])),
            is_full=running[row.id] >= row.slots,
            runs=tuple(run for run, is_visible in held_by.get(row.id, ()) if is_visible),
            has_other_runs=not all(is_visible for _, is_visible in held_by.get(row.id, ())),
            load=row.load,
            free_disk_bytes=row.free_disk_bytes,
        )
        for row in connection.execute(query)
    )
