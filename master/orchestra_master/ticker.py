"""Schedules: each due instant gets exactly one decision, however many masters look, and whatever the clock does.

The ticker waits for the next due instant; it never asks whether a schedule "is now". A cursor moves only by a
compare-and-set inside the transaction that writes the decisions and makes the run, and only forwards.
"""

import asyncio
import logging
from dataclasses import dataclass
from functools import partial

from orchestra.clock import Clock, Instant, seconds_between
from orchestra.errors import OrchestraError
from orchestra.limits import BATCH_CHANGES_MAX, POLL_SECONDS, TICKER_SECONDS_MAX
from orchestra.storage.database import Database, Subscription, Topic
from orchestra.storage.due_schedules import DueSchedule, due_schedules, next_due_at
from orchestra_master.ticking import decide_due

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class TickerPass:
    """What one look at the schedules did."""

    decisions: int
    left: int
    """Due schedules that this ticker could not decide about: another one has them, or something is wrong."""


class Ticker:
    """Makes runs from schedules. Any number of masters may each have one on the same database."""

    def __init__(self, *, database: Database, clock: Clock, poll_seconds: float = POLL_SECONDS) -> None:
        self._database = database
        self._clock = clock
        self._poll_seconds = poll_seconds

    async def run(self) -> None:
        """Ticks until it is cancelled; an error of the database is logged and tried again after a while."""
        subscription = self._database.subscribe(Topic.DUE)
        try:
            while True:
                due_at, seconds = None, TICKER_SECONDS_MAX
                try:
                    done = await self.tick_once()
                    if not done.left:
                        due_at, seconds = await self._database.read(next_due_at), self._poll_seconds
                except OrchestraError as error:
                    logger.warning("schedules_not_decided cause=%s", error)
                await self._wait(subscription, due_at, seconds)
        finally:
            subscription.close()

    async def tick_once(self) -> TickerPass:
        """Decides about every instant that is due now."""
        decisions = 0
        while True:
            now = self._clock.now()
            dues = await self._database.read(partial(due_schedules, now=now, limit=BATCH_CHANGES_MAX))
            # In parallel, so that they share a commit.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._decide(due, now), name=f"tick of schedule {due.id}") for due in dues]
            made = sum(task.result() for task in tasks)
            decisions += made
            # No decision although there are dues: another master has them, or they cannot be decided. No hot loop then.
            if not dues or not made:
                return TickerPass(decisions=decisions, left=len(dues))

    async def _decide(self, due: DueSchedule, now: Instant) -> int:
        try:
            return await self._database.write(lambda connection: decide_due(connection, due, now))
        except OrchestraError as error:
            # One schedule that cannot be decided must not keep the others waiting.
            logger.warning("schedule_not_decided schedule=%d cause=%s", due.id, error)
            return 0
        except Exception:
            logger.exception("schedule_not_decided schedule=%d", due.id)
            return 0

    async def _wait(self, subscription: Subscription, due_at: Instant | None, seconds_max: float) -> None:
        """Returns when the instant has come, when schedules have changed, or after so many seconds."""
        begin = self._clock.monotonic()
        while (left := begin + seconds_max - self._clock.monotonic()) > 0:
            seconds = left
            if due_at is not None:
                # A difference of wall clocks is never waited out whole: the clock may jump meanwhile.
                seconds = min(left, seconds_between(self._clock.now(), due_at), TICKER_SECONDS_MAX)
            if seconds <= 0 or await subscription.wait(seconds):
                return
