"""How long a worker was silent, whatever somebody does to the wall clock, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from orchestra.clock import Instant, after
from orchestra.identifiers import WorkerId
from orchestra.lifecycle import RunState
from orchestra.storage.database import Database
from orchestra.storage.tables import workers
from orchestra_master.rescuer import Rescuer
from orchestra_master.silences import Silences
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.clocks import FakeClock

ATLAS = WorkerId(1)
LOST_AFTER_SECONDS = 600  # of StillMaster's runs


@pytest.fixture
async def master(database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        yield made
        for link in made.links:
            link.cancel()


@pytest.mark.parametrize("jump_seconds", [3600, 30 * 86_400, -3600, -30 * 86_400])
async def test_a_wall_clock_that_jumps_decides_about_no_worker(master: StillMaster, jump_seconds: float) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    rescuer = Rescuer(parts=master.parts, patience_seconds=0)
    await rescuer.run_once()
    worker.go_away()
    await asyncio.wait(master.links)

    states = []
    await rescuer.run_once()
    master.clock.jump(jump_seconds)
    for seconds in (LOST_AFTER_SECONDS - 10, 10):
        for _ in range(seconds // 10):
            master.clock.advance(10)
            await rescuer.run_once()
        states.append(await given.state_of(master.database, run))

    assert states == [RunState.RUNNING, RunState.EXCEPTION]
    assert await given.column_of(master.database, run, "reason") == "worker lost: atlas was out of contact for 600 s"


async def test_a_master_whose_clock_is_ahead_loses_no_worker_of_another_master(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    for connected in master.parts.roster.connected():
        master.parts.roster.leave(connected)  # it is connected to another master, whose clock is right
    rescuer = Rescuer(parts=master.parts, patience_seconds=300)
    right = master.clock.now()
    master.clock.jump(3600)

    for _ in range(120):
        master.clock.advance(10)
        right = after(right, 10)
        await master.database.write(partial(write_contact, right))
        await rescuer.run_once()

    assert await given.state_of(master.database, run) is RunState.RUNNING


def write_contact(at: Instant, connection: Connection) -> None:
    connection.execute(update(workers).values(last_contact_at=at))


def test_what_was_before_the_master_is_told_by_the_wall_clock_and_never_negative() -> None:
    clock = FakeClock()
    long_ago, still_to_come = after(clock.now(), -500), after(clock.now(), 500)

    before = Silences(clock=clock).look({ATLAS: long_ago})
    never = Silences(clock=clock).look({ATLAS: still_to_come})

    assert before == {ATLAS: 500}
    assert never == {ATLAS: 0}


def test_a_new_contact_begins_a_new_silence_and_an_old_one_goes_on() -> None:
    clock = FakeClock()
    silences = Silences(clock=clock)
    first, second = clock.now(), after(clock.now(), 1)
    silences.look({ATLAS: first})

    clock.advance(20)
    old = silences.look({ATLAS: first})
    new = silences.look({ATLAS: second})

    assert (old, new) == ({ATLAS: 20}, {ATLAS: 0})
