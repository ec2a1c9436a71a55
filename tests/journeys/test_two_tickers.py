"""Two masters over one PostgreSQL database, killed and started again all the time: each tick makes exactly one run."""

import asyncio
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, func, select, update

from orchestra.clock import Instant, SystemClock, after
from orchestra.commands.definitions import apply_definition
from orchestra.definition.reader import read_definition
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.open import open_database
from orchestra.storage.tables import runs, schedule_ticks, schedules
from orchestra_master.passed_instants import Verdict
from tests.support.journey import PYTHON, Program
from tests.support.ports import free_port

TICKS = 1000
SPREAD_SECONDS = 1.0
TICKS_BETWEEN_KILLS = 100
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


async def given_schedules(database: Database) -> list[int]:
    """Schedules of which none is due yet."""
    definition = read_definition(project(), "orchestra.yaml")
    now = SystemClock().now()
    await database.write(
        partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=now)
    )
    return await database.read(lambda c: list(c.execute(select(schedules.c.id).order_by(schedules.c.id)).scalars()))


async def make_due(database: Database, identifiers: Sequence[int]) -> list[Instant]:
    """Lets these become due one after the other from now on; gives the instants."""
    now = SystemClock().now()
    dues = [after(now, SPREAD_SECONDS * number / len(identifiers)) for number in range(len(identifiers))]

    def change(connection: Connection) -> None:
        for identifier, due in zip(identifiers, dues, strict=True):
            connection.execute(update(schedules).where(schedules.c.id == identifier).values(next_fire_at=due))

    await database.write(change, signals=[Signal(Topic.DUE)])
    return dues


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
        identifiers = await given_schedules(database)
        for each in masters.values():
            each.start()
        dues: list[Instant] = []
        kills: list[str] = []
        while len(dues) < TICKS:
            so_far = len(dues)
            dues += await make_due(database, identifiers[so_far : so_far + TICKS_BETWEEN_KILLS])
            # In the middle of its work, at a moment that nobody chose; the other one goes on alone.
            await reach(database, so_far + chance.randrange(1, TICKS_BETWEEN_KILLS))
            name = chance.choice(list(masters))
            masters[name].kill()
            kills.append(name)
            await reach(database, len(dues))
            masters[name].start()
        made = await database.read(lambda c: c.execute(select(runs.c.id).where(runs.c.source == "schedule")).all())
        ticks = await database.read(
            lambda c: c.execute(
                select(schedule_ticks.c.due_at, schedule_ticks.c.decision, schedule_ticks.c.run_id)
            ).all()
        )
        later = await database.read(lambda c: c.execute(select(func.min(schedules.c.next_fire_at))).scalar_one())

        assert set(kills) == set(masters), kills
        assert all(each.process and each.process.poll() is None for each in masters.values())
        assert len(made) == TICKS
        assert sorted(tick.due_at for tick in ticks) == dues
        assert {tick.decision for tick in ticks} == {Verdict.FIRE}
        assert sorted(tick.run_id for tick in ticks) == sorted(run.id for run in made)
        assert later > dues[-1]
    finally:
        for each in masters.values():
            if each.process is not None:
                each.stop()
        await database.close()
