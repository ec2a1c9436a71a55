"""Stops what the workers of this master have: what people asked for, and what is not to start in a quarantine."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestra.identifiers import AttemptNumber, RunId, WorkerId
from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Forget, Stop
from orchestra.storage.attempts import stopped_by, withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.quarantine import in_quarantine
from orchestra.storage.tables import attempts, runs
from orchestra_master.parts import MasterParts
from orchestra_master.recalling import recall


class Stopper:
    """A worker that is not connected is told at its next hello."""

    name = "stopper"
    topics: tuple[Topic, ...] = (Topic.STOPS,)

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts

    async def run_once(self) -> float:
        """Passes every request on that was not passed on in the worker's present session."""
        pause = self._parts.poll_seconds
        for run, attempt, state, worker, words in await self._parts.database.read(_asked):
            connected = self._parts.roster.find(worker)
            key = (run, attempt)
            if connected is None or key in connected.stopping or key in connected.recalled:
                continue
            if state is AttemptState.OFFERED:
                if await self._withdraw(run, attempt, words):
                    connected.send(Forget(run=run, attempt=attempt))
                    connected.release(key)
                    self._parts.roster.capacity_changed()
                else:
                    # It was accepted in the same moment: the next look finds what there is to stop.
                    pause = 0.0
            elif key in connected.recallable():
                await recall(self._parts, connected, [key], words=words)
            else:
                connected.stopping.add(key)
                connected.send(Stop(run=run, attempt=attempt, reason=words))
        await self._recall_quarantined()
        return pause

    async def _recall_quarantined(self) -> None:
        """In quarantine nothing of a job starts, also none that waits at a worker for a slot."""
        waiting = [run for connected in self._parts.roster.connected() for run, _ in connected.accepted_in_wait()]
        if not waiting:
            return
        quarantined = await self._parts.database.read(lambda connection: in_quarantine(connection, waiting))
        for connected in self._parts.roster.connected():
            # What has gone meanwhile runs, as others do that were quicker than the quarantine.
            keys = [key for key in connected.accepted_in_wait() if key[0] in quarantined]
            if keys:
                await recall(self._parts, connected, keys, words="its job is in quarantine")

    async def _withdraw(self, run: RunId, attempt: AttemptNumber, words: str) -> bool:
        now = self._parts.clock.now()
        return await self._parts.database.write(
            lambda connection: withdraw_offer(connection, run, attempt, actor=self._parts.actor, reason=words, now=now),
            signals=[Signal(Topic.RUN, str(run))],
        )


def _asked(connection: Connection) -> list[tuple[RunId, AttemptNumber, AttemptState, WorkerId, str]]:
    return [
        (
            RunId(row.run_id),
            AttemptNumber(row.number),
            AttemptState(row.state),
            WorkerId(row.worker_id),
            stopped_by(row.stop_requested_by, row.stop_reason),
        )
        for row in _ASKED.all(connection, {})
    ]


class _Asked(NamedTuple):
    run_id: int
    number: int
    state: str
    worker_id: int
    stop_requested_by: str
    stop_reason: str | None


_ASKED = PreparedQuery(
    _Asked,
    lambda _: (
        select(
            attempts.c.run_id,
            attempts.c.number,
            attempts.c.state,
            attempts.c.worker_id,
            runs.c.stop_requested_by,
            runs.c.stop_reason,
        )
        .join(attempts, (attempts.c.run_id == runs.c.id) & (attempts.c.number == runs.c.attempt))
        .where(runs.c.ended_at.is_(None), runs.c.stop_requested_at.is_not(None), attempts.c.ended_at.is_(None))
    ),
)
