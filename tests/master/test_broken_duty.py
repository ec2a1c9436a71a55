"""What breaks in one duty of the master is said loudly, begins anew, and harms no other."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from orchestra.clock import SystemClock
from orchestra.lifecycle import RunState
from orchestra.logs.store import FileLogStore
from orchestra.storage.database import Database, Topic
from orchestra_master.assemble import build_master
from orchestra_master.duty import Restarts
from tests.master.still_master import NoSecrets
from tests.support import given
from tests.support.clocks import FakeClock


class BrokenOnce:
    """A duty, and a loop, that breaks the first time."""

    name = "cleaner"
    topics: tuple[Topic, ...] = ()

    def __init__(self) -> None:
        self.calls = 0
        self.works = asyncio.Event()

    async def run_once(self) -> float:
        self.calls += 1
        if self.calls == 1:
            raise ValueError("nobody thought of this")
        self.works.set()
        return 60.0

    async def run(self) -> None:
        await self.run_once()
        await asyncio.Event().wait()


async def test_a_duty_that_breaks_ends_nothing_else_and_begins_anew(
    sqlite_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    duty, loop = BrokenOnce(), BrokenOnce()
    async with AsyncExitStack() as stack:
        master = build_master(
            database=sqlite_database,
            logs=FileLogStore(tmp_path / "logs"),
            secrets=NoSecrets(),
            clock=SystemClock(),
            more_duties=lambda parts: [duty],
            more_loops=[loop],
        )
        await stack.enter_async_context(master)
        async with asyncio.timeout(10):
            await duty.works.wait()
            await loop.works.wait()
        run = await given.pending_run(sqlite_database)

        assert await given.state_of(sqlite_database, run) is RunState.PENDING
    errors = [record for record in caplog.records if "part_broke" in record.message]
    assert {record.levelname for record in errors} == {"ERROR"}
    assert ["part=cleaner" in record.message for record in errors] == [True, False]
    assert all(record.exc_info and "nobody thought" in str(record.exc_info[1]) for record in errors)


def test_what_breaks_again_and_again_begins_anew_less_and_less_often() -> None:
    clock = FakeClock()
    restarts = Restarts(clock=clock)
    waits = []

    for _ in range(9):
        restarts.begin()
        clock.advance(1)
        waits.append(restarts.wait_seconds())
    restarts.begin()
    clock.advance(3600)
    waits.append(restarts.wait_seconds())

    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 0.5]
