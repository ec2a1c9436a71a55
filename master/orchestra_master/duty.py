"""A duty is one small service of the master: it is done once at a time, woken by signals, with a slow poll as safety
net."""

import asyncio
import logging
from typing import Protocol

from orchestra.errors import StorageError
from orchestra.limits import POLL_SECONDS
from orchestra.storage.database import Database, Topic

logger = logging.getLogger(__name__)


class Duty(Protocol):
    """What is done again and again; each time all that is to be done at that moment."""

    name: str
    topics: tuple[Topic, ...]
    """The signals that make it worth looking again."""

    async def run_once(self) -> float:
        """Does what is to be done, and says after how many seconds there may be more."""


async def keep_doing(duty: Duty, database: Database) -> None:
    """Does the duty for ever; a database that is away is waited for."""
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
                await asyncio.sleep(max(0.0, pause))
    finally:
        subscription.close()
