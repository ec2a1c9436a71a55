"""Keeps the workers' rows true: when each was last heard, and whether people still want it to take runs."""

from sqlalchemy import Connection, select

from orchestra.identifiers import WorkerId
from orchestra.lifecycle import WorkerState
from orchestra.limits import HEARTBEAT_SECONDS
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
            return HEARTBEAT_SECONDS
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
        await self._parts.database.write(lambda connection: note_contacts(connection, contacts))
        states = await self._parts.database.read(_states)
        for each in connected:
            accepts_runs = states.get(each.worker) is WorkerState.ONLINE
            if accepts_runs != each.accepts_runs:
                each.accepts_runs = accepts_runs
                each.send(Undrain() if accepts_runs else Drain())
                self._parts.roster.capacity_changed()
        return HEARTBEAT_SECONDS


def _states(connection: Connection) -> dict[WorkerId, WorkerState]:
    rows = connection.execute(select(workers.c.id, workers.c.state).where(workers.c.master.is_not(None)))
    return {WorkerId(row.id): WorkerState(row.state) for row in rows}
