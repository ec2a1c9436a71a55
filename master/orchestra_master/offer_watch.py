"""Takes back offers that were not accepted in time (a dead link, a worker that hangs, a master that died), and those
that found no free slot."""

import asyncio
import contextlib
from typing import NamedTuple

from sqlalchemy import Connection, select

from orchestra.clock import Instant, after
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState
from orchestra.limits import OFFER_SECONDS_MAX, PREFETCHED_SECONDS_MAX, REFUSED_OFFER_SECONDS
from orchestra.protocol.window import AttemptKey
from orchestra.storage.attempts import is_open, withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.prepared import PreparedQuery
from orchestra.storage.tables import attempts
from orchestra_master.duty import keep_doing
from orchestra_master.parts import MasterParts
from orchestra_master.recalling import recall

LEFT_BEHIND_SECONDS = OFFER_SECONDS_MAX + 2.0
SWEEP_SECONDS = 2.0
"""While there are offers of whichever master."""


class OfferWatch:
    """Nothing runs before an acceptance is committed, so that an offer can be taken back without any risk."""

    name = "offer watch"
    topics: tuple[Topic, ...] = ()

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts
        self._sweep_at: float | None = None

    async def run(self) -> None:
        """Watches for ever; while nothing is offered, it only looks for what others have left behind."""
        await keep_doing(self, self._parts.database, rest=self._rest)

    async def _rest(self, seconds: float) -> None:
        if any(connected.offers or connected.prefetched for connected in self._parts.roster.connected()):
            await asyncio.sleep(seconds)
            return
        offered = self._parts.roster.offered
        offered.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await offered.wait()

    async def run_once(self) -> float:
        """Withdraws what is overdue on the own links; now and then also what other masters have left behind."""
        now = self._parts.clock.monotonic()
        overdue = [
            (connected, key)
            for connected in self._parts.roster.connected()
            for key, deadline in connected.offers.items()
            if deadline <= now
        ]
        if overdue:
            going_on = await self._withdraw([key for _, key in overdue])
            for connected, key in overdue:
                if key in going_on:
                    # Its acceptance was committed in the same moment: it keeps its slots.
                    connected.offers.pop(key, None)
                    continue
                connected.release(key)
                # On paper it may be the best of all: without this, the run went into the same dead link again.
                connected.refused_until = now + REFUSED_OFFER_SECONDS
            self._parts.roster.capacity_changed()
        await self._recall(now)
        if self._sweep_at is None or now >= self._sweep_at:
            await self._sweep(now)
        assert self._sweep_at is not None, "it has been swept once"
        deadlines = [self._sweep_at]
        for connected in self._parts.roster.connected():
            deadlines += [*connected.offers.values(), *connected.accepted_in_wait().values()]
        return max(0.0, min(deadlines) - now)

    async def _recall(self, now: float) -> None:
        """The runs that wait at a worker behind others that take longer than those before."""
        for connected in self._parts.roster.connected():
            overdue = [key for key, deadline in connected.accepted_in_wait().items() if deadline <= now]
            if overdue or connected.recalled:
                words = f"worker {connected.name} had no free slot for {PREFETCHED_SECONDS_MAX:.0f} s"
                await recall(self._parts, connected, overdue, words=words)

    async def _sweep(self, now: float) -> None:
        """Takes back offers so old that the master that made them should have done so. Should that one be alive, its
        clock behind ours, nothing is lost either: whoever comes first in the database, taking back or accepting,
        counts."""
        limit = after(self._parts.clock.now(), -LEFT_BEHIND_SECONDS)
        offered = await self._parts.database.read(_offered)
        await self._withdraw([key for key, offered_at in offered if offered_at <= limit])
        self._sweep_at = now + (SWEEP_SECONDS if offered else self._parts.poll_seconds)

    async def _withdraw(self, keys: list[AttemptKey]) -> frozenset[AttemptKey]:
        """Takes the offers back; returns those that were accepted all the same and go on."""
        if not keys:
            return frozenset()
        now, actor = self._parts.clock.now(), self._parts.actor

        def withdraw(connection: Connection) -> frozenset[AttemptKey]:
            words = "the worker did not accept it in time"
            return frozenset(
                (run, attempt)
                for run, attempt in sorted(keys)
                if not withdraw_offer(connection, run, attempt, actor=actor, reason=words, now=now)
                and is_open(connection, run, attempt)
            )

        signals = [Signal(Topic.PENDING), *(Signal(Topic.RUN, str(run)) for run, _ in keys)]
        return await self._parts.database.write(withdraw, signals=signals)


def _offered(connection: Connection) -> list[tuple[AttemptKey, Instant]]:
    rows = _OFFERED.all(connection, {})
    return [((RunId(row.run_id), AttemptNumber(row.number)), Instant(row.offered_at)) for row in rows]


class _Offered(NamedTuple):
    run_id: int
    number: int
    offered_at: int


_OFFERED = PreparedQuery(
    _Offered,
    lambda _: select(*(attempts.c[name] for name in _Offered._fields)).where(
        attempts.c.ended_at.is_(None), attempts.c.state == AttemptState.OFFERED
    ),
)
