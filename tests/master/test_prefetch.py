"""Runs given to a worker beyond its slots: they go when a slot is free and not before, or they go back unharmed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select, update

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.limits import PREFETCH_SECONDS, PREFETCHED_SECONDS_MAX
from orchestra.protocol.messages import Accept, Forget, Go, Held, Offer, Refuse, Resume, Stop, Welcome
from orchestra.specification import Matching
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.tables import attempts, jobs, runs
from orchestra_master.offer_watch import OfferWatch
from orchestra_master.roster import ConnectedWorker
from orchestra_master.stopper import Stopper
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import WorkerEnd, final, hello, started

FIRST = AttemptNumber(1)


@pytest.fixture
async def master(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(sqlite_database, tmp_path / "logs", tasks, await given.user(sqlite_database))
        yield made
        for link in made.links:
            link.cancel()


async def connect(master: StillMaster, *, held: tuple[Held, ...] = (), prefetch: int = 2, slots: int = 2) -> WorkerEnd:
    """A worker of two slots that keeps as many offers beside them."""
    end = master.connect()
    end.say(msgspec.structs.replace(hello(held=held, worker="atlas", slots=slots), prefetch=prefetch))
    await end.hear(Welcome)
    return end


def session(master: StillMaster) -> ConnectedWorker:
    (connected,) = master.parts.roster.connected()
    return connected


async def take(worker: WorkerEnd) -> RunId:
    """Accepts the next offer."""
    offer = await worker.hear(Offer)
    worker.say(Accept(run=offer.run, attempt=offer.attempt))
    return offer.run


async def start(worker: WorkerEnd) -> RunId:
    """Accepts the next offer, hears go and starts."""
    run = await take(worker)
    assert (await worker.hear(Go)).run == run
    worker.say(started(run, FIRST))
    return run


async def busy(master: StillMaster, worker: WorkerEnd) -> tuple[RunId, RunId]:
    """Both slots run something, and one run has just ended there: more of them are about to end."""
    made = [await given.pending_run(master.database, now=master.clock.now()) for _ in range(3)]
    await master.dispatcher.dispatch_once()
    await start(worker)
    second = await start(worker)
    worker.say(final(made[0], FIRST, sequence=2))
    assert (await worker.hear(Forget)).run == made[0]
    await master.dispatcher.dispatch_once()
    third = await start(worker)
    await master.reaches(third, RunState.RUNNING)
    return second, third


async def prefetched(master: StillMaster, worker: WorkerEnd) -> RunId:
    """One more run, which the worker has accepted, so that it waits for a slot there."""
    run = await given.pending_run(master.database, now=master.clock.now())
    master.dispatcher.capacity_changed()
    await give(master)
    await take(worker)
    await reaches(master, run, AttemptState.ACCEPTED)
    return run


async def give(master: StillMaster) -> None:
    master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
    await master.dispatcher.dispatch_once()


async def reaches(master: StillMaster, run: RunId, state: AttemptState) -> None:
    changes = master.database.subscribe(Topic.RUN)
    async with asyncio.timeout(10):
        while await attempt_state(master, run) is not state:
            await changes.wait(1)
    changes.close()


async def attempt_state(master: StillMaster, run: RunId) -> AttemptState | None:
    query = select(attempts.c.state).where(attempts.c.run_id == run, attempts.c.number == FIRST)
    found = await master.database.read(lambda connection: connection.execute(query).scalar_one_or_none())
    return found and AttemptState(found)


def heard(worker: WorkerEnd, kind: type[Go] | type[Stop]) -> list[RunId]:
    """What has come and was not asked for."""
    return [message.run for message in worker.take_heard(kind)]


async def test_what_is_accepted_beyond_the_slots_goes_when_one_is_free(master: StillMaster) -> None:
    worker = await connect(master)
    second, _ = await busy(master, worker)
    waiting = await prefetched(master, worker)
    too_early = heard(worker, Go)

    worker.say(final(second, FIRST, sequence=2))

    assert (await worker.hear(Go)).run == waiting
    assert too_early == []
    assert session(master).free_slots == 0


async def test_an_end_that_comes_before_the_acceptance_frees_its_slot_for_it(master: StillMaster) -> None:
    worker = await connect(master)
    second, _ = await busy(master, worker)
    run = await given.pending_run(master.database, now=master.clock.now())
    await give(master)
    await worker.hear(Offer)

    worker.say(final(second, FIRST, sequence=2), Accept(run=run, attempt=FIRST))

    assert (await worker.hear(Go)).run == run


async def test_a_worker_that_keeps_nothing_beyond_its_slots_is_given_nothing(master: StillMaster) -> None:
    worker = await connect(master, prefetch=0)
    await busy(master, worker)
    run = await given.pending_run(master.database, now=master.clock.now())

    await give(master)

    assert await given.state_of(master.database, run) is RunState.PENDING


async def test_a_worker_where_nothing_ended_of_late_is_given_nothing(master: StillMaster) -> None:
    worker = await connect(master)
    await busy(master, worker)
    run = await given.pending_run(master.database, now=master.clock.now())
    master.clock.advance(PREFETCH_SECONDS * 2)

    await give(master)

    assert await given.state_of(master.database, run) is RunState.PENDING


async def test_a_run_of_several_slots_waits_in_the_queue(master: StillMaster) -> None:
    worker = await connect(master)
    await busy(master, worker)
    wide = given.specification(matching=Matching(slots=2))
    run = await given.pending_run(master.database, wide, now=master.clock.now())

    await give(master)

    assert await given.state_of(master.database, run) is RunState.PENDING


async def test_what_waits_too_long_goes_back_into_the_queue(master: StillMaster) -> None:
    worker = await connect(master)
    second, _ = await busy(master, worker)
    run = await prefetched(master, worker)
    watch = OfferWatch(parts=master.parts)
    soon = await watch.run_once()
    master.clock.advance(PREFETCHED_SECONDS_MAX)

    await watch.run_once()

    assert soon <= PREFETCHED_SECONDS_MAX
    assert (await worker.hear(Forget)).run == run
    assert await given.state_of(master.database, run) is RunState.PENDING
    worker.say(final(second, FIRST, sequence=2))
    await worker.hear(Forget)
    assert heard(worker, Go) == [], "it was told to go after it had been taken back"


async def test_a_stop_cancels_what_waits_for_a_slot(master: StillMaster) -> None:
    worker = await connect(master)
    await busy(master, worker)
    run = await prefetched(master, worker)
    asked = update(runs).where(runs.c.id == run).values(stop_requested_at=1, stop_requested_by="ada")
    await master.database.write(lambda connection: connection.execute(asked).rowcount)

    await Stopper(parts=master.parts).run_once()

    assert (await worker.hear(Forget)).run == run
    assert await given.state_of(master.database, run) is RunState.CANCELLED
    assert heard(worker, Stop) == []


async def test_a_quarantine_takes_back_what_waits_of_its_job_and_nothing_else(master: StillMaster) -> None:
    worker = await connect(master)
    second, third = await busy(master, worker)
    run = await prefetched(master, worker)
    put_away = jobs.update().where(jobs.c.id.in_(select(runs.c.job_id).where(runs.c.id.in_([run, second]))))
    values = {"quarantined_at": master.clock.now(), "quarantine_reason": "2 attempts were lost within 1h"}
    await Stopper(parts=master.parts).run_once()
    before = await given.state_of(master.database, run)
    await master.database.write(lambda connection: connection.execute(put_away.values(values)).rowcount)

    await Stopper(parts=master.parts).run_once()

    assert (await worker.hear(Forget)).run == run
    states = [await given.state_of(master.database, each) for each in (run, second, third)]
    assert (before, states) == (RunState.ASSIGNED, [RunState.PENDING, RunState.RUNNING, RunState.RUNNING])
    assert heard(worker, Stop) == [], "what runs goes on"


async def test_a_worker_that_goes_away_gives_back_what_it_was_not_told_to_start(master: StillMaster) -> None:
    worker = await connect(master)
    second, _ = await busy(master, worker)
    run = await prefetched(master, worker)

    worker.go_away()
    await master.links[0]

    assert await given.state_of(master.database, run) is RunState.PENDING
    assert await given.state_of(master.database, second) is RunState.RUNNING


async def test_a_worker_that_came_back_elsewhere_keeps_what_waits_there(master: StillMaster) -> None:
    worker = await connect(master)
    second, third = await busy(master, worker)
    run = await prefetched(master, worker)
    kept = tuple(
        Held(run=each, attempt=FIRST, state=state, sequence=sequence, log_length=0)
        for each, state, sequence in [
            (second, AttemptState.STARTED, 1),
            (third, AttemptState.STARTED, 1),
            (run, AttemptState.ACCEPTED, 0),
        ]
    )

    newer = await connect(master, held=kept)
    await master.links[0]

    assert [(await newer.hear(Resume)).run for _ in kept] == [second, third, run]
    assert await attempt_state(master, run) is AttemptState.ACCEPTED
    assert heard(newer, Go) == [], "no slot is free"
    newer.say(final(second, FIRST, sequence=2))
    assert (await newer.hear(Go)).run == run


async def test_what_an_earlier_connection_may_have_told_to_go_is_never_taken_back(master: StillMaster) -> None:
    worker = await connect(master)
    second, third = await busy(master, worker)
    run = await prefetched(master, worker)
    held = [(second, AttemptState.STARTED, 1), (third, AttemptState.STARTED, 1), (run, AttemptState.ACCEPTED, 0)]
    newer = await connect(
        master,
        held=tuple(Held(run=each, attempt=FIRST, state=state, sequence=n, log_length=0) for each, state, n in held),
    )
    master.clock.advance(PREFETCHED_SECONDS_MAX)

    await OfferWatch(parts=master.parts).run_once()
    newer.say(started(run, FIRST))

    await master.reaches(run, RunState.RUNNING)
    assert session(master).free_slots == -1, "it counts, though the worker had it start too early"


async def test_a_refusal_of_one_makes_room_for_the_next(master: StillMaster) -> None:
    worker = await connect(master)
    await busy(master, worker)
    run = await given.pending_run(master.database, now=master.clock.now())
    await give(master)
    await worker.hear(Offer)

    worker.say(Refuse(run=run, attempt=FIRST, reason="its disk is full"))

    await master.reaches(run, RunState.PENDING)
    assert session(master).prefetched == {}
