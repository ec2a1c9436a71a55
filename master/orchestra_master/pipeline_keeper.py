"""Begins pipelines, answers approvals that nobody answered in time, and ends pipelines that take too long.

What is decided when a run ends is decided in the transaction that ends it. This duty looks at all that run when it
begins, and again at every poll, so that a decision that was missed all the same is only late.
"""

from contextlib import suppress
from functools import partial

from sqlalchemy import Connection

from orchestra.clock import Instant, seconds_between
from orchestra.errors import Conflict
from orchestra.identifiers import RunId
from orchestra.limits import BATCH_CHANGES_MAX
from orchestra.storage.approvals import answer_in_time, approvals_due, next_approval_due
from orchestra.storage.database import Topic
from orchestra.storage.pending import open_pipelines
from orchestra.storage.pipelines import TIMED_OUT, begin_pipeline, is_undecided, resolve_pipeline
from orchestra.storage.runs import follow_ends, request_stop
from orchestra_master.parts import MasterParts


class PipelineKeeper:
    """Any number of masters may have one: what one of them has done, the others find done."""

    name = "pipelines"
    topics: tuple[Topic, ...] = (Topic.PIPELINES,)

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts
        self._looked_at: float | None = None

    async def run_once(self) -> float:
        """Does what is due."""
        database, now = self._parts.database, self._parts.clock.now()
        found = await database.read(open_pipelines)
        for run in found.pending[:BATCH_CHANGES_MAX]:
            await database.write(partial(self._begin, run=run, now=now))
        for run in [each for each, expires_at in found.running.items() if expires_at is not None and expires_at <= now]:
            await database.write(partial(_time_out, run=run, now=now))
        for run, element in await database.read(partial(approvals_due, now=now)):
            await database.write(partial(answer_in_time, run=run, element=element, now=now))
        await self._look_again(list(found.running), now)
        if len(found.pending) > BATCH_CHANGES_MAX:
            return 0.0
        poll_seconds = self._parts.poll_seconds
        moments = [moment for moment in found.running.values() if moment is not None]
        approval = await database.read(next_approval_due)
        moment = min([*moments, *([] if approval is None else [approval])], default=None)
        return poll_seconds if moment is None else min(poll_seconds, max(0.0, seconds_between(now, moment)))

    def _begin(self, connection: Connection, *, run: RunId, now: Instant) -> None:
        follow_ends(connection, begin_pipeline(connection, run, actor=self._parts.actor, now=now), now=now)

    async def _look_again(self, running: list[RunId], now: Instant) -> None:
        """At first, and once in each poll's time: signals come far more often."""
        moment = self._parts.clock.monotonic()
        if self._looked_at is not None and moment - self._looked_at < self._parts.poll_seconds:
            return
        self._looked_at = moment
        for run in running:
            if await self._parts.database.read(partial(is_undecided, run=run)):
                await self._parts.database.write(partial(_resolve, run=run, now=now))


def _resolve(connection: Connection, *, run: RunId, now: Instant) -> None:
    follow_ends(connection, resolve_pipeline(connection, run, now=now), now=now)


def _time_out(connection: Connection, *, run: RunId, now: Instant) -> None:
    # Its last run, or another master, may have ended it since it was looked for.
    with suppress(Conflict):
        request_stop(connection, run, by=TIMED_OUT, reason="it has taken longer than its timeout", now=now)
