"""A master that cannot reach its database is of no use to its workers: it sends them to another one."""

import asyncio
import logging

from sqlalchemy import Connection, false, update

from orchestra.errors import StorageError
from orchestra.limits import ALONE_SECONDS_MAX, BYE_SECONDS, DATABASE_SIGN_SECONDS_MAX, POLL_SECONDS
from orchestra.protocol.messages import Bye
from orchestra.storage.database import Topic
from orchestra.storage.tables import workers
from orchestra_master.parts import MasterParts

logger = logging.getLogger(__name__)


class DatabaseWatch:
    """For a master that has others beside it. A link with news breaks by itself when they cannot be stored; an idle one
    would stay up, and hold a worker that others have work for."""

    name = "database watch"
    topics: tuple[Topic, ...] = ()

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts
        self._answered_at = parts.clock.monotonic()

    async def run_once(self) -> float:
        """Asks for a sign of life; after too long without one, says bye to every worker that is still here."""
        try:
            async with asyncio.timeout(DATABASE_SIGN_SECONDS_MAX):
                await self._parts.database.write(_change_nothing)
        except (StorageError, TimeoutError) as error:
            alone_seconds = self._parts.clock.monotonic() - self._answered_at
            connected = self._parts.roster.connected()
            if alone_seconds >= ALONE_SECONDS_MAX and connected:
                reason = "the master cannot reach its database"
                cause = str(error) or type(error).__name__
                logger.error("workers_sent_away count=%d alone=%.0f cause=%s", len(connected), alone_seconds, cause)
                for each in connected:
                    each.send(Bye(retry_after_seconds=BYE_SECONDS, reason=reason))
        else:
            self._answered_at = self._parts.clock.monotonic()
        return POLL_SECONDS


def _change_nothing(connection: Connection) -> None:
    # A statement that writes, though no row: a standby answers every question, and refuses this.
    connection.execute(update(workers).where(false()).values(load=None))
