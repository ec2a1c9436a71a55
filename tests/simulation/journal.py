"""The worker's journal on a simulated disk: the production transactions one batch after the other, on a disk that can
be slow or full."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from orchestra_worker.journal import Journal
from tests.simulation.loop import SimulatedLoop
from tests.simulation.machine import Disk

T = TypeVar("T")


class SimulatedJournal(Journal):
    """Whoever waits is served together; the agent can die before the commit, and between the commit and the answer."""

    def __init__(self, *, inner: Journal, disk: Disk, loop: SimulatedLoop) -> None:
        self._inner = inner
        self._disk = disk
        self._loop = loop
        self._waiting: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._is_busy = False

    async def write(self, function: Callable[[sqlite3.Connection], T], *, scrub: bool = False) -> T:
        """Runs the function in a transaction of its own; what it returns is durable."""
        done: asyncio.Future[T] = self._loop.create_future()
        outcome: list[T | Exception] = []

        def commit() -> None:
            try:
                if self._disk.is_full:
                    self._disk.refusals += 1
                    raise sqlite3.OperationalError("database or disk is full")
                outcome.append(_finished(self._inner, function, scrub))
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                outcome.append(error)

        def answer() -> None:
            if done.done():
                return
            if isinstance(outcome[0], Exception):
                done.set_exception(outcome[0])
            else:
                done.set_result(outcome[0])

        self._waiting.append((commit, answer))
        self._begin()
        return await done

    def close(self) -> None:
        """Closes the file."""
        self._inner.close()

    def _begin(self) -> None:
        if self._waiting and not self._is_busy:
            self._is_busy = True
            self._loop.call_later(self._disk.delay(), self._commit)

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        for commit, _ in batch:
            commit()
        self._loop.call_later(self._disk.delay(), self._tell_all, [answer for _, answer in batch])

    def _tell_all(self, answers: list[Callable[[], None]]) -> None:
        for answer in answers:
            answer()
        self._is_busy = False
        self._begin()


def _finished(journal: Journal, function: Callable[[sqlite3.Connection], T], scrub: bool) -> T:
    """What the production journal returns; without its thread it never waits."""
    writing = journal.write(function, scrub=scrub)
    try:
        writing.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("the journal waited for something")
