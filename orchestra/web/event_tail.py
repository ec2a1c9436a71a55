"""The newest of the history of runs: one look for the whole process, however many follow it."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from orchestra.clock import Clock
from orchestra.errors import StorageError
from orchestra.limits import (
    EVENT_GAP_SECONDS,
    EVENT_PAUSE_SECONDS,
    EVENT_PAUSE_SECONDS_MAX,
    EVENTS_OF_A_BUSY_LOOK,
    POLL_SECONDS,
)
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.history import SettledMark, look_at_history

_log = logging.getLogger("orchestra.web")
_TOPICS = (Topic.RUN, Topic.PENDING, Topic.STOPS, Topic.DUE, Topic.WORKERS)


class Follower:
    """One who follows: woken when there is something new."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.workers: set[str] = set()
        """The names of workers that have changed, to be emptied by who reads them; "" is any."""


class EventTail:
    """Looks at the history when something is signalled, and only while somebody follows.

    Its owner runs `follow` and `follow_closing` for as long as it serves.
    """

    def __init__(self, *, database: Database, clock: Clock, closing: asyncio.Event) -> None:
        self._database = database
        self._clock = clock
        self._closing = closing
        self._mark = SettledMark()
        self._looking = asyncio.Lock()
        self._followers: set[Follower] = set()
        self._has_followers = asyncio.Event()

    @property
    def settled_to(self) -> int:
        """The number up to which events may be read: none of them can still be missing."""
        return self._mark.settled_to

    @property
    def is_closing(self) -> bool:
        """Whether streams shall end because the process does."""
        return self._closing.is_set()

    @contextlib.contextmanager
    def watch(self) -> Iterator[Follower]:
        """Follows; woken for the first time as soon as somebody has looked."""
        follower = Follower()
        self._followers.add(follower)
        self._has_followers.set()
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            if not self._followers:
                self._has_followers.clear()

    async def look_once(self) -> None:
        """Moves the mark as far as it goes; raises StorageError."""
        # One after the other: an older look that came later would take writers for ended that had not begun.
        async with self._looking:
            look = await self._database.read(lambda connection: look_at_history(connection, self._mark.settled_to))
            self._mark.take(look, self._clock.monotonic())

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            await self._has_followers.wait()
            subscription = self._database.subscribe(*_TOPICS)
            try:
                while self._has_followers.is_set():
                    before = self._mark.settled_to
                    try:
                        await self.look_once()
                    except StorageError as error:
                        _log.warning("events_not_read: %s", error)
                    self._wake()
                    patience = EVENT_GAP_SECONDS if self._mark.is_waiting else POLL_SECONDS
                    self._note_workers(await subscription.wait(patience))
                    # What happens within this pause is read at once: a busy instance is not looked at for each event.
                    is_busy = self._mark.settled_to - before > EVENTS_OF_A_BUSY_LOOK
                    await asyncio.sleep(EVENT_PAUSE_SECONDS_MAX if is_busy else EVENT_PAUSE_SECONDS)
            finally:
                subscription.close()

    async def follow_closing(self) -> None:
        """Ends with the process."""
        await self._closing.wait()
        self._wake()

    def _note_workers(self, signals: frozenset[Signal]) -> None:
        names = {signal.payload for signal in signals if signal.topic is Topic.WORKERS}
        for follower in self._followers:
            follower.workers |= names

    def _wake(self) -> None:
        for follower in self._followers:
            follower.changed.set()
