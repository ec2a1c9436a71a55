"""A master that gives out what it can when it is told to, with workers and runs that have policies."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.lifecycle import RunState
from orchestra.policies import Policies
from orchestra.protocol.messages import Accept, Forget
from orchestra.specification import Matching, PropertyValue, RetryPolicy
from orchestra.storage.database import Database, Topic
from orchestra.storage.tables import runs
from orchestra_master.losing import lose_attempt
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import WorkerEnd, final, started

ATTEMPT = AttemptNumber(1)


class Room:
    """A master that gives out what it can when it is told to, and hears what is signalled."""

    def __init__(self, database: Database, master: StillMaster) -> None:
        self.database = database
        self.master = master
        self._signals = database.subscribe(Topic.PENDING, Topic.RELEASED)

    async def run(
        self,
        policies: Policies = given.NO_POLICIES,
        *,
        matching: Matching = given.ANY_WORKER,
        retry: RetryPolicy = given.NO_RETRY,
        project: str = "ops",
        job: str | None = None,
        parameters: Mapping[str, PropertyValue] | None = None,
        priority: int = 0,
    ) -> RunId:
        specification = given.specification(policies=policies, matching=matching, retry=retry)
        return await given.pending_run(
            self.database,
            specification,
            project=project,
            of_job=job,
            parameters=parameters,
            priority=priority,
            now=self.master.clock.now(),
        )

    async def dispatch(self) -> list[RunId]:
        """All that can go now goes; says what went."""
        before = await self.held()
        self.master.dispatcher.wake(await self._signals.wait(0.01))
        for _ in range(20):
            if not await self.master.dispatcher.dispatch_once():
                return sorted(await self.held() - before)
        raise AssertionError("the dispatcher does not come to rest")

    async def end(self, worker: WorkerEnd, run: RunId, *, exit_code: int = 0) -> None:
        """The worker accepts, starts and ends the run."""
        worker.say(Accept(run=run, attempt=ATTEMPT), started(run, ATTEMPT))
        await self.finish(worker, run, exit_code=exit_code)

    async def begin(self, worker: WorkerEnd, run: RunId) -> None:
        """The worker accepts and starts the run."""
        worker.say(Accept(run=run, attempt=ATTEMPT), started(run, ATTEMPT))
        await self.master.reaches(run, RunState.RUNNING)

    async def finish(self, worker: WorkerEnd, run: RunId, *, exit_code: int = 0) -> None:
        """The worker says that the run which it has started is over."""
        worker.say(final(run, ATTEMPT, sequence=2, exit_code=exit_code))
        await worker.hear(Forget)

    async def lose(self, run: RunId) -> None:
        """Nobody has heard of the worker for too long."""
        parts = self.master.parts

        def lose(connection: Connection) -> None:
            lose_attempt(
                connection, parts.versions, run, ATTEMPT, reason="silent", actor=parts.actor, now=parts.clock.now()
            )

        await self.database.write(lose)

    async def state(self, run: RunId) -> RunState:
        return await given.state_of(self.database, run)

    async def change(self, *statements: object) -> None:
        def execute(connection: Connection) -> None:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]  # a test makes them

        await self.database.write(execute)

    async def held(self) -> set[RunId]:
        """The runs that a worker has."""
        query = select(runs.c.id).where(runs.c.worker_id.is_not(None), runs.c.ended_at.is_(None))
        return set(await self.database.read(lambda connection: [RunId(each) for each in connection.scalars(query)]))
