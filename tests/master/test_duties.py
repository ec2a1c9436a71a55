"""The duties of time, each done once with the hands of the clock turned by the test, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from orchestra.clock import Instant
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState, RunState, WorkerEvent
from orchestra.protocol.messages import Accept, Forget, Go, Held, Offer, Resume, Stop, Welcome
from orchestra.specification import RetryPolicy
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.runs import request_stop
from orchestra.storage.tables import attempts, run_events, runs
from orchestra.storage.workers import move_worker
from orchestra_master.contacts import ContactKeeper
from orchestra_master.link import Link
from orchestra_master.offer_watch import OfferWatch
from orchestra_master.promoter import Promoter
from orchestra_master.rescuer import Rescuer
from orchestra_master.stopper import Stopper
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import WorkerEnd, final, hello

ATTEMPT = AttemptNumber(1)


@pytest.fixture
async def master(database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        yield made
        for link in made.links:
            link.cancel()


async def test_an_offer_that_is_not_accepted_goes_back_within_five_seconds(master: StillMaster) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    await worker.hear(Offer)
    watch = OfferWatch(parts=master.parts)

    master.clock.advance(3.9)
    await watch.run_once()
    before = await given.state_of(master.database, run)
    master.clock.advance(0.2)
    await watch.run_once()

    assert before is RunState.ASSIGNED
    assert await given.state_of(master.database, run) is RunState.PENDING
    assert master.parts.roster.connected()[0].free_slots == 2


async def test_a_worker_that_let_an_offer_pass_gets_no_other_at_once(master: StillMaster) -> None:
    silent = await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    await silent.hear(Offer)
    other = await master.worker(name="boreas", slots=1)  # fewer slots: on paper the silent one stays the best
    master.clock.advance(4.1)
    await OfferWatch(parts=master.parts).run_once()

    master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
    await master.dispatcher.dispatch_once()

    assert (await other.hear(Offer)).run == run


async def test_a_late_acceptance_is_told_to_forget(master: StillMaster) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    master.clock.advance(5)
    await OfferWatch(parts=master.parts).run_once()

    worker.say(Accept(run=run, attempt=offer.attempt))
    await worker.hear(Forget)

    assert await given.state_of(master.database, run) is RunState.PENDING


async def test_d8_an_offer_of_a_master_that_died_goes_back_within_nine_seconds(master: StillMaster) -> None:
    await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    (connected,) = master.parts.roster.connected()
    connected.offers.clear()  # the new master knows nothing of the old one's offers
    watch = OfferWatch(parts=master.parts)

    await watch.run_once()
    before = await given.state_of(master.database, run)
    for _ in range(9):
        master.clock.advance(1)
        await watch.run_once()

    assert before is RunState.ASSIGNED
    assert await given.state_of(master.database, run) is RunState.PENDING


async def test_a_failed_attempt_is_followed_by_another_and_never_seen_as_failed(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker, RetryPolicy(max_attempts=2, wait_seconds=60, on=("exit",)))

    worker.say(final(run, ATTEMPT, sequence=2, exit_code=3))
    await worker.hear(Forget)
    scheduled = await given.state_of(master.database, run)
    reason = await given.column_of(master.database, run, "reason")
    promoter = Promoter(parts=master.parts)
    pause = await promoter.run_once()
    master.clock.advance(61)
    await promoter.run_once()

    assert scheduled is RunState.SCHEDULED
    assert reason == "attempt 1 of 2 failed: exit code 3"
    assert 0 < pause <= 60
    assert await given.state_of(master.database, run) is RunState.PENDING


async def test_a_run_that_nobody_took_in_time_expires(master: StillMaster) -> None:
    run = await given.pending_run(master.database, now=master.clock.now())
    promoter = Promoter(parts=master.parts)

    master.clock.advance(86_401)
    await promoter.run_once()

    assert await given.state_of(master.database, run) is RunState.CANCELLED
    assert await given.column_of(master.database, run, "reason") == "expired: no worker took it in time"


async def test_a_run_is_lost_only_after_its_own_time_and_the_masters_patience(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    worker.go_away()
    await asyncio.wait(master.links)
    rescuer = Rescuer(parts=master.parts, patience_seconds=700)

    states = []
    for looks in (60, 9, 2):
        for _ in range(looks):
            master.clock.advance(10)
            await rescuer.run_once()
        states.append(await given.state_of(master.database, run))

    assert states == [RunState.RUNNING, RunState.RUNNING, RunState.EXCEPTION]
    assert await given.column_of(master.database, run, "reason") == "worker lost: atlas was out of contact for 700 s"


async def test_a_run_that_its_worker_ends_by_itself_is_not_given_away_before_it_surely_has(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker, disconnect_stop_seconds=900)
    worker.go_away()
    await asyncio.wait(master.links)
    rescuer = Rescuer(parts=master.parts, patience_seconds=0)

    states = []
    for looks in (92, 1):
        for _ in range(looks):
            master.clock.advance(10)
            await rescuer.run_once()
        states.append(await given.state_of(master.database, run))

    assert states == [RunState.RUNNING, RunState.EXCEPTION]  # 900 s, 10 s of grace, and the margin


async def test_a_lost_attempt_may_be_followed_by_another_and_its_late_end_changes_nothing(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker, RetryPolicy(max_attempts=2, wait_seconds=0, on=("lost",)))
    worker.go_away()
    await asyncio.wait(master.links)
    master.clock.advance(601)
    await Rescuer(parts=master.parts, patience_seconds=0).run_once()
    await Promoter(parts=master.parts).run_once()

    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.SUCCEEDED, sequence=2, log_length=0)
    back = await master.worker((held,))
    await back.hear(Forget)
    await master.dispatcher.dispatch_once()
    offer = await back.hear(Offer)

    assert (offer.run, offer.attempt) == (run, 2)
    assert await given.state_of(master.database, run) is RunState.ASSIGNED


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (AttemptState.STARTED, "it was still running"),
        (AttemptState.SUCCEEDED, "it had succeeded"),
        (AttemptState.EXCEPTION, "it had ended as an exception"),
    ],
)
async def test_what_a_lost_worker_holds_when_it_comes_back_is_kept_as_evidence_once(
    master: StillMaster, state: AttemptState, words: str
) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    worker.go_away()
    await asyncio.wait(master.links)
    master.clock.advance(601)
    await Rescuer(parts=master.parts, patience_seconds=0).run_once()

    held = Held(run=run, attempt=ATTEMPT, state=state, sequence=2, log_length=0)
    for _ in range(2):  # the first `forget` is lost
        back = await master.worker((held,))
        await back.hear(Forget)
    late = await late_words(master.database, run)

    assert late == [(1, f"came too late: {words}")]
    assert await given.state_of(master.database, run) is RunState.EXCEPTION


async def test_an_end_that_was_stored_and_is_told_again_is_not_late(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    worker.say(final(run, ATTEMPT, sequence=2))
    await worker.hear(Forget)

    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.SUCCEEDED, sequence=2, log_length=0)
    back = await master.worker((held,))
    await back.hear(Forget)

    assert await late_words(master.database, run) == []


async def test_a_worker_that_lost_its_journal_loses_what_it_ran(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker)

    await master.worker(held=())

    assert await given.state_of(master.database, run) is RunState.EXCEPTION
    assert "without any trace of it" in str(await given.column_of(master.database, run, "reason"))


async def test_an_acceptance_that_got_lost_is_made_up_at_hello(master: StillMaster) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    await worker.hear(Offer)

    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.OFFERED, sequence=0, log_length=0)
    back = await master.worker((held,))
    go = await back.hear(Go)
    query = select(attempts.c.state).where(attempts.c.run_id == run)
    state = await master.database.read(lambda connection: connection.execute(query).scalar_one())

    assert go.run == run
    assert state == AttemptState.ACCEPTED


async def stop(database: Database, run: RunId, now: Instant) -> RunState:
    return await database.write(lambda c: request_stop(c, run, by="user ana", reason="wrong branch", now=now))


async def test_a_running_run_is_told_to_stop_once_in_a_session(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    stopper = Stopper(parts=master.parts)

    state = await stop(master.database, run, master.clock.now())
    await stopper.run_once()
    await stopper.run_once()
    told = await worker.hear(Stop)
    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.STARTED, sequence=1, log_length=0)
    back = await master.worker((held,))
    await back.hear(Resume)
    again = await back.hear(Stop)

    assert state is RunState.RUNNING
    assert told.reason == again.reason == "stopped by user ana: wrong branch"


async def test_an_offered_run_that_is_stopped_never_starts(master: StillMaster) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database)
    await master.dispatcher.dispatch_once()
    await worker.hear(Offer)

    await stop(master.database, run, master.clock.now())
    await Stopper(parts=master.parts).run_once()
    await worker.hear(Forget)
    worker.say(Accept(run=run, attempt=ATTEMPT))
    await worker.hear(Forget)

    assert await given.state_of(master.database, run) is RunState.CANCELLED


async def test_a_pending_run_that_is_stopped_is_cancelled_at_once(master: StillMaster) -> None:
    run = await given.pending_run(master.database)

    state = await stop(master.database, run, master.clock.now())

    assert state is RunState.CANCELLED
    assert await given.column_of(master.database, run, "reason") == "cancelled by user ana: wrong branch"


async def test_a_disabled_worker_gets_nothing_new(master: StillMaster) -> None:
    await master.worker()
    await master.database.write(lambda c: move_worker(c, "atlas", WorkerEvent.DISABLED, reason="repairs"))
    run = await given.pending_run(master.database)

    await master.dispatcher.dispatch_once()
    await ContactKeeper(parts=master.parts).run_once()

    assert await given.state_of(master.database, run) is RunState.PENDING
    assert not master.parts.roster.connected()[0].accepts_runs


async def test_of_two_masters_that_want_one_run_one_gets_it(database: Database, tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        owner = await given.user(database)
        masters = [StillMaster(database, tmp_path / str(number), tasks, owner) for number in range(2)]
        for number, each in enumerate(masters):
            end = WorkerEnd()
            each.links.append(tasks.create_task(Link(parts=each.parts, connection=end, user=owner).run()))
            end.say(hello(worker=f"worker-{number}", slots=50))
            await end.hear(Welcome)
        made = [await given.pending_run(database) for _ in range(20)]

        await asyncio.gather(*(each.dispatcher.dispatch_once() for each in masters for _ in range(3)))
        held = [key for each in masters for connected in each.parts.roster.connected() for key in connected.held]
        numbers = await database.read(lambda c: list(c.execute(select(runs.c.attempt)).scalars()))
        for each in masters:
            for link in each.links:
                link.cancel()

    assert sorted(run for run, _ in held) == sorted(made)
    assert numbers == [1] * 20


async def late_words(database: Database, run: RunId) -> list[tuple[int, str]]:
    query = select(run_events.c.attempt, run_events.c.detail).where(run_events.c.run_id == run)
    rows = await database.read(lambda connection: connection.execute(query.where(run_events.c.kind == "late")).all())
    return [(row.attempt, row.detail) for row in rows]
