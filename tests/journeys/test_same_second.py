"""10,000 schedules that are due in the same second: each is decided once, at little cost, by masters that all try."""

import asyncio
from functools import partial

from sqlalchemy import Connection, func, select, update

from orchestra.clock import Instant, SystemClock, after
from orchestra.commands.definitions import apply_definition
from orchestra.definition.reader import read_definition
from orchestra.storage.database import Database
from orchestra.storage.open import open_database
from orchestra.storage.tables import runs, schedule_ticks, schedules
from orchestra_master.ticker import Ticker
from tests.support.statements import counted_statements

SCHEDULES = 10_000
EACH = 500
"""Of one project."""
STATEMENTS_MAX = 7.1
"""On the average: each has one that locks it, one for the cursor, the job, the run, its event and the tick, and up to
two about other runs of the job; to these come those that look for what is due. How long they take is measured by
`benchmarks/same_second.py`: a stop-watch beside other tests tells of those."""
EACH_COMMIT_MIN = 100
"""Schedules: those that are due together are decided together."""
OVERLAPS = ("skip", "queue", "allow", "cancel-previous")


def project(number: int) -> str:
    """Jobs of every overlap, due in the first second of a year."""
    jobs = "".join(
        f"  job-{job}: {{ run: x, schedule: {{ cron: '0 0 1 1 *', overlap: {OVERLAPS[job % len(OVERLAPS)]} }} }}\n"
        for job in range(EACH)
    )
    return f"orchestra: 1\nproject: project-{number}\njobs:\n{jobs}"


async def given_due(database: Database) -> Instant:
    """All of them, and the instant at which they are due: now."""
    now = SystemClock().now()
    for number in range(SCHEDULES // EACH):
        definition = read_definition(project(number), "orchestra.yaml")
        await database.write(
            partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=now)
        )
    due = after(SystemClock().now(), 0)

    def make_due(connection: Connection) -> None:
        connection.execute(update(schedules).values(next_fire_at=due))

    await database.write(make_due)
    return due


async def test_ten_thousand_schedules_in_one_second_are_decided_once_and_with_few_statements(sqlite_url: str) -> None:
    database = await open_database(sqlite_url)
    try:
        due = await given_due(database)
        tickers = [Ticker(database=database, clock=SystemClock()) for _ in range(2)]

        # Each passes over what the other has; together they leave nothing.
        with counted_statements() as asked:
            await asyncio.gather(*(ticker.tick_once() for ticker in tickers))

        ticks = await database.read(
            lambda c: c.execute(
                select(schedule_ticks.c.decision, schedule_ticks.c.due_at, func.count()).group_by(
                    schedule_ticks.c.decision, schedule_ticks.c.due_at
                )
            ).all()
        )
        made = await database.read(
            lambda c: c.execute(select(func.count(), func.count(runs.c.job_id.distinct())).select_from(runs)).one()
        )
        print(f"{SCHEDULES} decided with {len(asked.statements)} statements in {asked.commits} commits")
        assert [tuple(tick) for tick in ticks] == [("fired", due, SCHEDULES)]
        assert tuple(made) == (SCHEDULES, SCHEDULES)
        assert 0 < len(asked.statements) <= STATEMENTS_MAX * SCHEDULES
        assert 0 < asked.commits <= SCHEDULES / EACH_COMMIT_MIN
    finally:
        await database.close()
