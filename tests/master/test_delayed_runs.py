"""Runs that start later: promoted when their time has come, once, whichever master looks first."""

import asyncio
from pathlib import Path

from sqlalchemy import func, select

from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent, RunState
from orchestra.storage.database import Database
from orchestra.storage.open import open_database
from orchestra.storage.tables import run_events
from orchestra_master.promoter import Promoter
from tests.master.still_master import StillMaster
from tests.support import given


async def promotions(database: Database, run: RunId) -> int:
    """How often the run was told that its time has come."""
    query = select(func.count()).where(run_events.c.run_id == run, run_events.c.kind == RunEvent.DUE)
    return await database.read(lambda connection: connection.execute(query).scalar_one())


async def test_two_masters_promote_a_delayed_run_once(postgres_url: str, tmp_path: Path) -> None:
    databases = [await open_database(postgres_url) for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        user = await given.user(databases[0])
        masters = [StillMaster(each, tmp_path / "logs", tasks, user) for each in databases]
        made = [
            await given.pending_run(databases[0], delay_seconds=60.0, now=masters[0].clock.now()) for _ in range(20)
        ]
        pauses = [await Promoter(parts=each.parts).run_once() for each in masters]
        before = [await given.state_of(databases[0], run) for run in made]
        for each in masters:
            each.clock.advance(60.0)

        await asyncio.gather(*(Promoter(parts=each.parts).run_once() for each in masters))

    states = {await given.state_of(databases[1], run) for run in made}
    counts = {await promotions(databases[1], run) for run in made}
    for database in databases:
        await database.close()
    assert set(before) == {RunState.SCHEDULED}
    assert all(0 < pause <= 60.0 for pause in pauses)
    assert states == {RunState.PENDING}
    assert counts == {1}


async def test_a_master_that_is_started_later_promotes_what_became_due_meanwhile(
    database: Database, tmp_path: Path
) -> None:
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        first = StillMaster(database, tmp_path / "logs", tasks, user)
        run = await given.pending_run(database, delay_seconds=60.0, now=first.clock.now())
        await Promoter(parts=first.parts).run_once()
        later = StillMaster(database, tmp_path / "logs", tasks, user)
        later.clock.advance(3600.0)

        await Promoter(parts=later.parts).run_once()

    assert await given.state_of(database, run) is RunState.PENDING
