"""The ticker: one decision for each due instant, whatever happens to the clock, the masters and the database.

The predecessor asked every ten seconds whether a schedule "is now" (its defect D10): what was due while it was busy or
away was lost, a run and its cursor were two transactions, and two masters fired twice. None of it can come back.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Connection, func, select, update

from orchestra.clock import Instant, after
from orchestra.commands.definitions import apply_definition
from orchestra.definition.reader import read_definition
from orchestra.lifecycle import RunEvent
from orchestra.limits import TICKS_PER_PASS_MAX
from orchestra.specification import Overlap
from orchestra.storage.database import Database, Topic
from orchestra.storage.due_schedules import DueSchedule, due_schedules, next_due_at
from orchestra.storage.jobs import find_job, switch_job
from orchestra.storage.runs import move_run
from orchestra.storage.schedules import schedule_of_job
from orchestra.storage.tables import job_versions, runs, schedule_ticks, schedules
from orchestra_master.ticker import Ticker
from orchestra_master.ticking import decide_due
from tests.support.clocks import FakeClock

MINUTE = 60.0


def project(every: str = "1m", overlap: Overlap = Overlap.ALLOW, jobs: Sequence[str] = ("tick",)) -> str:
    """A file with jobs that run by themselves."""
    schedule = f"schedule: {{ every: {every}, overlap: {overlap} }}"
    lines = "".join(f"  {job}: {{ run: 'true', {schedule} }}\n" for job in jobs)
    return f"orchestra: 1\nproject: ops\njobs:\n{lines}"


async def given(database: Database, clock: FakeClock, text: str) -> None:
    """Applies the file."""
    definition = read_definition(text, "orchestra.yaml")
    await database.write(
        partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=clock.now())
    )


async def ticks(database: Database) -> list[tuple[Instant, str, int | None]]:
    """All decisions by due instant."""
    columns = schedule_ticks.c
    query = select(columns.due_at, columns.decision, columns.run_id).order_by(columns.due_at)
    return await database.read(lambda c: [(Instant(row[0]), row[1], row[2]) for row in c.execute(query)])


async def decisions(database: Database) -> list[str]:
    """The words of all decisions by due instant."""
    return [decision for _, decision, _ in await ticks(database)]


async def run_count(database: Database) -> int:
    """How many runs there are."""
    return await database.read(lambda c: c.execute(select(func.count()).select_from(runs)).scalar_one())


async def due(database: Database, now: Instant) -> list[DueSchedule]:
    """What is due."""
    return await database.read(partial(due_schedules, now=now, limit=10))


async def test_nothing_fires_before_its_instant(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())

    done = await Ticker(database=database, clock=clock).tick_once()

    assert (done.decisions, done.left) == (0, 0)
    assert await run_count(database) == 0


async def test_a_due_instant_makes_one_run_and_moves_the_cursor(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    clock.advance(MINUTE)
    due_at = (await due(database, clock.now()))[0].due_at

    done = await Ticker(database=database, clock=clock).tick_once()

    assert done.decisions == 1
    assert await ticks(database) == [(due_at, "fired", 1)]
    assert await database.read(next_due_at) == after(due_at, MINUTE)


async def test_a_run_of_a_schedule_is_announced_with_its_signature(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    clock.advance(MINUTE)
    subscription = database.subscribe(Topic.PENDING)

    await Ticker(database=database, clock=clock).tick_once()

    signature = await database.read(lambda c: c.execute(select(job_versions.c.signature)).scalar_one())
    assert signature in {signal.payload for signal in await subscription.wait(5)}
    subscription.close()


async def test_of_several_missed_instants_only_the_latest_fires(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    clock.advance(5 * MINUTE)

    await Ticker(database=database, clock=clock).tick_once()

    assert await decisions(database) == ["skipped: missed"] * 4 + ["fired"]
    assert await run_count(database) == 1


async def test_a_long_absence_is_decided_in_bounded_passes(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project("1s"))
    clock.advance(TICKS_PER_PASS_MAX + 500)

    done = await Ticker(database=database, clock=clock).tick_once()

    words = await decisions(database)
    assert done.decisions == len(words) == TICKS_PER_PASS_MAX + 500
    # Those of the last minute are within their grace.
    assert words == ["skipped: missed"] * (TICKS_PER_PASS_MAX + 439) + ["fired"] * 61


async def test_a_run_that_is_not_over_makes_the_next_instant_be_skipped(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project(overlap=Overlap.SKIP))
    ticker = Ticker(database=database, clock=clock)
    for _ in range(2):
        clock.advance(MINUTE)
        await ticker.tick_once()

    first = (await ticks(database))[0][2]
    assert first is not None
    await database.write(partial(_cancel, run=first, now=clock.now()))
    clock.advance(MINUTE)
    await ticker.tick_once()

    assert await decisions(database) == ["fired", f"skipped: overlap with #{first}", "fired"]


def _cancel(connection: Connection, run: int, now: Instant) -> None:
    from orchestra.identifiers import RunId

    move_run(connection, RunId(run), RunEvent.CANCELLED, actor="ana", now=now)


@pytest.mark.parametrize("what", ["job", "schedule"])
async def test_a_disabled_job_or_schedule_records_its_instants_as_skipped(database: Database, what: str) -> None:
    clock = FakeClock()
    await given(database, clock, project())

    def disable(connection: Connection) -> None:
        if what == "job":
            switch_job(connection, find_job(connection, "ops", "tick").id, disabled_by="ana: disk is full")
        else:
            connection.execute(update(schedules).values(enabled=False))

    await database.write(disable)
    clock.advance(MINUTE)
    await Ticker(database=database, clock=clock).tick_once()

    assert await decisions(database) == ["skipped: disabled"]
    assert await run_count(database) == 0


async def test_a_clock_that_is_set_back_never_fires_an_instant_again(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    ticker = Ticker(database=database, clock=clock)
    clock.advance(60 * MINUTE)
    await ticker.tick_once()
    cursor = await database.read(next_due_at)

    clock.advance(-60 * MINUTE)
    for _ in range(59):
        clock.advance(MINUTE)
        await ticker.tick_once()

    assert await run_count(database) == 1
    assert await database.read(next_due_at) == cursor


async def test_a_death_before_the_commit_leaves_no_trace(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    clock.advance(MINUTE)
    [found] = await due(database, clock.now())

    def die(connection: Connection) -> None:
        decide_due(connection, found, clock.now())
        raise KeyError("killed")

    with pytest.raises(KeyError):
        await database.write(die)

    assert (await ticks(database), await run_count(database)) == ([], 0)
    assert await due(database, clock.now()) == [found]


async def test_a_stale_look_at_the_schedules_changes_nothing(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    clock.advance(MINUTE)
    [found] = await due(database, clock.now())
    await Ticker(database=database, clock=clock).tick_once()

    decided = await database.write(partial(decide_due, due=found, now=clock.now()))

    assert decided == 0
    assert await run_count(database) == 1


async def test_a_schedule_that_never_comes_again_is_left_alone(database: Database) -> None:
    clock = FakeClock()
    await given(database, clock, project())
    await database.write(lambda c: c.execute(update(schedules).values(next_fire_at=None)))
    clock.advance(10 * MINUTE)

    done = await Ticker(database=database, clock=clock).tick_once()

    assert done.decisions == 0
    job = await database.read(lambda c: find_job(c, "ops", "tick"))
    schedule = await database.read(lambda c: schedule_of_job(c, job.id))
    assert schedule is not None
    assert schedule.next_fire_at is None


async def test_a_schedule_that_cannot_be_decided_does_not_hold_up_the_others(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    await given(database, clock, project(jobs=("broken", "whole")))
    bad = await database.read(lambda c: find_job(c, "ops", "broken").id)
    broken = update(schedules).where(schedules.c.job_id == bad).values(specification='{"cron":"nonsense"}')
    await database.write(lambda c: c.execute(broken))
    clock.advance(MINUTE)

    done = await Ticker(database=database, clock=clock).tick_once()

    assert (done.decisions, done.left) == (1, 1)
    assert "schedule_not_decided" in caplog.text


async def test_two_tickers_on_one_database_make_one_run_for_each_of_a_thousand_ticks(
    postgres_url: str, postgres_database: Database
) -> None:
    from orchestra.storage.open import open_database

    clock = FakeClock()
    await given(postgres_database, clock, project(jobs=[f"job-{number}" for number in range(100)]))
    other = await open_database(postgres_url)
    tickers = [Ticker(database=database, clock=clock) for database in (postgres_database, other)]

    for _ in range(10):
        clock.advance(MINUTE)
        done = await asyncio.gather(*(ticker.tick_once() for ticker in tickers))
        # What one found locked, the other has done by now.
        assert sum(each.decisions for each in done) == 100
    await other.close()

    assert await decisions(postgres_database) == ["fired"] * 1000
    assert await run_count(postgres_database) == 1000


async def test_a_running_ticker_fires_soon_after_a_schedule_was_applied(sqlite_database: Database) -> None:
    from orchestra.clock import SystemClock
    from orchestra.storage.database import Signal

    clock = SystemClock()
    subscription = sqlite_database.subscribe(Topic.PENDING)
    task = asyncio.create_task(Ticker(database=sqlite_database, clock=clock).run(), name="ticker")
    definition = read_definition(project("1s"), "orchestra.yaml")

    await sqlite_database.write(
        partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=clock.now()),
        signals=[Signal(Topic.DUE)],
    )

    assert await subscription.wait(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    subscription.close()


async def test_a_running_ticker_notices_a_clock_that_jumps_forward(sqlite_database: Database) -> None:
    clock = FakeClock()
    await given(sqlite_database, clock, project("1h"))
    subscription = sqlite_database.subscribe(Topic.PENDING)
    task = asyncio.create_task(Ticker(database=sqlite_database, clock=clock).run(), name="ticker")
    assert not await subscription.wait(0.1)

    clock.advance(3600)

    assert await subscription.wait(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    subscription.close()
