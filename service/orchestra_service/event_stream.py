"""What happens, as server-sent events: each event of a run once and in order, also over an interruption."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from sqlalchemy import Connection

from orchestra.clock import Clock
from orchestra.errors import NotAllowed, NotFound, NotSignedIn, StorageError
from orchestra.limits import POLL_SECONDS, STREAM_PING_SECONDS
from orchestra.policy import Permission, Principal
from orchestra.queries.events import WORKER_CHANGED, EventFilter, events_behind
from orchestra.queries.fleet import WorkerView, show_worker
from orchestra.storage.database import Database
from orchestra.web.errors import CrossSite
from orchestra.web.event_tail import EventTail
from orchestra.web.server_events import BYE, RETRY, server_event

_log = logging.getLogger("orchestra.service")


class EventStream:
    """Follows what happens for one listener, who takes one batch after the other: a slow one only delays itself."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        tail: EventTail,
        readmit: Callable[[], Awaitable[Principal]],
        wanted: EventFilter,
        behind: int,
    ) -> None:
        self._database = database
        self._clock = clock
        self._tail = tail
        self._readmit = readmit
        self._wanted = wanted
        self._behind = behind

    async def events(self) -> AsyncIterator[bytes]:
        """The stream, until the process ends or the listener may not read any more."""
        yield RETRY
        try:
            async for piece in self._follow():
                yield piece
        except (NotSignedIn, NotAllowed, CrossSite, StorageError) as error:
            # The status code is long sent; whoever comes back is told by the next one.
            _log.debug("stream_ended: %s", error)
        yield BYE

    async def _follow(self) -> AsyncIterator[bytes]:
        with self._tail.watch() as follower:
            told_at = self._clock.monotonic()
            while not self._tail.is_closing:
                follower.changed.clear()
                # A stream may last for days: a disabled user or a revoked token ends it.
                who = await self._readmit()
                who.require(Permission.READ)
                names, follower.workers = follower.workers, set()
                async for piece in self._grown(who, names if self._wanted.workers else set()):
                    yield piece
                    told_at = self._clock.monotonic()
                if self._clock.monotonic() - told_at >= STREAM_PING_SECONDS:
                    # The number says how far everything was looked through, for those who wait for rare events.
                    yield f": still here\nid: {self._behind}\n\n".encode()
                    told_at = self._clock.monotonic()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(follower.changed.wait(), POLL_SECONDS)

    async def _grown(self, who: Principal, names: set[str]) -> AsyncIterator[bytes]:
        while self._behind < self._tail.settled_to:
            look = partial(
                events_behind,
                who=who,
                wanted=self._wanted,
                behind=self._behind,
                settled_to=self._tail.settled_to,
            )
            found, self._behind = await self._database.read(look)
            if found:
                yield b"".join(server_event(each.type, each, place=str(each.id)) for each in found)
        for name in sorted(name for name in names if name):
            worker = await self._database.read(partial(self._worker, who=who, name=name))
            if worker is not None:
                yield server_event(WORKER_CHANGED, worker)

    def _worker(self, connection: Connection, *, who: Principal, name: str) -> WorkerView | None:
        try:
            return show_worker(connection, who, name, now=self._clock.now())
        except NotFound:
            return None
