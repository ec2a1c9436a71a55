"""Two masters over one PostgreSQL database, killed and started again all the time: each tick makes exactly one run."""

import asyncio
import random
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from orchestra.clock import Instant, SystemClock, after
from orchestra.commands.definitions import apply_definition
from orchestra.definition.reader import read_definition
from orchestra.storage.database import Database, Topic
from orchestra.storage.open import open_database
from orchestra.storage.tables import runs, schedule_ticks, schedules
from orchestra_master.ticker import FIRED
from tests.support.journey import PYTHON, Program, free_port

TICKS = 1000
SPREAD_SECONDS = 12.0
LEAD_SECONDS = 4.0
"""Before the first tick: both masters are up by then."""
KILLS_MIN = 4
TICKS_BETWEEN_KILLS = 60
PATIENCE_SECONDS = 60.0


def master(folder: Path, name: str, database: str) -> Program:
    """A master in a process of its own."""
    arguments = [PYTHON, "-m", "orchestra", "master", "--database", database, "--port", str(free_port())]
    arguments += ["--logs", str(folder / "logs"), "--key-file", str(folder / "secret.key")]
    return Program(arguments, log=folder / f"{name}.log")


def project() -> str:
    """As many jobs as ticks, each due once a year: the test says when that is."""
    jobs = "".join(f"  job-{number}: {{ run: 'true', schedule: '0 0 1 1 *' }}\n" for number in range(TICKS))
    return f"orchestra: 1\nproject: ops\njobs:\n{jobs}"


async def given_ticks(database: Database, begin: Instant) -> list[Instant]:
    """Lets the schedules become due one after the other; gives the instants."""
    definition = read_definition(project(), "orchestra.yaml")
    now = SystemClock().now()
    await database.write(
        partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=now)
    )

    def make_due(connection: Connection) -> list[Instant]:
        ids = connection.execute(select(schedules.c.id).order_by(schedules.c.id)).scalars().all()
        dues = [after(begin, SPREAD_SECONDS * number / TICKS) for number in range(len(ids))]
        for identifier, due in zip(ids, dues, strict=True):
            connection.execute(update(schedules).where(schedules.c.id == identifier).values(next_fire_at=due))
        return dues

    return await database.write(make_due)


async def decided(database: Database) -> int:
    """How many ticks there are."""
    return await database.read(lambda c: c.execute(select(func.count()).select_from(schedule_ticks)).scalar_one())


async def reach(database: Database, count: int) -> None:
    """Waits until so many ticks were decided."""
    made = database.subscribe(Topic.PENDING)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await decided(database) < count:
                await made.wait(0.1)
    finally:
        made.close()


async def test_each_of_a_thousand_ticks_makes_one_run(postgres_url: str, tmp_path: Path) -> None:
    database = await open_database(postgres_url)
    masters = {name: master(tmp_path, name, postgres_url) for name in ("first", "second")}
    chance = random.Random(20_261)
    try:
        dues = await given_ticks(database, after(SystemClock().now(), LEAD_SECONDS))
        for each in masters.values():
            each.start()
        kills: list[str] = []
        await reach(database, 1)
        while (so_far := await decided(database)) < TICKS - TICKS_BETWEEN_KILLS:
            name = chance.choice(list(masters))
            masters[name].kill()
            kills.append(name)
            # The other one goes on alone, until a moment that nobody chose.
            await reach(database, so_far + chance.randrange(1, TICKS_BETWEEN_KILLS))
            masters[name].start()
        await reach(database, TICKS)
        made = await database.read(lambda c: c.execute(select(runs.c.id).where(runs.c.source == "schedule")).all())
        ticks = await database.read(
            lambda c: c.execute(
                select(schedule_ticks.c.due_at, schedule_ticks.c.decision, schedule_ticks.c.run_id)
            ).all()
        )
        later = await database.read(lambda c: c.execute(select(func.min(schedules.c.next_fire_at))).scalar_one())

        assert len(kills) >= KILLS_MIN, kills
        assert set(kills) == set(masters)
        assert all(each.process and each.process.poll() is None for each in masters.values())
        assert len(made) == TICKS
        assert sorted(tick.due_at for tick in ticks) == dues
        assert {tick.decision for tick in ticks} == {FIRED}
        assert sorted(tick.run_id for tick in ticks) == sorted(run.id for run in made)
        assert later > dues[-1]
    finally:
        for each in masters.values():
            if each.process is not None:
                each.stop()
        await database.close()
