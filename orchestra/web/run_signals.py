"""Wakes the streams: one listener for the whole service, however many watch."""

import asyncio
import contextlib
from collections.abc import Iterator

from orchestra.identifiers import RunId
from orchestra.limits import ALONE_POLL_SECONDS
from orchestra.storage.database import Database, Topic


class RunSignals:
    """Hands the database's hints about runs to the streams that watch these runs.

    Its owner runs `follow_database` and `follow_closing` for as long as it serves.
    """

    def __init__(self, *, database: Database, closing: asyncio.Event) -> None:
        self._database = database
        self._closing = closing
        self._watchers: dict[str, set[asyncio.Event]] = {}

    @property
    def is_closing(self) -> bool:
        """Whether streams shall end because the service does."""
        return self._closing.is_set()

    @contextlib.contextmanager
    def watch(self, run: RunId) -> Iterator[asyncio.Event]:
        """An event that is set whenever something of the run may have changed, or the service ends."""
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
        subscription = self._database.subscribe(Topic.RUN)
        try:
            while True:
                for signal in await subscription.wait(ALONE_POLL_SECONDS):
                    # A signal without a payload says that something may have been missed.
                    self._wake(signal.payload) if signal.payload else self._wake_all()
        finally:
            subscription.close()

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
