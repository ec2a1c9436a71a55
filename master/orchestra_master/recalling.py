"""Takes back attempts that wait at a worker for a slot: it was never told to go, so that none of them can have run."""

from collections.abc import Iterable

from sqlalchemy import Connection

from orchestra.protocol.messages import Forget
from orchestra.protocol.window import AttemptKey
from orchestra.storage.attempts import recall_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.workers import session_is_current
from orchestra_master.parts import MasterParts
from orchestra_master.roster import ConnectedWorker


async def recall(parts: MasterParts, connected: ConnectedWorker, keys: Iterable[AttemptKey], *, words: str) -> None:
    """Withdraws them, with all that could not be withdrawn before; each run is pending again, or cancelled if somebody
    asked to stop it."""
    for key in keys:
        connected.recall(key)
    recalled, now = sorted(connected.recalled), parts.clock.now()
    if not recalled:
        return

    def withdraw(connection: Connection) -> bool:
        # In a newer session they may have been told to go.
        if not session_is_current(connection, connected.worker, connected.epoch):
            return False
        for run, attempt in recalled:
            recall_offer(connection, run, attempt, actor=parts.actor, reason=words, now=now)
        return True

    signals = [Signal(Topic.PENDING), *(Signal(Topic.RUN, str(run)) for run, _ in recalled)]
    is_current = await parts.database.write(withdraw, signals=signals)
    connected.recalled.difference_update(recalled)
    if is_current:
        for run, attempt in recalled:
            connected.send(Forget(run=run, attempt=attempt))
