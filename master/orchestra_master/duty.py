"""A duty is one small service of the master: it is done once at a time, woken by signals, with a slow poll as safety
net."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestra.clock import Clock
from orchestra.errors import StorageError
from orchestra.limits import PART_RESTART_SECONDS_MAX, PART_RESTART_SECONDS_MIN, POLL_SECONDS
from orchestra.storage.database import Database, Topic

logger = logging.getLogger(__name__)


class Duty(Protocol):
    """What is done again and again; each time all that is to be done at that moment."""

    name: str
    topics: tuple[Topic, ...]
    """The signals that make it worth looking again."""

    async def run_once(self) -> float:
        """Does what is to be done, and says after how many seconds there may be more."""


Rest = Callable[[float], Awaitable[object]]
"""Waits for so many seconds, or until there is something to do."""


async def keep_doing(duty: Duty, database: Database, *, rest: Rest = asyncio.sleep) -> None:
    """Does the duty for ever; a database that is away is waited for. Without topics, it rests in between."""
    subscription = database.subscribe(*duty.topics)
    try:
        while True:
            try:
                pause = await duty.run_once()
            except StorageError as error:
                logger.warning("duty_postponed duty=%s error=%s", duty.name, error)
                pause = POLL_SECONDS
            if duty.topics:
                await subscription.wait(max(0.0, pause))
            else:
                await rest(max(0.0, pause))
    finally:
        subscription.close()


class Restarts:
    """How long what has broken waits before it begins anew: longer each time, and short again after it went well."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._begun_at = clock.monotonic()
        self._wait_seconds = 0.0

    def begin(self) -> None:
        """It begins now."""
        self._begun_at = self._clock.monotonic()

    def wait_seconds(self) -> float:
        """It has just broken: the wait."""
        went_well = self._clock.monotonic() - self._begun_at >= PART_RESTART_SECONDS_MAX
        doubled = min(2 * self._wait_seconds, PART_RESTART_SECONDS_MAX)
        self._wait_seconds = PART_RESTART_SECONDS_MIN if went_well else max(PART_RESTART_SECONDS_MIN, doubled)
        return self._wait_seconds


async def keep_running(part: str, run: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Runs a part of the master until it ends by itself or is cancelled. An error that it does not know is logged with
    its place in the code and costs this part a while, not the whole master, which would meet it again after a restart.
    """
    restarts = Restarts(clock=clock)
    while True:
        restarts.begin()
        try:
            return await run()
        except Exception:
            wait_seconds = restarts.wait_seconds()
            logger.exception("part_broke part=%s begins_anew_in=%.1f", part, wait_seconds)
            await asyncio.sleep(wait_seconds)
