"""Wishes for runs of jobs that look at others: made in transactions, started and ended by hand."""

from dataclasses import replace

from sqlalchemy import Connection, select

from orchestra.clock import after
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent
from orchestra.policies import Concurrency, Conflict, LockDemand, Policies, Uniqueness, UniqueScope, WhenFull
from orchestra.specification import Execution, JobSpecification, Step
from orchestra.storage.admission import Admission
from orchestra.storage.database import Database
from orchestra.storage.jobs import JobRecord, add_job, job_of
from orchestra.storage.new_runs import NewRun, run_of
from orchestra.storage.runs import admit_run, move_run, request_stop
from orchestra.storage.tables import projects, runs
from tests.support.clocks import FakeClock

BY_REPOSITORY = "{parameters.repo}"


def unique(
    scope: UniqueScope = UniqueScope.ACTIVE, conflict: Conflict = Conflict.REJECT, *, window_seconds: float = 3600.0
) -> Policies:
    """One run per repository."""
    window = window_seconds if scope is UniqueScope.WINDOW else None
    return Policies(unique=Uniqueness(key=BY_REPOSITORY, scope=scope, window_seconds=window, conflict=conflict))


def grouped(when_full: WhenFull, *, limit: int = 1, locks: tuple[LockDemand, ...] = ()) -> Policies:
    """One group for every job that says this."""
    return Policies(concurrency=Concurrency(group="deploy", limit=limit, when_full=when_full), locks=locks)


class Wishes:
    """A project whose jobs are wanted again and again."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()
        self._count = 0

    async def job(self, name: str, policies: Policies) -> JobRecord:
        """A new job."""
        now = self.clock.now()
        specification = JobSpecification(execution=Execution(steps=(Step(name="run", run="x"),)), policies=policies)

        def add(connection: Connection) -> JobRecord:
            project = connection.execute(select(projects.c.id).where(projects.c.name == "ops")).scalar_one_or_none()
            if project is None:
                made = projects.insert().values(name="ops", created_at=now).returning(projects.c.id)
                project = connection.execute(made).scalar_one()
            return job_of(connection, add_job(connection, project, name, specification, enabled=True, now=now))

        return await self.database.write(add)

    def new(self, job: JobRecord, repo: str = "web", *, delay_seconds: float = 0.0, priority: int = 0) -> NewRun:
        """What is wanted, not asked yet."""
        self._count += 1
        return run_of(
            job,
            creation_key=f"wish {self._count}",
            source="user ana",
            now=self.clock.now(),
            parameters={"repo": repo},
            delay_seconds=delay_seconds,
            priority=priority,
        )

    async def ask(
        self,
        job: JobRecord,
        repo: str = "web",
        *,
        delay_seconds: float = 0.0,
        retry_of: int | None = None,
        is_queued: bool = False,
    ) -> Admission:
        """One wish, in a transaction of its own."""
        again = None if retry_of is None else RunId(retry_of)
        new = replace(self.new(job, repo, delay_seconds=delay_seconds), retry_of=again, is_queued=is_queued)
        return await self.database.write(lambda connection: admit_run(connection, new))

    async def move(self, run: int, *events: RunEvent) -> None:
        """Takes these steps of a run's life, as a worker would."""
        now = self.clock.now()

        def take(connection: Connection) -> None:
            for event in events:
                changes = {"attempt": 1} if event is RunEvent.OFFERED else {}
                changes |= {"due_at": after(now, 3600.0)} if event is RunEvent.RETRY_PLANNED else {}
                move_run(connection, RunId(run), event, actor="worker", now=now, changes=changes)

        await self.database.write(take)

    async def start(self, run: int) -> None:
        """A worker executes it."""
        await self.move(run, RunEvent.OFFERED, RunEvent.STARTED)

    async def end(self, run: int) -> None:
        """It has succeeded; a worker has it."""
        await self.move(run, RunEvent.SUCCEEDED)

    async def stop(self, run: int) -> None:
        """A person asks for its end."""
        now = self.clock.now()
        await self.database.write(lambda c: request_stop(c, RunId(run), by="ana", reason="enough", now=now))

    async def states(self) -> dict[int, str]:
        """Of all runs, with the reason of those that were cancelled, and who wants the others to stop."""
        columns = (runs.c.id, runs.c.state, runs.c.reason, runs.c.stop_requested_by, runs.c.stop_reason)
        rows = await self.database.read(lambda c: c.execute(select(*columns).order_by(runs.c.id)).all())
        return {
            row.id: f"{row.state}: {row.reason or f'{row.stop_requested_by}: {row.stop_reason}'}"
            if row.reason or row.stop_requested_by
            else row.state
            for row in rows
        }

    def later(self, seconds: float) -> None:
        """So much later."""
        self.clock.advance(seconds)
