"""A master whose loops do not run, for tests that do one duty at a time and turn the clock themselves."""

import asyncio
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from orchestra.identifiers import RunId, UserId
from orchestra.lifecycle import RunState
from orchestra.logs.store import FileLogStore
from orchestra.protocol.messages import Accept, Go, Held, Offer, Welcome
from orchestra.specification import RetryPolicy
from orchestra.storage.database import Database, Topic
from orchestra.storage.job_versions import JobVersions
from orchestra_master.assemble import LogThread
from orchestra_master.claiming import Claiming
from orchestra_master.dispatcher import Dispatcher
from orchestra_master.link import Link
from orchestra_master.metrics import AttemptMetrics
from orchestra_master.offering import Offering
from orchestra_master.parts import MasterParts
from orchestra_master.roster import Roster
from orchestra_master.selection import SpreadingSelector
from tests.support import given
from tests.support.clocks import FakeClock
from tests.support.worker_end import WorkerEnd, hello, started


class NoSecrets:
    """Opens nothing: these tests' runs have no secrets."""

    def open(self, sealed: str) -> dict[str, str]:
        """Never asked."""
        raise AssertionError(sealed)


class StillMaster:
    """The parts of a master whose loops do not run: each test does what it wants to see done."""

    def __init__(
        self,
        database: Database,
        logs: Path,
        tasks: asyncio.TaskGroup,
        user: UserId,
        *,
        store: FileLogStore | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self.database = database
        self._tasks = tasks
        self.user = user
        self.links: list[asyncio.Task[None]] = []
        self.parts = MasterParts(
            name="m1",
            clock=self.clock,
            database=database,
            logs=store or FileLogStore(logs),
            run_blocking=LogThread(),
            versions=JobVersions(),
            roster=Roster(),
            metrics=AttemptMetrics(registry=self.registry),
        )
        self.dispatcher = Dispatcher(
            parts=self.parts,
            claiming=Claiming(parts=self.parts, selector=SpreadingSelector()),
            offering=Offering(parts=self.parts, secrets=NoSecrets()),
        )
        self.parts.roster.on_capacity(self.dispatcher.capacity_changed)

    def connect(self) -> WorkerEnd:
        """A connection on which nothing was said yet."""
        end = WorkerEnd()
        link = Link(parts=self.parts, connection=end, user=self.user)
        self.links.append(self._tasks.create_task(link.run(), name="link"))
        return end

    async def worker(self, held: tuple[Held, ...] = (), *, name: str = "atlas", slots: int = 2) -> WorkerEnd:
        """A worker that has been greeted."""
        end = self.connect()
        end.say(hello(held=held, worker=name, slots=slots))
        await end.hear(Welcome)
        return end

    async def running(
        self, worker: WorkerEnd, retry: RetryPolicy = given.NO_RETRY, *, disconnect_stop_seconds: float | None = None
    ) -> RunId:
        """A run that the worker has started."""
        job = given.specification(retry=retry, lost_after_seconds=600)
        stopping = msgspec.structs.replace(job.execution, disconnect_stop_seconds=disconnect_stop_seconds)
        job = msgspec.structs.replace(job, execution=stopping)
        run = await given.pending_run(self.database, job, now=self.clock.now())
        await self.dispatcher.dispatch_once()
        offer = await worker.hear(Offer)
        worker.say(Accept(run=run, attempt=offer.attempt))
        await worker.hear(Go)
        worker.say(started(run, offer.attempt))
        await self.reaches(run, RunState.RUNNING)
        return run

    async def reaches(self, run: RunId, state: RunState) -> None:
        """Waits until the run is there."""
        changes = self.database.subscribe(Topic.RUN)
        async with asyncio.timeout(10):
            while await given.state_of(self.database, run) is not state:
                await changes.wait(1)
        changes.close()
