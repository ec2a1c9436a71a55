"""Two masters over one PostgreSQL: what one decides while the other is in the middle of a transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Accept, Forget, Go, Held, Offer, Welcome
from orchestra.storage.attempts import withdraw_offer
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.open import open_database
from orchestra.storage.runs import request_stop
from orchestra.storage.tables import attempts, workers
from orchestra.storage.workers import begin_session
from orchestra_master.offer_watch import OfferWatch
from orchestra_master.stopper import Stopper
from tests.master.faulty_database import FaultyDatabase
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import hello, started

ATTEMPT = AttemptNumber(1)


class Pair:
    """A master whose transactions can be overtaken, and the database connection of another."""

    def __init__(self, *, mine: FaultyDatabase, master: StillMaster, other: Database) -> None:
        self.mine = mine
        self.master = master
        self.other = other
        self._withdrawal: asyncio.Task[bool] | None = None

    async def begin_withdrawal(self, run: RunId) -> None:
        """The other master takes the offer back: at once, or as soon as the rows are free."""

        def withdraw(connection: Connection) -> bool:
            return withdraw_offer(connection, run, ATTEMPT, actor="master m2", reason="too old", now=Instant(1))

        self._withdrawal = asyncio.create_task(self.other.write(withdraw), name="withdrawal")
        await asyncio.wait({self._withdrawal}, timeout=0.5)

    async def was_withdrawn(self) -> bool:
        """Whether the other master's word counted."""
        assert self._withdrawal is not None, "nobody has begun it"
        return await self._withdrawal

    async def state_of_attempt(self, run: RunId) -> AttemptState:
        query = select(attempts.c.state).where(attempts.c.run_id == run)
        return AttemptState(await self.other.read(lambda connection: connection.execute(query).scalar_one()))


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


async def test_an_unknown_name_that_comes_to_both_at_once_is_one_worker(pair: Pair) -> None:
    async def come_to_the_other() -> None:
        await pair.other.write(lambda c: begin_session(c, hello(), user=pair.master.user, master="m2", now=Instant(1)))

    pair.mine.overtake("INSERT INTO workers", come_to_the_other)
    end = pair.master.connect()
    end.say(hello())
    welcome = await end.hear(Welcome)

    query = select(workers.c.name, workers.c.session_epoch)
    assert welcome.epoch == 2
    assert await pair.other.read(lambda c: [tuple(row) for row in c.execute(query)]) == [("atlas", 2)]


async def test_a_name_goes_to_one_of_two_users_that_come_at_once(pair: Pair) -> None:
    mallory = await given.user(pair.mine, "mallory")

    async def come_to_the_other() -> None:
        await pair.other.write(lambda c: begin_session(c, hello(), user=mallory, master="m2", now=Instant(1)))

    pair.mine.overtake("INSERT INTO workers", come_to_the_other)
    end = pair.master.connect()
    end.say(hello())
    code, reason = await end.closed

    assert code == CloseCode.REFUSED
    assert "belongs to another user" in reason


async def test_masters_that_do_everything_at_once_never_give_a_run_twice(postgres_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        databases = [await open_database(postgres_url) for _ in range(2)]
        for database in databases:
            stack.push_async_callback(database.close)
        user = await given.user(databases[0])
        masters = [StillMaster(each, tmp_path / str(i), tasks, user) for i, each in enumerate(databases)]
        ends = [await each.worker(name=f"worker-{i}", slots=60) for i, each in enumerate(masters)]
        made = [await given.pending_run(databases[0], now=masters[0].clock.now()) for _ in range(60)]

        for turn in range(6):
            for each in masters:
                each.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
            stopped = made[turn * 5 : turn * 5 + 3]
            for end in ends:
                for offer in end.take_heard(Offer)[::2]:
                    end.say(Accept(run=offer.run, attempt=offer.attempt), started(offer.run, offer.attempt))
            await asyncio.gather(
                *(each.dispatcher.dispatch_once() for each in masters),
                *(OfferWatch(parts=each.parts).run_once() for each in masters),
                *(Stopper(parts=each.parts).run_once() for each in masters),
                *(stop(databases[turn % 2], run) for run in stopped),
            )
            for each in masters:
                each.clock.advance(5 if turn % 2 else 13)
        problems = await databases[0].read(lambda connection: list(connection.execute(text(_PROBLEMS)).scalars()))
        for each in masters:
            for link in each.links:
                link.cancel()

    assert problems == []


async def stop(database: Database, run: RunId) -> None:
    """A person changes their mind."""
    await database.write(lambda c: request_stop(c, run, by="user ana", reason="", now=Instant(1)))


# Runs with two open attempts; open attempts that are not their run's newest; states that contradict each other.
_PROBLEMS = """
select 'two open: ' || run_id from attempts where ended_at is null group by run_id having count(*) > 1
union all select 'old and open: ' || a.run_id from attempts a join runs r on r.id = a.run_id
    where a.ended_at is null and a.number <> r.attempt
union all select 'open without a run: ' || r.id from runs r join attempts a on a.run_id = r.id and a.number = r.attempt
    where (a.ended_at is null) <> (r.state in ('assigned', 'running'))
union all select 'started and given away: ' || run_id from attempts where started_at is not null
    and exists (select 1 from attempts later where later.run_id = attempts.run_id and later.number > attempts.number)
union all select 'withdrawn and started: ' || run_id from attempts where state = 'withdrawn' and started_at is not null
"""
