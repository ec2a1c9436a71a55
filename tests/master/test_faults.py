"""What happens at the worst moment: a database that is away or slow, words that cross each other, a full disk."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from orchestra.errors import DatabaseAway, OutcomeUnknown
from orchestra.identifiers import AttemptNumber
from orchestra.lifecycle import AttemptState, RunState, WorkerEvent
from orchestra.limits import FRAME_BYTES_MAX
from orchestra.logs.store import AttemptKey, FileLogStore, LogPiece
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Accept, Acknowledge, Chunk, Event, Forget, Go, Held, Offer, Resume, Welcome
from orchestra.storage.database import Database
from orchestra.storage.runs import request_stop
from orchestra.storage.tables import attempts
from orchestra.storage.workers import begin_session, move_worker
from orchestra_master.contacts import ContactKeeper
from orchestra_master.offer_watch import OfferWatch
from orchestra_master.rescuer import Rescuer
from orchestra_master.stopper import Stopper
from tests.master.faulty_database import FaultyDatabase
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import final, hello, started

ATTEMPT = AttemptNumber(1)


@pytest.fixture
def faulty(sqlite_database: Database) -> FaultyDatabase:
    """The master's database."""
    return FaultyDatabase(sqlite_database)


class BadDisk(FileLogStore):
    """Stores logs until it has a fault; then each write has reached the disk in part."""

    fault: Exception | None = None

    def write(self, pieces: Sequence[LogPiece]) -> Mapping[AttemptKey, int]:
        """Writes, or fails in the middle."""
        if self.fault is not None:
            super().write([replace(each, content=each.content[: len(each.content) // 2]) for each in pieces])
            raise self.fault
        return super().write(pieces)


@pytest.fixture
def disk(tmp_path: Path) -> BadDisk:
    """The master's logs."""
    return BadDisk(tmp_path / "logs")


@pytest.fixture
async def master(faulty: FaultyDatabase, disk: BadDisk, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(faulty, tmp_path, tasks, await given.user(faulty), store=disk)
        yield made
        for link in made.links:
            link.cancel()


async def test_an_acceptance_in_the_moment_of_withdrawal_keeps_its_slots(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    run = await given.pending_run(faulty)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    master.clock.advance(4.1)

    withdrawal = faulty.hold_next_write()
    watching = asyncio.ensure_future(OfferWatch(parts=master.parts).run_once())
    await withdrawal.has_come.wait()
    worker.say(Accept(run=run, attempt=offer.attempt))
    await worker.hear(Go)
    withdrawal.may_go.set()
    await watching

    (connected,) = master.parts.roster.connected()
    assert await given.state_of(faulty, run) is RunState.ASSIGNED
    assert connected.held == {(run, ATTEMPT): 1}
    assert connected.offers == {}
    assert connected.refused_until == 0.0


async def test_an_attempt_that_is_over_holds_no_slot_once_its_worker_speaks_of_it(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    await given.pending_run(faulty)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    (connected,) = master.parts.roster.connected()
    master.clock.advance(20)
    await OfferWatch(parts=master.parts).run_once()  # as another master would, without a word to this one
    connected.held[(offer.run, offer.attempt)] = 1

    worker.say(Accept(run=offer.run, attempt=offer.attempt))
    await worker.hear(Forget)

    assert connected.held == {}


async def test_a_slot_is_given_away_while_the_end_of_its_last_run_is_still_being_stored(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker(slots=1)
    first = await master.running(worker)
    second = await given.pending_run(faulty)
    await master.dispatcher.dispatch_once()
    offered_before = worker.take_heard(Offer)

    storing = faulty.hold_next_write()
    worker.say(final(first, ATTEMPT, sequence=2))
    await storing.has_come.wait()
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    (connected,) = master.parts.roster.connected()
    held = dict(connected.held)
    storing.may_go.set()
    await worker.hear(Forget)

    assert not offered_before
    assert offer.run == second
    assert held == {(first, ATTEMPT): 1, (second, ATTEMPT): 1}
    assert connected.held == {(second, ATTEMPT): 1}
    assert connected.over == set()
    assert await given.state_of(faulty, first) is RunState.SUCCEEDED


# --- time that nobody could use ---


async def test_time_without_a_database_never_counts_against_a_worker(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    run = await master.running(await master.worker())
    rescuer = Rescuer(parts=master.parts, patience_seconds=300)
    for connected in master.parts.roster.connected():
        master.parts.roster.leave(connected)  # its contact is in the database, and gets old there

    master.clock.advance(3600)
    await rescuer.run_once()
    at_once = await given.state_of(faulty, run)
    for _ in range(31):
        master.clock.advance(10)
        await rescuer.run_once()

    assert at_once is RunState.RUNNING
    assert await given.state_of(faulty, run) is RunState.EXCEPTION


async def test_a_worker_that_is_connected_here_is_never_lost(master: StillMaster, faulty: FaultyDatabase) -> None:
    run = await master.running(await master.worker())
    rescuer = Rescuer(parts=master.parts, patience_seconds=0)

    for _ in range(100):
        master.clock.advance(10)
        await rescuer.run_once()

    assert await given.state_of(faulty, run) is RunState.RUNNING


# --- giving runs out ---


async def test_a_run_is_not_given_again_and_again_to_a_session_that_is_void(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    void = await master.worker()
    good = await master.worker(name="beta", slots=1)
    await faulty.write(lambda c: begin_session(c, hello(), user=master.user, master="m2", now=master.clock.now()))
    run = await given.pending_run(faulty)

    while await master.dispatcher.dispatch_once():
        pass
    offer = await good.hear(Offer)
    await ContactKeeper(parts=master.parts).run_once()
    code, _ = await void.closed

    assert offer.run == run
    assert code == CloseCode.REPLACED


async def test_what_was_to_be_given_out_is_remembered_while_the_database_is_away(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    run = await given.pending_run(faulty)
    faulty.be_away()
    with pytest.raises(DatabaseAway):
        await master.dispatcher.dispatch_once()

    await master.dispatcher.dispatch_once()

    assert (await worker.hear(Offer)).run == run


async def test_a_claim_with_an_unknown_outcome_holds_no_slot_and_goes_back(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    await master.worker()
    run = await given.pending_run(faulty, now=master.clock.now())
    faulty.lose_answer()
    with pytest.raises(OutcomeUnknown):
        await master.dispatcher.dispatch_once()
    assigned = await given.state_of(faulty, run)

    master.clock.advance(12.1)
    await OfferWatch(parts=master.parts).run_once()

    assert assigned is RunState.ASSIGNED
    assert await given.state_of(faulty, run) is RunState.PENDING
    assert master.parts.roster.connected()[0].free_slots == 2


async def test_a_run_too_large_for_a_frame_is_over_and_harms_no_connection(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    run = await given.pending_run(faulty, parameters={"text": "x" * FRAME_BYTES_MAX})
    other = await given.pending_run(faulty)

    await master.dispatcher.dispatch_once()

    assert (await worker.hear(Offer)).run == other
    assert await given.state_of(faulty, run) is RunState.EXCEPTION
    assert "1048576 at most can be sent to a worker" in str(await given.column_of(faulty, run, "reason"))


# --- words that nobody should say ---


async def test_a_fault_of_ours_ends_one_link_and_is_logged_with_its_worker(
    master: StillMaster, faulty: FaultyDatabase, disk: BadDisk, caplog: pytest.LogCaptureFixture
) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    disk.fault = ZeroDivisionError()

    with caplog.at_level(logging.ERROR):
        worker.say(final(run, ATTEMPT, sequence=2))
        code, reason = await worker.closed

    assert (code, reason) == (1011, "the master has failed")
    assert f"link_broke worker=atlas held=[({run}, 1)]" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert await given.state_of(faulty, run) is RunState.RUNNING


@pytest.mark.parametrize("name", ["", "Atlas", "../atlas", "a" * 65, "at\0las"])
async def test_a_worker_must_have_a_name(master: StillMaster, name: str) -> None:
    end = master.connect()

    end.say(hello(worker=name))
    code, reason = await end.closed

    assert code == CloseCode.REFUSED
    assert "is no worker name" in reason


async def test_a_life_that_cannot_be_is_refused_in_the_protocols_words(master: StillMaster) -> None:
    worker = await master.worker()
    run = await master.running(worker)

    twice = started(run, ATTEMPT)
    worker.say(Event(run=run, attempt=ATTEMPT, sequence=2, at=twice.at, happening=twice.happening))
    code, reason = await worker.closed

    assert code == CloseCode.OUT_OF_TURN
    assert reason == f"#{run}: what is started cannot become anything by 'started'"


async def test_a_disabled_worker_that_two_machines_claim_stays_disabled(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    await master.worker()
    await faulty.write(lambda c: move_worker(c, "atlas", WorkerEvent.DISABLED, reason="repairs"))

    for number in range(2):
        end = master.connect()
        end.say(hello(instance=f"instance-{number % 2}"))
        await end.hear(Welcome)
    last = master.connect()
    last.say(hello(instance="instance-0"))
    code, reason = await last.closed

    assert code == CloseCode.REFUSED
    assert "both are in quarantine" in reason


# --- a disk that is full ---


async def test_what_meets_a_full_disk_is_not_acknowledged_and_is_all_there_after_space_was_freed(
    master: StillMaster, faulty: FaultyDatabase, disk: BadDisk
) -> None:
    worker = await master.worker()
    run = await master.running(worker)
    worker.say(Chunk(run=run, attempt=ATTEMPT, offset=0, content=b"one "))
    while (await worker.hear(Acknowledge)).log_length < 4:
        pass

    disk.fault = OSError(errno.ENOSPC, "no space left on device")
    worker.say(Chunk(run=run, attempt=ATTEMPT, offset=4, content=b"two three"))
    code, reason = await worker.closed
    query = select(attempts.c.log_length).where(attempts.c.run_id == run)
    stored = await faulty.read(lambda connection: connection.execute(query).scalar_one())
    disk.fault = None
    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.SUCCEEDED, sequence=2, log_length=13)
    back = await master.worker((held,))
    resume = await back.hear(Resume)
    back.say(
        Chunk(run=run, attempt=ATTEMPT, offset=4, content=b"two three"),
        final(run, ATTEMPT, sequence=2, output=b"one two three"),
    )
    await back.hear(Forget)

    assert (code, reason) == (1011, "the master cannot store anything now")
    assert stored == resume.log_length == 4
    assert await given.state_of(faulty, run) is RunState.SUCCEEDED
    assert disk.read(run, ATTEMPT, 0, 100) == b"one two three"


async def test_a_stop_that_meets_an_acceptance_ends_it_before_it_starts(
    master: StillMaster, faulty: FaultyDatabase
) -> None:
    worker = await master.worker()
    run = await given.pending_run(faulty)
    await master.dispatcher.dispatch_once()
    await worker.hear(Offer)
    await faulty.write(lambda c: request_stop(c, run, by="user ana", reason="", now=master.clock.now()))

    withdrawal = faulty.hold_next_write()
    stopping = asyncio.ensure_future(Stopper(parts=master.parts).run_once())
    await withdrawal.has_come.wait()
    worker.say(Accept(run=run, attempt=ATTEMPT))
    await worker.hear(Forget)
    withdrawal.may_go.set()
    await stopping

    assert worker.take_heard(Go) == []
    assert await given.state_of(faulty, run) is RunState.CANCELLED
    assert master.parts.roster.connected()[0].free_slots == 2
