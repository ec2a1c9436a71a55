"""Runs that are expected: missed once, recovered by the next one, however many masters look."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select, update

from orchestra.clock import after, seconds_between
from orchestra.commands.definitions import apply_definition
from orchestra.definition.reader import read_definition
from orchestra.limits import EXPECTED_PATIENCE_SECONDS, POLL_SECONDS
from orchestra.storage.database import Database
from orchestra.storage.expectations import next_look_at, switch_expectation
from orchestra.storage.jobs import find_job, switch_job
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.open import open_database
from orchestra.storage.tables import expectations, missed_runs, runs
from orchestra_master.expectation_watch import ExpectationWatch
from tests.master.still_master import StillMaster
from tests.support import given

HOUR, DAY = 3600.0, 86_400.0
Missed = list[tuple[float, int | None, bool]]


class Expected:
    """A job of which a run is expected each day, and somebody who looks."""

    def __init__(self, master: StillMaster) -> None:
        self.database = master.database
        self.clock = master.clock
        self.parts = master.parts
        self.watch = ExpectationWatch(parts=master.parts)
        self.begin = master.clock.now()
        self._count = 0

    async def apply(self, body: str = "run: x, expect: 'every 1d, grace 2h'") -> None:
        """Applies a definition with this job, or without any."""
        jobs = f"jobs:\n  backup: {{ {body} }}\n" if body else ""
        definition = read_definition(f"orchestra: 1\nproject: ops\n{jobs}", "orchestra.yaml")
        now = self.clock.now()
        await self.database.write(
            lambda c: apply_definition(c, definition, owner_file=None, source="test", by="ana", now=now)
        )

    async def start_run(self, *, ago: float = 0.0) -> int:
        """A run of the job that starts now, or did so long ago."""
        self._count += 1
        now, key = self.clock.now(), f"run {self._count}"
        job = await self.database.read(lambda c: find_job(c, "ops", "backup"))
        new = run_of(job, creation_key=key, source="user ana", now=now)
        run = await self.database.write(lambda c: create_run(c, new))
        started = update(runs).where(runs.c.id == run).values(started_at=after(now, -ago), state="running")
        await self.database.write(lambda c: c.execute(started))
        return run

    async def pass_time(self, seconds: float) -> None:
        """Time passes while somebody looks whenever it is time to."""
        end = after(self.clock.now(), seconds)
        while True:
            await self.watch.run_once()
            now = self.clock.now()
            if now >= end:
                return
            coming = await self.database.read(next_look_at)
            # In truth it looks more often in between, by the safety net, and finds nothing to do.
            self.clock.advance(
                seconds_between(now, end if coming is None else min(end, max(coming, after(now, 0.001))))
            )

    async def missed(self) -> Missed:
        """When each missed run was expected (after the begin, in hours), which one came, and whether it is over."""
        query = select(missed_runs.c.due_at, missed_runs.c.run_id, missed_runs.c.recovered_at).order_by(
            missed_runs.c.id
        )
        rows = await self.database.read(lambda c: list(c.execute(query)))
        return [((row[0] - self.begin) / 1e6 / HOUR, row[1], row[2] is not None) for row in rows]


@pytest.fixture
async def job(database: Database, tmp_path: Path) -> Expected:
    """The job, applied."""
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        job = Expected(StillMaster(database, tmp_path / "logs", tasks, user))
    await job.apply()
    return job


async def test_a_run_that_does_not_come_is_missed_once_until_one_comes(job: Expected) -> None:
    await job.pass_time(26 * HOUR - 1)
    before = await job.missed()
    await job.pass_time(5 * DAY)
    meanwhile = await job.missed()
    run = await job.start_run()
    await job.pass_time(10)

    assert before == []
    assert meanwhile == [(24.0, None, False)]
    assert await job.missed() == [(24.0, run, True)]


async def test_after_it_has_come_the_next_one_is_expected_a_day_later(job: Expected) -> None:
    await job.pass_time(30 * HOUR)
    run = await job.start_run()
    await job.pass_time(DAY + 2 * HOUR - 1)
    before = await job.missed()
    await job.pass_time(60)

    assert before == [(24.0, run, True)]
    assert await job.missed() == [(24.0, run, True), (54.0, None, False)]


async def test_a_job_that_runs_in_time_is_never_missed(job: Expected) -> None:
    for _ in range(5):
        await job.pass_time(25 * HOUR)
        await job.start_run()

    assert await job.missed() == []


async def test_a_run_that_has_not_started_does_not_count(job: Expected) -> None:
    await job.pass_time(DAY)
    run = await job.start_run()
    await job.database.write(lambda c: c.execute(update(runs).values(started_at=None, state="pending")))
    await job.pass_time(3 * HOUR)
    missed = await job.missed()
    now = job.clock.now()
    await job.database.write(lambda c: c.execute(update(runs).values(started_at=now, state="running")))
    await job.pass_time(10)

    assert missed == [(24.0, None, False)]
    assert await job.missed() == [(24.0, run, True)]


async def test_an_outage_leaves_time_for_what_was_kept_to_be_delivered(job: Expected) -> None:
    job.clock.advance(3 * DAY)
    pause = await job.watch.run_once()
    await job.start_run(ago=2 * HOUR)
    await job.pass_time(EXPECTED_PATIENCE_SECONDS + 1)

    assert 0 < pause <= POLL_SECONDS
    assert await job.missed() == []


async def test_what_never_comes_is_missed_after_an_outage_as_well(job: Expected) -> None:
    job.clock.advance(3 * DAY)

    await job.pass_time(EXPECTED_PATIENCE_SECONDS + 1)

    assert await job.missed() == [(24.0, None, False)]


async def test_a_changed_expectation_begins_anew_and_closes_what_was_missed(job: Expected) -> None:
    await job.pass_time(30 * HOUR)
    await job.apply("run: x, expect: 'every 1h, grace 1m'")
    after_change = await job.missed()
    await job.pass_time(HOUR + 30)
    in_time = await job.missed()
    await job.pass_time(60)

    assert after_change == in_time == [(24.0, None, True)]
    assert await job.missed() == [(24.0, None, True), (31.0, None, False)]


async def test_the_same_definition_again_changes_nothing(job: Expected) -> None:
    await job.pass_time(20 * HOUR)
    await job.apply("run: something else, expect: 'every 1d, grace 2h'")

    await job.pass_time(7 * HOUR)

    assert await job.missed() == [(24.0, None, False)]


@pytest.mark.parametrize("body", ["run: x", "", "run: x, expect: 'every 1d, grace 2h', enabled: false"])
async def test_of_what_is_removed_or_disabled_nothing_is_expected(job: Expected, body: str) -> None:
    await job.pass_time(30 * HOUR)
    await job.apply(body)
    await job.pass_time(5 * DAY)
    closed = await job.missed()
    await job.apply()
    await job.pass_time(25 * HOUR)
    in_time = await job.missed()
    await job.pass_time(2 * HOUR)

    assert closed == in_time == [(24.0, None, True)]
    assert len(await job.missed()) == 2


async def test_of_a_job_that_a_person_disabled_nothing_is_expected_until_it_is_enabled(job: Expected) -> None:
    async def switch(disabled_by: str | None) -> None:
        now = job.clock.now()
        found = await job.database.read(lambda c: find_job(c, "ops", "backup"))
        await job.database.write(lambda c: switch_job(c, found.id, disabled_by=disabled_by))
        await job.database.write(lambda c: switch_expectation(c, found.id, is_active=not disabled_by, now=now))

    await switch("ana")
    await job.pass_time(5 * DAY)
    disabled = await job.missed()
    await switch(None)
    await job.pass_time(27 * HOUR)

    assert disabled == []
    assert await job.missed() == [(144.0, None, False)]


async def test_a_run_before_its_hour_is_not_the_one_that_was_expected(job: Expected) -> None:
    await job.apply("run: x, expect: '0 2 * * *, grace 1h'")
    hour = (2 * HOUR - job.clock.now() / 1e6) % DAY
    await job.pass_time(hour + HOUR + 1)
    missed = await job.missed()

    await job.start_run(ago=3 * HOUR)
    await job.pass_time(60)
    early = await job.missed()
    run = await job.start_run()
    await job.pass_time(60)

    assert [each[1:] for each in missed] == [each[1:] for each in early] == [(None, False)]
    assert [each[1:] for each in await job.missed()] == [(run, True)]


async def test_at_rest_it_sleeps_as_long_as_the_safety_net_allows(job: Expected) -> None:
    pause = await job.watch.run_once()
    job.clock.advance(26 * HOUR - 2.5)
    shortly_before = await job.watch.run_once()

    assert pause == POLL_SECONDS
    assert shortly_before == pytest.approx(2.5)


async def test_two_masters_miss_a_run_once(postgres_url: str, tmp_path: Path) -> None:
    databases = [await open_database(postgres_url) for _ in range(2)]
    user = await given.user(databases[0])
    async with asyncio.TaskGroup() as tasks:
        made = [Expected(StillMaster(each, tmp_path / "logs", tasks, user)) for each in databases]
    text = "".join(f"  backup-{number}: {{ run: x, expect: 'every 1d, grace 2h' }}\n" for number in range(20))
    definition = read_definition(f"orchestra: 1\nproject: ops\njobs:\n{text}", "orchestra.yaml")
    now = made[0].clock.now()
    await databases[0].write(
        lambda c: apply_definition(c, definition, owner_file=None, source="test", by="ana", now=now)
    )
    for each in made:
        each.clock.advance(26 * HOUR)

    await asyncio.gather(*(each.watch.run_once() for each in made))

    missed = await made[0].missed()
    looks = await databases[0].read(lambda c: set(c.execute(select(expectations.c.look_at)).scalars()))
    for database in databases:
        await database.close()
    assert missed == [(24.0, None, False)] * 20
    assert looks == {None}
