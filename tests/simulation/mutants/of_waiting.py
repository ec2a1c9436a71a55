"""Defects of how runs wait at their worker for a slot, and are taken back from there."""

from sqlalchemy import Connection

from orchestra.clock import Instant
from orchestra.identifiers import Epoch, WorkerId
from orchestra.protocol.messages import Go
from orchestra.protocol.window import AttemptKey
from orchestra.storage.workers import end_session
from orchestra_master import link, recalling
from orchestra_master.roster import ConnectedWorker
from tests.simulation.mutants.planting import Graft, Mutants

waiting = Mutants()


@waiting.breaks("R13")
def go_before_a_slot_is_free(graft: Graft) -> None:
    """What was accepted is told to go, though it was given to a worker that has no free slot."""

    def may_go(self: ConnectedWorker, key: AttemptKey) -> bool:
        return key in self.held

    graft.replace(ConnectedWorker, "may_go", may_go)


@waiting.breaks("R3")
def recalled_after_go(graft: Graft) -> None:
    """What waited is taken for waiting still when it was told to go."""
    recallable, fill_slots = ConnectedWorker.recallable, ConnectedWorker._fill_slots
    told: dict[ConnectedWorker, dict[AttemptKey, float]] = {}

    def fill(self: ConnectedWorker) -> None:
        waited = recallable(self)
        fill_slots(self)
        told.setdefault(self, {}).update({key: due_at for key, due_at in waited.items() if key not in self.prefetched})

    def believed(self: ConnectedWorker) -> dict[AttemptKey, float]:
        gone = {key: due_at for key, due_at in told.get(self, {}).items() if key in self.held}
        return {**gone, **recallable(self)}

    graft.replace(ConnectedWorker, "_fill_slots", fill)
    graft.replace(ConnectedWorker, "recallable", believed)


@waiting.breaks("R3")
def recalled_without_a_fence(graft: Graft) -> None:
    """What waited is taken back by a session that was replaced, though a newer one may have told it to go."""

    def is_current(connection: Connection, worker: WorkerId, epoch: Epoch) -> bool:
        return True

    def end(connection: Connection, worker: WorkerId, epoch: Epoch, *, heard_at: Instant) -> bool:
        end_session(connection, worker, epoch, heard_at=heard_at)
        return True

    graft.replace(recalling, "session_is_current", is_current)
    graft.replace(link, "end_session", end)


@waiting.breaks("R1")
def what_waits_after_a_hello_is_never_told(graft: Graft) -> None:
    """What came back with a hello and waits gets no slot any more."""

    def fill(self: ConnectedWorker) -> None:
        for key, due_at in list(self.prefetched.items()):
            if due_at is not None and self.held[key] <= self.free_slots:
                del self.prefetched[key]
                if key not in self.offers:
                    self.send(Go(run=key[0], attempt=key[1]))

    graft.replace(ConnectedWorker, "_fill_slots", fill)
