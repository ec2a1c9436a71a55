"""However an attempt is lost, one too many puts its job into quarantine, and the master says so once in its log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.logs.digest import SegmentedDigest
from orchestra.policies import PoisonGuard, Policies
from orchestra.protocol.messages import Accept, Final, Forget, Go, Offer
from orchestra.specification import RetryCause
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.jobs import find_job
from orchestra.storage.quarantine import release_job
from orchestra.storage.tables import jobs
from orchestra_master.rescuer import Rescuer
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import WorkerEnd, event, started

ATTEMPT = AttemptNumber(1)
GRIM = given.specification(policies=Policies(poison=PoisonGuard(lost=2, within_seconds=86_400)))
LINE = "job_quarantined project=ops job=grim reason=2 attempts were lost within 1d: #1, #2"


@pytest.fixture
async def master(database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        yield made
        for link in made.links:
            link.cancel()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> "Lines":
    """What is said of quarantines."""
    caplog.set_level(logging.INFO)
    return Lines(caplog)


class Lines:
    """The lines of the log about quarantines, with their levels."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def __call__(self) -> list[tuple[str, str]]:
        """All until now."""
        found = [(record.levelname, record.getMessage()) for record in self._caplog.records]
        return [each for each in found if each[1].startswith("job_quarantined")]


async def give(master: StillMaster) -> None:
    """Gives out what may start."""
    master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
    await master.dispatcher.dispatch_once()


async def running(master: StillMaster, worker: WorkerEnd) -> RunId:
    """A run of the job that the worker has started."""
    run = await given.pending_run(master.database, GRIM, of_job="grim", now=master.clock.now())
    await give(master)
    offer = await worker.hear(Offer)
    worker.say(Accept(run=run, attempt=offer.attempt))
    await worker.hear(Go)
    worker.say(started(run, offer.attempt))
    await master.reaches(run, RunState.RUNNING)
    return run


async def is_quarantined(master: StillMaster) -> bool:
    """Whether the job is put away."""
    query = select(jobs.c.quarantined_at).where(jobs.c.name == "grim")
    return await master.database.read(lambda connection: connection.execute(query).scalar_one() is not None)


def tell_lost(worker: WorkerEnd, run: RunId, cause: str = RetryCause.LOST) -> None:
    """The worker says that the attempt is over."""
    happening = Final(
        outcome=AttemptState.EXCEPTION,
        exit_code=None,
        reason="keeper lost",
        cause=cause,
        log_length=0,
        log_digest=SegmentedDigest().hexdigest(),
    )
    worker.say(event(run, ATTEMPT, 2, happening))


async def test_what_workers_report_as_lost_counts(master: StillMaster, lines: Lines) -> None:
    worker = await master.worker(slots=3)
    first, second = [await running(master, worker) for _ in range(2)]
    tell_lost(worker, first)
    await worker.hear(Forget)
    before = (await is_quarantined(master), lines())
    stops = master.database.subscribe(Topic.STOPS)

    tell_lost(worker, second)
    await worker.hear(Forget)

    assert before == (False, [])
    assert await stops.wait(5), "what waits at workers is looked at"
    stops.close()
    assert (await is_quarantined(master), lines()) == (True, [("ERROR", LINE)])


async def test_of_two_in_one_report_the_second_is_one_too_many(master: StillMaster, lines: Lines) -> None:
    worker = await master.worker(slots=3)
    held = [await running(master, worker) for _ in range(3)]

    for run in held:
        tell_lost(worker, run)
    for _ in held:
        await worker.hear(Forget)

    assert await is_quarantined(master)
    assert len(lines()) == 1, "the third finds the job put away"


async def test_an_end_that_is_not_a_loss_does_not_count(master: StillMaster, lines: Lines) -> None:
    worker = await master.worker(slots=3)
    for cause in (RetryCause.EXCEPTION, RetryCause.TIMEOUT):
        tell_lost(worker, await running(master, worker), cause)
        await worker.hear(Forget)

    assert (await is_quarantined(master), lines()) == (False, [])


async def test_workers_that_are_out_of_contact_for_too_long_count(master: StillMaster, lines: Lines) -> None:
    worker = await master.worker()
    for _ in range(2):
        await running(master, worker)
    worker.go_away()
    await asyncio.wait(master.links)
    rescuer = Rescuer(parts=master.parts, patience_seconds=0)

    for _ in range(61):
        master.clock.advance(10)
        await rescuer.run_once()

    assert (await is_quarantined(master), lines()) == (True, [("ERROR", LINE)])


async def test_what_a_worker_comes_back_without_counts(master: StillMaster, lines: Lines) -> None:
    worker = await master.worker()
    for _ in range(2):
        await running(master, worker)
    worker.go_away()
    await asyncio.wait(master.links)

    await master.worker()

    assert (await is_quarantined(master), lines()) == (True, [("ERROR", LINE)])


async def test_nothing_of_a_job_that_is_put_away_is_given_out_until_it_is_released(master: StillMaster) -> None:
    worker = await master.worker(slots=3)
    for run in [await running(master, worker) for _ in range(2)]:
        tell_lost(worker, run)
        await worker.hear(Forget)
    held_back = await given.pending_run(master.database, GRIM, of_job="grim", now=master.clock.now())
    other = await given.pending_run(master.database, now=master.clock.now())

    await give(master)
    first = await worker.hear(Offer)
    none_more = worker.take_heard(Offer)
    signals, now = master.database.subscribe(Topic.PENDING), master.clock.now()
    await master.database.write(lambda c: release_job(c, find_job(c, "ops", "grim").id, now=now))
    master.dispatcher.wake(await signals.wait(5))
    await master.dispatcher.dispatch_once()
    second = await worker.hear(Offer)

    assert (first.run, none_more, second.run) == (other, [], held_back)
    signals.close()
