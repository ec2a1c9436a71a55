"""Workers: their registration, their sessions, and when they were last heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select, update

from orchestra.clock import Instant
from orchestra.errors import NotFound
from orchestra.identifiers import Epoch, UserId, WorkerId
from orchestra.lifecycle import NEXT_WORKER_STATE, WorkerEvent, WorkerState, next_state
from orchestra.protocol.messages import Hello
from orchestra.storage.prepared import PreparedChange, PreparedQuery
from orchestra.storage.tables import workers
from orchestra.storage.upserts import insert_into


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSessionRow:
    """What a worker's row says once its new session is written down."""

    worker: WorkerId
    epoch: Epoch
    state: WorkerState
    foreign_owner: bool
    """The name is bound to another user; no session was begun."""
    took_over: bool
    """Another instance had the name, and its session had not ended, on whichever master."""
    newer_connection: int | None = None
    """The instance has said hello later than this: no session was begun."""


def begin_session(connection: Connection, hello: Hello, *, user: UserId, master: str, now: Instant) -> WorkerSessionRow:
    """Registers an unknown name for the user, and counts the session up; what came under the older one is void."""
    query = select(workers).where(workers.c.name == hello.worker).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        # Two masters may meet an unknown name at once: the second finds what the first has made, and who owns it.
        new = {"name": hello.worker, "user_id": user, "state": WorkerState.ONLINE, "registered_at": now}
        add = insert_into(workers, connection.dialect.name)
        connection.execute(add.on_conflict_do_nothing(index_elements=["name"]), new)
        row = connection.execute(query).one()
    is_outdated = row.instance == hello.instance and 0 < hello.connection <= row.connection
    if row.user_id == user and not is_outdated:
        connection.execute(
            update(workers)
            .where(workers.c.id == row.id)
            .values(
                session_epoch=workers.c.session_epoch + 1,
                master=master,
                connection=hello.connection,
                instance=hello.instance,
                boot_id=hello.boot_id,
                version=hello.version,
                properties=msgspec.json.encode(hello.properties, order="sorted").decode(),
                slots=hello.slots,
                free_disk_bytes=hello.free_disk_bytes,
                connected_at=now,
                last_contact_at=now,
            )
        )
    return WorkerSessionRow(
        worker=WorkerId(row.id),
        epoch=Epoch(row.session_epoch + 1),
        state=WorkerState(row.state),
        foreign_owner=row.user_id != user,
        took_over=row.master is not None and row.instance != hello.instance,
        newer_connection=row.connection if is_outdated else None,
    )


def end_session(connection: Connection, worker: WorkerId, epoch: Epoch, *, heard_at: Instant) -> bool:
    """The connection is gone; False if a newer session has begun meanwhile, which this does not touch."""
    ended = connection.execute(
        update(workers)
        .where(workers.c.id == worker, workers.c.session_epoch == epoch)
        .values(master=None, last_contact_at=heard_at)
    )
    return bool(ended.rowcount)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """When a worker was last heard, and what it said of itself."""

    worker: WorkerId
    epoch: Epoch
    heard_at: Instant
    load: float
    free_disk_bytes: int


def note_contacts(connection: Connection, contacts: Sequence[Contact]) -> None:
    """Writes down the contacts, each if its session is still the worker's newest."""
    _NOTE_CONTACT.execute_all(
        connection,
        [
            {
                "worker": contact.worker,
                "epoch": contact.epoch,
                "heard_at": contact.heard_at,
                "new_load": contact.load,
                "free_disk": contact.free_disk_bytes,
            }
            for contact in contacts
        ],
    )


_NOTE_CONTACT = PreparedChange(
    lambda _: (
        update(workers)
        .where(workers.c.id == bindparam("worker"), workers.c.session_epoch == bindparam("epoch"))
        .values(
            last_contact_at=bindparam("heard_at"), load=bindparam("new_load"), free_disk_bytes=bindparam("free_disk")
        )
    )
)


def session_is_current(connection: Connection, worker: WorkerId, epoch: Epoch) -> bool:
    """Whether the session is the worker's newest; it stays so until this transaction ends."""
    row = _EPOCH.first(connection, {"worker": worker})
    return row is not None and row.session_epoch == epoch


class _Epoch(NamedTuple):
    session_epoch: int


_EPOCH = PreparedQuery(
    _Epoch,
    lambda _: select(workers.c.session_epoch).where(workers.c.id == bindparam("worker")).with_for_update(read=True),
)


def move_worker(connection: Connection, name: str, event: WorkerEvent, *, reason: str) -> WorkerState:
    """Takes one step of the worker's life; raises NotFound and ImpossibleTransition."""
    query = select(workers.c.id, workers.c.state).where(workers.c.name == name).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("worker", name)
    state = next_state(NEXT_WORKER_STATE, WorkerState(row.state), event)
    connection.execute(update(workers).where(workers.c.id == row.id).values(state=state, reason=reason))
    return state
