"""What happens at the worst moment: a database that is away or slow, words that cross each other, a full disk."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra.identifiers import AttemptNumber
from orchestra.lifecycle import RunState
from orchestra.protocol.messages import Accept, Forget, Go, Offer
from orchestra.storage.database import Database
from orchestra_master.offer_watch import OfferWatch
from tests.master.faulty_database import FaultyDatabase
from tests.master.still_master import StillMaster
from tests.support import given

ATTEMPT = AttemptNumber(1)


@pytest.fixture
def faulty(sqlite_database: Database) -> FaultyDatabase:
    """The master's database."""
    return FaultyDatabase(sqlite_database)


@pytest.fixture
async def master(faulty: FaultyDatabase, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(faulty, tmp_path / "logs", tasks, await given.user(faulty))
        yield made
        for link in made.links:
            link.cancel()


async def test_an_acceptance_in_the_moment_of_withdrawal_keeps_its_slots(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    run = await given.pending_run(faulty)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    master.clock.advance(4.1)

    withdrawal = faulty.hold_next_write()
    watching = asyncio.ensure_future(OfferWatch(parts=master.parts).run_once())
    await withdrawal.has_come.wait()
    worker.say(Accept(run=run, attempt=offer.attempt))
    await worker.hear(Go)
    withdrawal.may_go.set()
    await watching

    (connected,) = master.parts.roster.connected()
    assert await given.state_of(faulty, run) is RunState.ASSIGNED
    assert connected.held == {(run, ATTEMPT): 1}
    assert connected.offers == {}
    assert connected.refused_until == 0.0


async def test_an_attempt_that_is_over_holds_no_slot_once_its_worker_speaks_of_it(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    await given.pending_run(faulty)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    (connected,) = master.parts.roster.connected()
    master.clock.advance(20)
    await OfferWatch(parts=master.parts).run_once()  # as another master would, without a word to this one
    connected.held[(offer.run, offer.attempt)] = 1

    worker.say(Accept(run=offer.run, attempt=offer.attempt))
    await worker.hear(Forget)

    assert connected.held == {}
