"""Wrapped runs of which nothing is heard: given up by their job's own time, once, and never for a fault of ours."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from orchestra.clock import after
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunState
from orchestra.protocol.messages import Offer
from orchestra.specification import Execution, JobSpecification
from orchestra.storage.database import Database
from orchestra.storage.jobs import add_job, job_of
from orchestra.storage.new_runs import run_of
from orchestra.storage.open import open_database
from orchestra.storage.projects import claim_project
from orchestra.storage.tables import run_events
from orchestra.storage.wraps import NewWrap, create_wrapped_run, hear_wrap
from orchestra_master.rescuer import Rescuer
from orchestra_master.wrap_watch import WrapWatch
from tests.master.still_master import StillMaster
from tests.support import given

DUMP = JobSpecification(execution=Execution(steps=()), wrapped=True, lost_after_seconds=600.0)


@pytest.fixture
async def master(database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master whose duties the test does."""
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        yield StillMaster(database, tmp_path / "logs", tasks, user)


async def wrapped_run(master: StillMaster) -> RunId:
    """A run that something else has just started."""
    now = master.clock.now()

    def create(connection: Connection) -> RunId:
        project = claim_project(connection, "ops", description="", owner_file=None, now=now)
        job = job_of(connection, add_job(connection, project.id, "dump", DUMP, enabled=True, now=now))
        new = run_of(job, creation_key="wrap 1 key", source="wrap root@db1", now=now)
        wrap = NewWrap(host="db1", account="root", command="./dump.sh", started_at=after(now, -5))
        return create_wrapped_run(connection, new, wrap)[0]

    return await master.database.write(create)


async def pass_time(master: StillMaster, watch: WrapWatch, seconds: float) -> None:
    """Time passes while the watch looks every five seconds."""
    for _ in range(round(seconds / 5)):
        master.clock.advance(5.0)
        await watch.run_once()


async def test_a_wrap_that_is_not_heard_of_is_given_up_after_its_jobs_own_time(master: StillMaster) -> None:
    run = await wrapped_run(master)
    watch = WrapWatch(parts=master.parts, patience_seconds=0)
    await watch.run_once()

    await pass_time(master, watch, 595)
    before = await given.state_of(master.database, run)
    await pass_time(master, watch, 5)

    assert before is RunState.RUNNING
    assert await given.state_of(master.database, run) is RunState.EXCEPTION
    assert await given.column_of(master.database, run, "reason") == "wrap lost: it was not heard of on db1 for 600 s"


async def test_a_sign_of_life_begins_the_silence_anew(master: StillMaster) -> None:
    run = await wrapped_run(master)
    watch = WrapWatch(parts=master.parts, patience_seconds=0)
    await pass_time(master, watch, 500)

    now = master.clock.now()
    await master.database.write(lambda connection: hear_wrap(connection, run, log_length=0, now=now))
    await pass_time(master, watch, 590)

    assert await given.state_of(master.database, run) is RunState.RUNNING


async def test_a_master_that_has_just_begun_is_patient(master: StillMaster) -> None:
    run = await wrapped_run(master)
    master.clock.advance(100_000)
    watch = WrapWatch(parts=master.parts, patience_seconds=900)

    await pass_time(master, watch, 890)
    before = await given.state_of(master.database, run)
    await pass_time(master, watch, 20)

    assert before is RunState.RUNNING
    assert await given.state_of(master.database, run) is RunState.EXCEPTION


async def test_after_an_outage_it_is_patient_again(master: StillMaster) -> None:
    run = await wrapped_run(master)
    watch = WrapWatch(parts=master.parts, patience_seconds=300)
    await pass_time(master, watch, 400)
    master.clock.advance(3600)

    await pass_time(master, watch, 290)
    before = await given.state_of(master.database, run)
    await pass_time(master, watch, 20)

    assert before is RunState.RUNNING
    assert await given.state_of(master.database, run) is RunState.EXCEPTION


async def test_the_rescuer_and_the_dispatcher_leave_it_alone(master: StillMaster) -> None:
    run = await wrapped_run(master)
    worker = await master.worker()
    await master.dispatcher.dispatch_once()
    master.clock.advance(100_000)

    rescuer = Rescuer(parts=master.parts, patience_seconds=0)
    for _ in range(3):
        master.clock.advance(10)
        await rescuer.run_once()

    assert await given.state_of(master.database, run) is RunState.RUNNING
    assert not worker.take_heard(Offer)


async def test_two_masters_give_it_up_once(postgres_url: str, tmp_path: Path) -> None:
    databases = [await open_database(postgres_url) for _ in range(2)]
    user = await given.user(databases[0])
    async with asyncio.TaskGroup() as tasks:
        masters = [StillMaster(each, tmp_path / "logs", tasks, user) for each in databases]
        run = await wrapped_run(masters[0])
        watches = [WrapWatch(parts=each.parts, patience_seconds=0) for each in masters]
        for master, watch in zip(masters, watches, strict=True):
            await pass_time(master, watch, 590)

        for master in masters:
            master.clock.advance(20)
        await asyncio.gather(*(watch.run_once() for watch in watches))

    ends = select(func.count()).where(run_events.c.run_id == run, run_events.c.kind == "broke")
    count = await databases[0].read(lambda connection: connection.execute(ends).scalar_one())
    for database in databases:
        await database.close()
    assert count == 1
