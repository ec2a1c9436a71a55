"""A database that is away, slow, or overtaken by another program at the worst moment, when the test says so."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.util import await_only

from orchestra.errors import DatabaseAway, OutcomeUnknown
from orchestra.storage.database import BatchObserver, Database, Signals, Subscription, Topic

T = TypeVar("T")


class Held:
    """A write that waits before it is given to the database, or whose answer waits after the commit."""

    def __init__(self, *, after_commit: bool) -> None:
        self.after_commit = after_commit
        self.has_come = asyncio.Event()
        self.may_go = asyncio.Event()

    async def wait(self) -> None:
        """Until the test lets it go."""
        self.has_come.set()
        await self.may_go.wait()


class FaultyDatabase:
    """Passes everything to the real one, with the next writes troubled in the order in which it was asked for."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self._troubles: deque[Held | type[DatabaseAway] | type[OutcomeUnknown]] = deque()
        self._overtaking: tuple[str, Callable[[], Awaitable[object]]] | None = None
        self.writes = 0

    def hold_next_write(self, *, after_commit: bool = False) -> Held:
        """The next write, or its answer, waits until the test lets it go."""
        held = Held(after_commit=after_commit)
        self._troubles.append(held)
        return held

    def forget_troubles(self) -> None:
        """What has not happened yet will not."""
        self._troubles.clear()

    def be_away(self, writes: int = 1) -> None:
        """So many writes find nobody there."""
        self._troubles.extend([DatabaseAway] * writes)

    def lose_answer(self) -> None:
        """The next write is committed, but nobody can tell."""
        self._troubles.append(OutcomeUnknown)

    def overtake(self, statement: str, other: Callable[[], Awaitable[object]]) -> None:
        """Just before the first statement that begins so, inside of the next write, the other program does this."""
        self._overtaking = (statement, other)

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """Writes, or has trouble."""
        self.writes += 1
        trouble = self._troubles.popleft() if self._troubles else None
        if isinstance(trouble, Held) and not trouble.after_commit:
            await trouble.wait()
        if trouble is DatabaseAway:
            raise DatabaseAway("the test's", "it was asked to be away")
        value = await self._real.write(self._overtaken(change), signals=signals)
        if isinstance(trouble, Held) and trouble.after_commit:
            await trouble.wait()
        if trouble is OutcomeUnknown:
            raise OutcomeUnknown
        return value

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Reads."""
        return await self._real.read(query)

    def subscribe(self, *topics: Topic) -> Subscription:
        """Listens."""
        return self._real.subscribe(*topics)

    def observe_batches(self, observer: BatchObserver) -> None:
        """Observes."""
        self._real.observe_batches(observer)

    async def close(self) -> None:
        """Closes the real one."""
        await self._real.close()

    def _overtaken(self, change: Callable[[Connection], T]) -> Callable[[Connection], T]:
        if self._overtaking is None:
            return change
        (statement, other), self._overtaking = self._overtaking, None

        def overtaken(connection: Connection) -> T:
            waiting = [other]

            def before(_connection: object, _cursor: object, text: str, *_: object) -> None:
                if waiting and text.startswith(statement):
                    await_only(waiting.pop()())

            event.listen(connection, "before_cursor_execute", before)
            try:
                return change(connection)
            finally:
                event.remove(connection, "before_cursor_execute", before)

        return overtaken
