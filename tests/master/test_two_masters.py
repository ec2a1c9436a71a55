"""Two masters over one PostgreSQL: what one decides while the other is in the middle of a transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.protocol.messages import Accept, Forget, Go, Held, Offer
from orchestra.storage.attempts import withdraw_offer
from orchestra.storage.database import Database
from orchestra.storage.open import open_database
from orchestra.storage.tables import attempts
from tests.master.faulty_database import FaultyDatabase
from tests.master.still_master import StillMaster
from tests.support import given

ATTEMPT = AttemptNumber(1)


class Pair:
    """A master whose transactions can be overtaken, and the database connection of another."""

    def __init__(self, *, mine: FaultyDatabase, master: StillMaster, other: Database) -> None:
        self.mine = mine
        self.master = master
        self._other = other
        self._withdrawal: asyncio.Task[bool] | None = None

    async def begin_withdrawal(self, run: RunId) -> None:
        """The other master takes the offer back: at once, or as soon as the rows are free."""

        def withdraw(connection: Connection) -> bool:
            return withdraw_offer(connection, run, ATTEMPT, actor="master m2", reason="too old", now=Instant(1))

        self._withdrawal = asyncio.create_task(self._other.write(withdraw), name="withdrawal")
        await asyncio.wait({self._withdrawal}, timeout=0.5)

    async def was_withdrawn(self) -> bool:
        """Whether the other master's word counted."""
        assert self._withdrawal is not None, "nobody has begun it"
        return await self._withdrawal

    async def state_of_attempt(self, run: RunId) -> AttemptState:
        query = select(attempts.c.state).where(attempts.c.run_id == run)
        return AttemptState(await self._other.read(lambda connection: connection.execute(query).scalar_one()))


@pytest.fixture
async def pair(postgres_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two masters."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        mine, other = await open_database(postgres_url), await open_database(postgres_url)
        stack.push_async_callback(mine.close)
        stack.push_async_callback(other.close)
        faulty = FaultyDatabase(mine)
        master = StillMaster(faulty, tmp_path / "logs", tasks, await given.user(mine))
        yield Pair(mine=faulty, master=master, other=other)
        for link in master.links:
            link.cancel()


async def test_an_offer_is_either_accepted_or_withdrawn_never_both(pair: Pair) -> None:
    worker = await pair.master.worker()
    run = await given.pending_run(pair.mine)
    await pair.master.dispatcher.dispatch_once()
    await worker.hear(Offer)

    pair.mine.overtake("UPDATE attempts", lambda: pair.begin_withdrawal(run))
    worker.say(Accept(run=run, attempt=ATTEMPT))
    await worker.hear(Go)

    assert not await pair.was_withdrawn()
    assert await pair.state_of_attempt(run) is AttemptState.ACCEPTED
    assert await given.state_of(pair.mine, run) is RunState.ASSIGNED


async def test_what_is_withdrawn_while_its_worker_says_hello_is_never_told_to_go(pair: Pair) -> None:
    worker = await pair.master.worker()
    run = await given.pending_run(pair.mine)
    await pair.master.dispatcher.dispatch_once()
    await worker.hear(Offer)

    pair.mine.overtake("UPDATE attempts", lambda: pair.begin_withdrawal(run))
    back = await pair.master.worker(
        (Held(run=run, attempt=ATTEMPT, state=AttemptState.ACCEPTED, sequence=0, log_length=0),)
    )
    await back.hear(Go)

    assert not await pair.was_withdrawn()
    assert await pair.state_of_attempt(run) is AttemptState.ACCEPTED


async def test_an_offer_that_was_withdrawn_first_is_forgotten(pair: Pair) -> None:
    worker = await pair.master.worker()
    run = await given.pending_run(pair.mine)
    await pair.master.dispatcher.dispatch_once()
    await worker.hear(Offer)

    pair.mine.overtake("SELECT workers", lambda: pair.begin_withdrawal(run))
    worker.say(Accept(run=run, attempt=ATTEMPT))
    await worker.hear(Forget)

    assert await pair.was_withdrawn()
    assert await given.state_of(pair.mine, run) is RunState.PENDING
