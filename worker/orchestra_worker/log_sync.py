"""Puts logs that grew on the disk about once a second, so that the host's power failure costs at most that much
output."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from orchestra.limits import LOG_SYNC_SECONDS

log = logging.getLogger(__name__)

OffTheLoop = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a function that blocks where it delays nobody: `asyncio.to_thread`."""


class LogSyncs:
    """Knows which logs may have grown since they were last synced; costs nothing while none does."""

    def __init__(self, *, off_the_loop: OffTheLoop) -> None:
        self._off_the_loop = off_the_loop
        self._grown: set[Path] = set()
        self._grew = asyncio.Event()

    def note(self, path: Path) -> None:
        """This log may have grown."""
        self._grown.add(path)
        self._grew.set()

    def drop(self, path: Path) -> None:
        """This log is not wanted any more."""
        self._grown.discard(path)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._grew.wait()
            # What grows meanwhile is synced together: short runs are forgotten by then, and cost nothing.
            await asyncio.sleep(LOG_SYNC_SECONDS)
            await self.sync_once()

    async def sync_once(self) -> None:
        """Syncs every log that grew since the last time."""
        self._grew.clear()
        grown, self._grown = self._grown, set()
        try:
            await self._off_the_loop(lambda: _sync_all(grown))
        except RuntimeError as error:
            # The machine has no thread to give: the agent and its runs go on, and it is tried again.
            log.error("logs_not_synced: %s", error)
            self._grown |= grown
            self._grew.set()


def _sync_all(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            _sync(path)
        except FileNotFoundError:
            continue  # Forgotten by now, or without output.
        except OSError as error:
            log.error("log_not_synced path=%s: %s", path, error)


def _sync(path: Path) -> None:
    # A descriptor of our own: those of the loop may be closed at any moment.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
