"""PostgreSQL as the database of any number of processes: one writing task with group commit, a pool for reading."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from orchestra.errors import DatabaseAway
from orchestra.limits import (
    BATCH_CHANGES_MAX,
    DATABASE_ANSWER_SECONDS_MAX,
    DATABASE_CONNECT_SECONDS_MAX,
    DATABASE_LOCK_SECONDS_MAX,
    POSTGRES_READERS,
)
from orchestra.storage.database import BatchObserver, Signals, Subscription, Topic, ignore_batch
from orchestra.storage.notifications import Listener
from orchestra.storage.postgres_errors import away_from, is_lost, shown
from orchestra.storage.postgres_writer import PostgresWriter
from orchestra.storage.signals import SignalBus
from orchestra.storage.transaction import Change, Waiting

T = TypeVar("T")

_LINK_SECONDS = 5.0
"""How much longer the client waits than the server works: then it is the link that does not answer."""


class Postgres:
    """The Database port over one PostgreSQL database. Made inside the running loop that will use it.

    `name` tells this process's signals from others'. Without `notify` it sends none to others, and hears theirs.
    """

    def __init__(self, *, address: URL, name: str, notify: bool = True, readers: int = POSTGRES_READERS) -> None:
        self._observe_batch: BatchObserver = ignore_batch
        self._address = address
        self._bus = SignalBus()
        self._single = _engine(address, {"application_name": f"orchestra {name}"})
        self._reading = _engine(
            address,
            {"application_name": f"orchestra {name} reader", "default_transaction_read_only": "on"},
            connections=readers,
        )
        self._writer = PostgresWriter(engine=self._single, address=address, name=name, notify=notify)
        self._listener = Listener(engine=self._single, name=name, bus=self._bus)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Waiting] = deque()
        self._queued = asyncio.Event()
        self._is_closed = False
        self._writing = self._loop.create_task(self._write_batches(), name=f"postgres-writer {name}")
        self._listening: asyncio.Task[None] | None = None

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """Runs the change in the next batch and returns after its commit."""
        self._refuse_if_closed()
        waiting: Change[T] = Change(function=change, future=self._loop.create_future(), signals=signals)
        self._queue.append(waiting)
        self._queued.set()
        return await waiting.future

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs the query on one snapshot; a connection that has died in the pool is replaced once."""
        self._refuse_if_closed()
        try:
            try:
                return await self._read_once(query)
            except Exception as error:
                if not is_lost(error):
                    raise
                return await self._read_once(query)
        except Exception as error:
            if away := away_from(self._address, error):
                raise away from error
            raise

    def subscribe(self, *topics: Topic) -> Subscription:
        """Listens to what this process commits, and to the others from as soon as the connection for it is there."""
        if self._listening is None:
            self._listening = self._loop.create_task(self._listener.run(), name="postgres-listener")
        return self._bus.subscribe(topics)

    def observe_batches(self, observer: BatchObserver) -> None:
        """Tells how many changes shared each commit."""
        self._observe_batch = observer

    async def close(self) -> None:
        """Commits what was queued, ends the tasks, lets the connections go."""
        self._is_closed = True
        self._queued.set()
        await asyncio.shield(self._writing)
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        await self._writer.close()
        await self._single.dispose()
        await self._reading.dispose()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise DatabaseAway(shown(self._address), "it was closed")

    async def _read_once(self, query: Callable[[Connection], T]) -> T:
        async with self._reading.connect() as connection:
            value: T = await connection.run_sync(query)
            return value

    async def _write_batches(self) -> None:
        """The writing task, until `close`."""
        while self._queue or not self._is_closed:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_CHANGES_MAX))]
                try:
                    await self._writer.commit(batch)
                except BaseException as error:
                    # Our own mistake, or the loop ends; a caller that never hears of it would be worse.
                    for change in (*batch, *self._queue):
                        change.fail(error)
                        change.settle()
                    self._queue.clear()
                    if not isinstance(error, Exception):
                        raise
                self._settle(batch)

    def _settle(self, batch: Sequence[Waiting]) -> None:
        self._observe_batch(len(batch))
        for change in batch:
            change.settle()
        self._bus.publish(signal for change in batch if not change.has_failed for signal in change.signals)


def _engine(address: URL, settings: Mapping[str, str], *, connections: int | None = None) -> AsyncEngine:
    """Readers in a pool, each on one snapshot per query; without a number, each connection is its owner's."""
    arguments: dict[str, object] = {
        "timeout": DATABASE_CONNECT_SECONDS_MAX,
        "command_timeout": DATABASE_ANSWER_SECONDS_MAX + _LINK_SECONDS,
        "server_settings": {
            "statement_timeout": str(round(DATABASE_ANSWER_SECONDS_MAX * 1000)),
            "lock_timeout": str(round(DATABASE_LOCK_SECONDS_MAX * 1000)),
            "idle_in_transaction_session_timeout": str(round(DATABASE_ANSWER_SECONDS_MAX * 1000)),
            **settings,
        },
    }
    if connections is None:
        return create_async_engine(address, poolclass=NullPool, connect_args=arguments)
    return create_async_engine(
        address,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=DATABASE_ANSWER_SECONDS_MAX,
        isolation_level="REPEATABLE READ",
        connect_args=arguments,
    )
