"""Lost attempts are counted by job and window, on both databases: when a job is put away, and what a release does."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, insert, select, text

from orchestra.clock import Instant
from orchestra.identifiers import JobId, RunId, Signature
from orchestra.policies import PoisonGuard
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.open import open_database
from orchestra.storage.pending import pending_heads
from orchestra.storage.quarantine import Quarantine, quarantine_if_poison, quarantine_of, release_job
from orchestra.storage.tables import attempts, runs
from tests.support import given
from tests.support.clocks import FakeClock

TWICE = PoisonGuard(lost=2, within_seconds=600)
HOUR = PoisonGuard(lost=3, within_seconds=3600)
CLOCK = FakeClock()
NOW = CLOCK.now()


def _lose(connection: Connection, run: int, number: int, at: Instant, cause: str | None = "lost") -> None:
    ended = {"state": "exception", "cause": cause, "offered_at": at, "ended_at": at, "epoch": 1}
    connection.execute(insert(attempts).values(run_id=run, number=number, **ended))


class Losses:
    """Attempts that are lost at moments of one hour; runs belong to the job of their name."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()

    async def run(self, job: str = "grim") -> RunId:
        """A run that waits."""
        return await given.pending_run(self.database, of_job=job, now=self.clock.now())

    async def lose(
        self, run: RunId, *, number: int = 1, cause: str | None = "lost", guard: PoisonGuard = TWICE
    ) -> str | None:
        """An attempt of it is over; gives what its job is put away by."""
        now = self.clock.now()

        def lose(connection: Connection) -> Quarantine | None:
            _lose(connection, run, number, now, cause)
            return quarantine_if_poison(connection, run, guard, now=now) if cause == "lost" else None

        found = await self.database.write(lose)
        return None if found is None else found.reason

    async def job_of(self, run: RunId) -> JobId:
        """Whose it is."""
        return JobId(await self.database.read(lambda c: c.scalar(select(runs.c.job_id).where(runs.c.id == run)) or 0))

    async def quarantine(self, run: RunId) -> Quarantine | None:
        """What its job is in."""
        job = await self.job_of(run)
        return await self.database.read(lambda connection: quarantine_of(connection, job))

    async def release(self, run: RunId) -> bool:
        """A person trusts its job."""
        job, now = await self.job_of(run), self.clock.now()
        return await self.database.write(lambda connection: release_job(connection, job, now=now))

    async def heads(self) -> list[RunId]:
        """What a dispatcher would give out, in its order."""

        def heads(connection: Connection) -> list[RunId]:
            [signature] = connection.execute(select(runs.c.signature).distinct()).scalars()
            return [head.run for head in pending_heads(connection, Signature(signature), 10)]

        return await self.database.write(heads)


@pytest.fixture
def losses(database: Database) -> Losses:
    """Nothing lost yet."""
    return Losses(database)


async def test_a_job_is_put_away_by_the_last_of_too_many_and_its_words_say_how_to_release_it(losses: Losses) -> None:
    first, second = await losses.run(), await losses.run()
    signals = losses.database.subscribe(Topic.RUN)

    before = await losses.lose(first)
    losses.clock.advance(60)
    reason = await losses.lose(second)

    found = await losses.quarantine(first)
    assert (before, reason) == (None, "2 attempts were lost within 10m: #1, #2")
    assert found is not None
    assert (found.since, found.reason) == (losses.clock.now(), reason)
    assert found.words == (
        "job ops/grim is in quarantine since 2026-09-21T14:14:20.000Z: 2 attempts were lost within 10m: #1, #2; "
        "release it with 'orchestra job release ops/grim'"
    )
    assert Signal(Topic.RUN) in await signals.wait(5)
    signals.close()


async def test_two_attempts_of_one_run_count_twice(losses: Losses) -> None:
    run = await losses.run()
    await losses.lose(run, number=1)

    reason = await losses.lose(run, number=2)

    assert reason == "2 attempts were lost within 10m: #1, #1 attempt 2"


async def test_one_lost_attempt_may_be_too_many(losses: Losses) -> None:
    reason = await losses.lose(await losses.run(), guard=PoisonGuard(lost=1, within_seconds=90))

    assert reason == "1 attempt was lost within 1m30s: #1"


@pytest.mark.parametrize(("gap_seconds", "is_quarantined"), [(0, True), (599, True), (600, False), (86_400, False)])
async def test_only_what_was_lost_within_the_window_counts(
    losses: Losses, gap_seconds: float, is_quarantined: bool
) -> None:
    run = await losses.run()
    await losses.lose(run, number=1)
    losses.clock.advance(gap_seconds)

    await losses.lose(run, number=2)

    assert (await losses.quarantine(run) is not None) == is_quarantined


@pytest.mark.parametrize("cause", ["exit", "exit:75", "timeout", "exception", "setup", None])
async def test_attempts_that_ended_otherwise_do_not_count(losses: Losses, cause: str | None) -> None:
    run = await losses.run()
    for number in range(1, 4):
        await losses.lose(run, number=number, cause=cause)

    assert await losses.lose(run, number=4) is None


async def test_other_jobs_attempts_do_not_count_and_their_runs_go_on(losses: Losses) -> None:
    other, beside = await losses.run("other"), await losses.run("other")
    await losses.lose(other)
    run, behind = await losses.run(), await losses.run()
    await losses.lose(run)

    both = await losses.heads()
    await losses.lose(run, number=2)

    assert both == [other, beside, run, behind]
    assert await losses.heads() == [other, beside]
    assert await losses.quarantine(other) is None


async def test_a_job_in_quarantine_keeps_its_first_reason(losses: Losses) -> None:
    run = await losses.run()
    await losses.lose(run, number=1)
    await losses.lose(run, number=2)
    before = await losses.quarantine(run)
    losses.clock.advance(5)

    again = await losses.lose(run, number=3)

    assert again is None
    assert await losses.quarantine(run) == before


async def test_a_release_lets_what_waits_go_and_begins_to_count_anew(losses: Losses) -> None:
    run = await losses.run()
    await losses.lose(run, number=1, guard=HOUR)
    await losses.lose(run, number=2, guard=HOUR)
    await losses.lose(run, number=3, guard=HOUR)
    held_back = await losses.heads()
    # It had begun before, and is lost while the job is put away: that counts for nothing either.
    await losses.lose(run, number=4, guard=HOUR)
    losses.clock.advance(1)
    signals = losses.database.subscribe(Topic.PENDING)

    released = await losses.release(run)

    assert (held_back, released, await losses.heads()) == ([], True, [run])
    assert Signal(Topic.PENDING) in await signals.wait(5)
    assert await losses.quarantine(run) is None
    losses.clock.advance(1)
    ends = [await losses.lose(run, number=number, guard=HOUR) for number in (5, 6, 7)]
    assert ends == [None, None, "3 attempts were lost within 1h: #1 attempt 5, #1 attempt 6, #1 attempt 7"]
    signals.close()


async def test_there_is_nothing_to_release_of_a_job_that_is_not_in_quarantine(losses: Losses) -> None:
    run = await losses.run()
    await losses.lose(run)

    assert not await losses.release(run)
    assert await losses.lose(run, number=2) is not None, "and what was lost counts as before"


async def test_a_new_run_of_a_job_that_is_put_away_is_made_and_waits(losses: Losses) -> None:
    run = await losses.run()
    await losses.lose(run, number=1)
    await losses.lose(run, number=2)

    waiting = await losses.run()

    assert await losses.heads() == []
    assert await losses.quarantine(waiting) is not None


def test_of_two_that_lose_attempts_at_once_the_later_one_sees_both(postgres_url: str) -> None:
    run = asyncio.run(_one_run(postgres_url))
    both_have_lost, second_has_counted = threading.Barrier(2), threading.Event()
    first_has_counted = threading.Event()

    def first(connection: Connection) -> Quarantine | None:
        _lose(connection, run, 1, NOW)
        both_have_lost.wait(20)
        found = quarantine_if_poison(connection, run, TWICE, now=NOW)
        first_has_counted.set()
        # It commits when the other one waits for it, or has not waited.
        while not second_has_counted.wait(0.01) and not connection.execute(_SOMEBODY_WAITS).scalar_one():
            pass
        return found

    def second(connection: Connection) -> Quarantine | None:
        _lose(connection, run, 2, NOW)
        both_have_lost.wait(20)
        assert first_has_counted.wait(20)
        found = quarantine_if_poison(connection, run, TWICE, now=NOW)
        second_has_counted.set()
        return found

    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(_write, postgres_url, change) for change in (first, second)]
        found = [end.result(60) for end in ends]

    assert [each.reason if each else None for each in found] == [
        None,
        "2 attempts were lost within 10m: #1, #1 attempt 2",
    ]


_SOMEBODY_WAITS = text("select exists (select from pg_locks where not granted)")


def _write(url: str, change: Callable[[Connection], Quarantine | None]) -> Quarantine | None:
    """By a process of its own, as far as the database can tell."""

    async def write() -> Quarantine | None:
        database = await open_database(url)
        try:
            return await database.write(change)
        finally:
            await database.close()

    return asyncio.run(write())


async def _one_run(url: str) -> RunId:
    database = await open_database(url)
    try:
        return await given.pending_run(database, now=NOW)
    finally:
        await database.close()
