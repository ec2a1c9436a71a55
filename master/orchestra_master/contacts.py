"""Keeps the workers' rows true: when each was last heard, and whether people still want it to take runs."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from orchestra.identifiers import Epoch, WorkerId
from orchestra.lifecycle import WorkerState
from orchestra.protocol.messages import Drain, Undrain
from orchestra.storage.database import Topic
from orchestra.storage.tables import workers
from orchestra.storage.workers import Contact, note_contacts
from orchestra_master.parts import MasterParts


class ContactKeeper:
    """Writes at the pace of the heartbeats, all workers in one statement; reads when a worker was enabled or
    disabled."""

    name = "contact keeper"
    topics: tuple[Topic, ...] = (Topic.WORKERS,)

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts

    async def run_once(self) -> float:
        """Notes the contacts, then tells the workers what has been decided about them."""
        connected = self._parts.roster.connected()
        if not connected:
            return self._parts.contact_seconds
        contacts = [
            Contact(
                worker=each.worker,
                epoch=each.epoch,
                heard_at=each.heard_at,
                load=each.load,
                free_disk_bytes=each.free_disk_bytes,
            )
            for each in connected
        ]

        def note_and_look(connection: Connection) -> dict[WorkerId, _Session]:
            note_contacts(connection, contacts)
            return _sessions(connection)

        sessions = await self._parts.database.write(note_and_look)
        for each in connected:
            session = sessions.get(each.worker)
            if session is None or session.epoch != each.epoch:
                # It has come to another master. Without this, runs would be given to a session that cannot take them.
                each.replace()
                continue
            accepts_runs = session.state is WorkerState.ONLINE
            if accepts_runs != each.accepts_runs:
                each.accepts_runs = accepts_runs
                each.send(Undrain() if accepts_runs else Drain())
                self._parts.roster.capacity_changed()
        return self._parts.contact_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _Session:
    epoch: Epoch
    state: WorkerState


def _sessions(connection: Connection) -> dict[WorkerId, _Session]:
    query = select(workers.c.id, workers.c.session_epoch, workers.c.state).where(workers.c.master.is_not(None))
    return {
        WorkerId(row.id): _Session(epoch=Epoch(row.session_epoch), state=WorkerState(row.state))
        for row in connection.execute(query)
    }
