"""A master that has nothing to do looks at nothing, and yet misses no moment at which there is something."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestra.clock import after
from orchestra.identifiers import Signature
from orchestra.limits import ALONE_POLL_SECONDS, OFFER_SECONDS_MAX, REFUSED_OFFER_SECONDS
from orchestra.protocol.messages import Offer, Refuse
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.new_runs import signals_of_run
from orchestra.storage.tables import runs
from orchestra_master.offer_watch import SWEEP_SECONDS, OfferWatch
from orchestra_master.promoter import Promoter
from tests.master.still_master import StillMaster
from tests.support import given

SIGNATURE = Signature("any")


@pytest.fixture
async def master(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """One that has the database for itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(sqlite_database, tmp_path / "logs", tasks, await given.user(sqlite_database))
        made.parts = replace(made.parts, is_alone=True)
        yield made
        for link in made.links:
            link.cancel()


async def test_without_offers_the_watch_rests_for_a_whole_poll(master: StillMaster) -> None:
    assert await OfferWatch(parts=master.parts).run_once() == ALONE_POLL_SECONDS


async def test_an_offer_wakes_the_watch_which_then_rests_until_it_is_overdue(master: StillMaster) -> None:
    watch = OfferWatch(parts=master.parts)
    resting = await watch.run_once()
    worker = await master.worker()
    await given.pending_run(master.database)

    await master.dispatcher.dispatch_once()
    await worker.hear(Offer)

    assert resting == ALONE_POLL_SECONDS
    assert master.parts.roster.offered.is_set()
    assert await watch.run_once() == OFFER_SECONDS_MAX


async def test_offers_that_a_predecessor_left_are_looked_at_again_soon(master: StillMaster) -> None:
    await master.worker()
    await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    (connected,) = master.parts.roster.connected()
    connected.offers.clear()

    assert await OfferWatch(parts=master.parts).run_once() == SWEEP_SECONDS


async def test_a_worker_that_refused_is_asked_again_though_nothing_is_signalled(master: StillMaster) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    refused = master.database.subscribe(Topic.PENDING)
    worker.say(Refuse(run=run, attempt=offer.attempt, reason="the disk is nearly full"))
    await refused.wait(10)
    master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
    await master.dispatcher.dispatch_once()

    rest = master.dispatcher.rest_seconds
    master.clock.advance(REFUSED_OFFER_SECONDS)
    master.dispatcher.capacity_changed()
    await master.dispatcher.dispatch_once()

    assert rest == REFUSED_OFFER_SECONDS
    assert (await worker.hear(Offer)).run == run
    assert master.dispatcher.rest_seconds is None


async def test_the_promoter_sleeps_until_the_next_run_has_waited_too_long(master: StillMaster) -> None:
    now = master.clock.now()
    await given.pending_run(master.database, now=now)
    await master.database.write(lambda connection: connection.execute(runs.update().values(expires_at=after(now, 7))))

    rest = await Promoter(parts=master.parts).run_once()

    assert rest == pytest.approx(7)


@pytest.mark.parametrize(
    ("delay_seconds", "expire_after_seconds", "topics"),
    [(0.0, 86_400.0, [Topic.PENDING]), (0.0, 10.0, [Topic.PENDING, Topic.DUE]), (5.0, 10.0, [Topic.DUE])],
)
def test_a_run_that_will_soon_have_waited_too_long_wakes_who_looks_for_that(
    delay_seconds: float, expire_after_seconds: float, topics: list[Topic]
) -> None:
    signals = signals_of_run(SIGNATURE, delay_seconds=delay_seconds, expire_after_seconds=expire_after_seconds)

    assert [signal.topic for signal in signals] == topics
