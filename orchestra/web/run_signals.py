"""Wakes the streams: one listener for the whole service, however many watch."""

import asyncio
import contextlib
from collections.abc import Iterator

from orchestra.identifiers import RunId
from orchestra.limits import POLL_SECONDS
from orchestra.storage.database import Database, Subscription, Topic


class RunSignals:
    """Hands the database's hints about runs to the streams that watch these runs.

    It listens only while somebody watches. Its owner runs `follow_database` and `follow_closing` for as long as it
    serves.
    """

    def __init__(self, *, database: Database, closing: asyncio.Event) -> None:
        self._database = database
        self._closing = closing
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._subscription: Subscription | None = None
        self._has_watchers = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        """Whether streams shall end because the service does."""
        return self._closing.is_set()

    @contextlib.contextmanager
    def watch(self, run: RunId) -> Iterator[asyncio.Event]:
        """An event that is set whenever something of the run may have changed, or the service ends."""
        if self._subscription is None:
            # Not by the task that follows: what is signalled before that comes to it must not be missed.
            self._subscription = self._database.subscribe(Topic.RUN)
            self._has_watchers.set()
        watchers = self._watchers.setdefault(str(run), set())
        changed = asyncio.Event()
        watchers.add(changed)
        try:
            yield changed
        finally:
            watchers.discard(changed)
            if not watchers:
                self._watchers.pop(str(run), None)

    async def follow_database(self) -> None:
        """Until cancelled."""
        while True:
            await self._has_watchers.wait()
            if self._subscription is not None:
                for signal in await self._subscription.wait(POLL_SECONDS):
                    # A signal without a payload says that something may have been missed.
                    self._wake(signal.payload) if signal.payload else self._wake_all()
            self._close_if_unwatched()

    def _close_if_unwatched(self) -> None:
        """Not when the last watcher leaves: the next one often comes at once."""
        if self._subscription is not None and not self._watchers:
            self._subscription.close()
            self._subscription = None
            self._has_watchers.clear()

    async def follow_closing(self) -> None:
        """Ends with the service."""
        await self._closing.wait()
        self._wake_all()

    def _wake(self, run: str) -> None:
        for changed in self._watchers.get(run, ()):
            changed.set()

    def _wake_all(self) -> None:
        for run in self._watchers:
            self._wake(run)
