"""A master without a database keeps no worker from the others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra.limits import ALONE_SECONDS_MAX
from orchestra.protocol.messages import Bye
from orchestra.storage.database import Database
from orchestra_master.database_watch import DatabaseWatch
from tests.master.faulty_database import FaultyDatabase
from tests.master.still_master import StillMaster
from tests.support import given


@pytest.fixture
async def faulty(sqlite_database: Database) -> FaultyDatabase:
    """A database that can be away."""
    return FaultyDatabase(sqlite_database)


@pytest.fixture
async def master(faulty: FaultyDatabase, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(faulty, tmp_path / "logs", tasks, await given.user(faulty))
        yield made
        for link in made.links:
            link.cancel()


async def test_workers_are_sent_away_after_a_while_without_a_database(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    watch = DatabaseWatch(parts=master.parts)
    await watch.run_once()
    faulty.be_away(writes=2)

    master.clock.advance(ALONE_SECONDS_MAX - 1)
    await watch.run_once()
    before = worker.take_heard(Bye)
    master.clock.advance(2)
    await watch.run_once()

    assert before == []
    assert "cannot reach its database" in (await worker.hear(Bye)).reason


async def test_a_sign_of_the_database_begins_the_time_anew(master: StillMaster, faulty: FaultyDatabase) -> None:
    worker = await master.worker()
    watch = DatabaseWatch(parts=master.parts)

    for _ in range(3):
        master.clock.advance(ALONE_SECONDS_MAX - 1)
        await watch.run_once()
    faulty.be_away()
    master.clock.advance(ALONE_SECONDS_MAX - 1)
    await watch.run_once()

    assert worker.take_heard(Bye) == []


async def test_a_database_that_says_nothing_at_all_is_away_too(
    master: StillMaster, faulty: FaultyDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestra_master.database_watch.DATABASE_SIGN_SECONDS_MAX", 0.1)
    worker = await master.worker()
    watch = DatabaseWatch(parts=master.parts)
    faulty.hold_next_write()
    master.clock.advance(ALONE_SECONDS_MAX + 1)

    await watch.run_once()

    assert await worker.hear(Bye)
    faulty.forget_troubles()
