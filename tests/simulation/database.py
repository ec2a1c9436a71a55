"""The database of a simulated world: a real SQLite file behind a server that can be slow, away, or lose an answer.

The batches are those of production (`Change`, `SqliteFile.commit`); each master has one transaction under way at a
time, as its writer has. A killed master's transaction may still be committed, like one that a server has already read.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from orchestra.errors import DatabaseAway, OutcomeUnknown
from orchestra.limits import BATCH_CHANGES_MAX
from orchestra.storage.database import BatchObserver, Signal, Signals, Subscription, Topic, ignore_batch
from orchestra.storage.signals import SignalBus
from orchestra.storage.sqlite_file import SqliteFile
from orchestra.storage.transaction import Change, Waiting
from tests.simulation.loop import Life, SimulatedLoop

T = TypeVar("T")
ADDRESS = "the simulated database"


@dataclass(kw_only=True)
class DatabaseTrouble:
    """What is wrong with the server, for one client or for all."""

    is_away: bool = False
    slow_seconds: float = 0.0
    lost_outcomes: int = 0
    """So many of the next commits lose their answer; chance says whether they were done."""
    drops_signals: bool = False


class DatabaseServer:
    """The truth of one world."""

    def __init__(self, path: Path, loop: SimulatedLoop, chance: random.Random) -> None:
        self.file = SqliteFile(path=path, readers=1)
        event.listen(self.file._writing, "connect", self._tell_time)
        self.loop = loop
        self.chance = chance
        self.clients: list[SimulatedDatabase] = []
        self.outcomes_lost = 0
        self.times_away = 0

    def client(self, life: Life) -> "SimulatedDatabase":
        """A connection for one process."""
        made = SimulatedDatabase(self, life)
        self.clients = [each for each in self.clients if each.life.is_alive]
        self.clients.append(made)
        return made

    def publish(self, signals: list[Signal]) -> None:
        """Tells every process that listens, each after a while of its own."""
        for client in self.clients:
            if signals and not client.trouble.drops_signals:
                self.loop.in_life(client.life, self.delay(), client.bus.publish, signals)

    def change(self, function: Callable[[Connection], None]) -> None:
        """What the world itself changes, at once and without fail."""
        change: Change[None] = Change(function=function, future=self.loop.create_future(), signals=())
        self.file.commit([change])
        change.settle()

    def _tell_time(self, connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        """So that what the database notes by itself has a true time."""
        connection.create_function("simulated_seconds", 0, lambda: self.loop.now)

    def delay(self) -> float:
        """Of one way to the server or back."""
        return 0.0001 + self.chance.random() * 0.002


class SimulatedDatabase:
    """The Database port of one process."""

    def __init__(self, server: DatabaseServer, life: Life) -> None:
        self.life = life
        self.bus = SignalBus()
        self.trouble = DatabaseTrouble()
        self._server = server
        self._queue: list[Waiting] = []
        self._is_busy = False
        self._observe_batch: BatchObserver = ignore_batch

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """Runs the change in the next batch and returns after its commit."""
        waiting: Change[T] = Change(function=change, future=self._server.loop.create_future(), signals=signals)
        self._queue.append(waiting)
        self._begin()
        return await waiting.future

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs the query on one snapshot."""
        await asyncio.sleep(self._server.delay() + self.trouble.slow_seconds * self._server.chance.random())
        if self.trouble.is_away:
            self._server.times_away += 1
            raise DatabaseAway(ADDRESS, "the connection was refused")
        found = self._server.file.read(query)
        await asyncio.sleep(self._server.delay())
        return found

    def subscribe(self, *topics: Topic) -> Subscription:
        """Listens to what anybody commits."""
        return self.bus.subscribe(topics)

    def observe_batches(self, observer: BatchObserver) -> None:
        """Tells how many changes shared each commit."""
        self._observe_batch = observer

    async def close(self) -> None:
        """Nothing is held."""

    # --- the way of a batch ---

    def _begin(self) -> None:
        if self._queue and not self._is_busy:
            self._is_busy = True
            wait = self._server.delay() + self.trouble.slow_seconds * self._server.chance.random()
            self._server.loop.in_world(wait, self._arrive)

    def _arrive(self) -> None:
        """The server has the batch; a client that died meanwhile may have died before it was sent."""
        batch, self._queue = self._queue[:BATCH_CHANGES_MAX], self._queue[BATCH_CHANGES_MAX:]
        if not self.life.is_alive and self._server.chance.random() < 0.5:
            return
        if self.trouble.is_away:
            self._server.times_away += 1
            self._fail(batch, DatabaseAway(ADDRESS, "the connection was refused"))
        elif self.trouble.lost_outcomes:
            self.trouble.lost_outcomes -= 1
            self._server.outcomes_lost += 1
            if self._server.chance.random() < 0.5:
                self._commit(batch)
            self._fail(batch, OutcomeUnknown(ADDRESS, "the connection was lost during the commit"))
        else:
            self._commit(batch)
        self._server.loop.in_life(self.life, self._server.delay(), self._settle, batch)

    def _commit(self, batch: list[Waiting]) -> None:
        self._server.file.commit(batch)
        self._server.publish([signal for change in batch if not change.has_failed for signal in change.signals])

    @staticmethod
    def _fail(batch: list[Waiting], error: Exception) -> None:
        for change in batch:
            change.fail(error)

    def _settle(self, batch: list[Waiting]) -> None:
        self._observe_batch(len(batch))
        for change in batch:
            change.settle()
        self._is_busy = False
        self._begin()
