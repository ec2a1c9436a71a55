"""Workers, as people see them."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.lifecycle import WorkerState
from orchestra.policy import Principal
from orchestra.queries.addresses import moment, worker_address
from orchestra.queries.worker_facts import WorkerFacts, all_workers
from orchestra.specification import PropertyValue
from orchestra.storage.paging import Page, PageAsked, page_by_position


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker with what it has to do."""

    name: str
    url: str
    state: WorkerState
    reason: str
    connected: bool
    connected_at: datetime | None
    last_contact_at: datetime | None
    version: str
    properties: dict[str, PropertyValue]
    slots: int
    slots_used: int
    runs: tuple[int, ...]
    """Those that this person may see."""
    load: float
    free_disk_bytes: int


def list_workers(connection: Connection, who: Principal, asked: PageAsked, *, now: Instant) -> Page[WorkerView]:
    """A page of the workers by name."""
    found = [_view(facts, now) for facts in all_workers(connection, who)]
    return page_by_position(found, asked)


def show_worker(connection: Connection, who: Principal, name: str, *, now: Instant) -> WorkerView:
    """One worker; raises NotFound."""
    for facts in all_workers(connection, who, name=name):
        return _view(facts, now)
    raise NotFound("worker", name)


def _view(facts: WorkerFacts, now: Instant) -> WorkerView:
    return WorkerView(
        name=facts.name,
        url=worker_address(facts.name),
        state=facts.state,
        reason=facts.reason,
        connected=facts.is_connected(now),
        connected_at=moment(facts.connected_at),
        last_contact_at=moment(facts.last_contact_at),
        version=facts.version,
        properties=facts.properties,
        slots=facts.slots,
        slots_used=facts.slots_used,
        runs=facts.runs,
        load=facts.load,
        free_disk_bytes=facts.free_disk_bytes,
    )
