"""SQLite as the database of one process: one writing thread with group commit, a few reading connections."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

from sqlalchemy import Connection

from orchestra.errors import DatabaseAway
from orchestra.limits import BATCH_CHANGES_MAX, SQLITE_READERS
from orchestra.storage.database import BatchObserver, Signals, Subscription, Topic, ignore_batch
from orchestra.storage.signals import SignalBus
from orchestra.storage.sqlite_file import SqliteFile
from orchestra.storage.transaction import Change, Waiting

T = TypeVar("T")


class Sqlite:
    """The Database port over one SQLite file. Made inside the loop that will use it; only one process may have it.

    Changes that gather while a commit is under way share the next one, which makes full durability cheap.
    """

    def __init__(self, *, path: Path, readers: int = SQLITE_READERS) -> None:
        self._observe_batch: BatchObserver = ignore_batch
        self._file = SqliteFile(path=path, readers=readers)
        self._bus = SignalBus()
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._is_closed = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._readers = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="sqlite-reader")
        # A daemon, so that a program that forgets to close can still end: to SQLite that is like a power cut.
        self._writer = threading.Thread(target=self._write_batches, name="sqlite-writer", daemon=True)
        self._writer.start()

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """Runs the change in the next batch and returns after its commit."""
        self._refuse_if_closed()
        waiting: Change[T] = Change(function=change, future=self._loop.create_future(), signals=signals)
        self._queue.put(waiting)
        return await waiting.future

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Runs the query in a reading thread, on one snapshot."""
        self._refuse_if_closed()
        return await self._loop.run_in_executor(self._readers, self._file.read, query)

    def subscribe(self, *topics: Topic) -> Subscription:
        """Listens to what this process commits, which is all there is."""
        return self._bus.subscribe(topics)

    def observe_batches(self, observer: BatchObserver) -> None:
        """Tells how many changes shared each commit."""
        self._observe_batch = observer

    async def close(self) -> None:
        """Commits what was queued, ends the threads, empties the write-ahead log."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._writer.join()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise DatabaseAway(self._file.address, "it was closed")

    def _write_batches(self) -> None:
        """The writing thread, until `close`."""
        is_open = True
        while is_open:
            batch, is_open = self._drain()
            try:
                self._file.commit(batch)
            except BaseException as error:  # noqa: BLE001 — a dead writer would leave every later caller waiting for ever
                for change in batch:
                    change.fail(error)
            if self._file.is_kept_out:
                batch = [*batch, *self._turn_away()]
            self._tell(self._settle, batch)
            if self._queue.empty():
                self._file.tidy()
        # Readers first: whoever closes last checkpoints, and that must be the writer.
        self._readers.shutdown(wait=True)
        self._file.close()
        self._tell(self._finish, ())

    def _drain(self) -> tuple[Sequence[Waiting], bool]:
        """Waits for one change, takes what has gathered with it; False with the last batch before the end."""
        batch: list[Waiting] = []
        with contextlib.suppress(Empty):
            while len(batch) < BATCH_CHANGES_MAX:
                change = self._queue.get(block=not batch)
                if change is None:
                    return batch, False
                batch.append(change)
        return batch, True

    def _turn_away(self) -> Sequence[Waiting]:
        """Who came while a batch waited in vain for a locked file has waited as well: one more full wait would be too
        long for those who ask."""
        turned: list[Waiting] = []
        with contextlib.suppress(Empty):
            while (change := self._queue.get(block=False)) is not None:
                change.fail(DatabaseAway(self._file.address, "another program has locked it"))
                turned.append(change)
            self._queue.put(None)
        return turned

    def _tell(self, function: Callable[[Sequence[Waiting]], None], batch: Sequence[Waiting]) -> None:
        # The loop may have ended without closing us; then nobody waits for the answer.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, batch)

    def _settle(self, batch: Sequence[Waiting]) -> None:
        if batch:
            self._observe_batch(len(batch))
        for change in batch:
            change.settle()
        self._bus.publish(signal for change in batch if not change.has_failed for signal in change.signals)

    def _finish(self, _: Sequence[Waiting]) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
