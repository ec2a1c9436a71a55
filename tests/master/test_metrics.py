"""What a master counts of its attempts, and what it shows of its workers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra.lifecycle import RunState
from orchestra.protocol.messages import Accept, Chunk, Forget, Offer
from orchestra.storage.database import Database
from orchestra_master.fleet_metrics import FleetCollector
from orchestra_master.listener import Listener
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import final, started


@pytest.fixture
async def master(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[StillMaster]:
    """A master that does nothing by itself."""
    async with asyncio.TaskGroup() as tasks:
        made = StillMaster(sqlite_database, tmp_path / "logs", tasks, await given.user(sqlite_database))
        yield made
        for link in made.links:
            link.cancel()


@pytest.fixture
def value(master: StillMaster) -> "Value":
    """Reads one sample."""
    listener = Listener(parts=master.parts)
    master.registry.register(
        FleetCollector(roster=master.parts.roster, dispatcher=master.dispatcher, listener=listener)
    )
    return Value(master)


class Value:
    """Reads samples of a master."""

    def __init__(self, master: StillMaster) -> None:
        self._master = master

    def __call__(self, name: str, **labels: str) -> float:
        """The value; a sample that is not there is a mistake of the test."""
        found = self._master.registry.get_sample_value(name, labels)
        assert found is not None, name
        return found


async def test_attempts_are_counted_with_how_long_they_waited_and_lasted(master: StillMaster, value: Value) -> None:
    worker = await master.worker()
    run = await given.pending_run(master.database, now=master.clock.now())
    master.clock.advance(seconds=7)
    await master.dispatcher.dispatch_once()
    offer = await worker.hear(Offer)
    worker.say(Accept(run=run, attempt=offer.attempt), started(run, offer.attempt))
    await master.reaches(run, RunState.RUNNING)
    master.clock.advance(seconds=20)

    worker.say(
        Chunk(run=run, attempt=offer.attempt, offset=0, content=b"twelve bytes"),
        final(run, offer.attempt, sequence=2, output=b"twelve bytes", exit_code=3),
    )
    await worker.hear(Forget)

    assert value("orchestra_attempts_ended_total", outcome="failed") == 1
    assert value("orchestra_attempts_ended_total", outcome="succeeded") == 0
    assert value("orchestra_run_wait_seconds_sum") == 7
    assert value("orchestra_attempt_seconds_sum") == 20
    assert value("orchestra_log_bytes_total") == 12


async def test_the_fleet_is_shown_as_it_is_now(master: StillMaster, value: Value) -> None:
    nobody = (value("orchestra_workers_connected"), value("orchestra_slots", use="free"))
    worker = await master.worker(slots=3)

    await master.running(worker)

    assert nobody == (0, 0)
    assert value("orchestra_workers_connected") == 1
    assert (value("orchestra_slots", use="used"), value("orchestra_slots", use="free")) == (1, 2)
    assert (value("orchestra_attempts_held"), value("orchestra_offers_open")) == (1, 0)
    assert value("orchestra_dispatcher_signatures", state="blocked") == 0
