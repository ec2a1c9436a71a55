"""What a test starts from: projects, jobs, runs and worker users, written by the production statements."""

import itertools
from collections.abc import Mapping

from sqlalchemy import Connection, select

from orchestra.clock import Instant, SystemClock
from orchestra.identifiers import RunId, UserId
from orchestra.lifecycle import RunState
from orchestra.policies import Policies
from orchestra.specification import Execution, JobSpecification, Matching, PropertyValue, RetryPolicy, Step
from orchestra.storage.access import add_user
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.jobs import add_job, job_by_name, job_of
from orchestra.storage.new_runs import create_run, run_of
from orchestra.storage.tables import projects, runs

ANY_WORKER = Matching()
NO_RETRY = RetryPolicy()
NO_POLICIES = Policies()
_numbers = itertools.count(1)


def specification(
    run: str = "echo hello",
    *,
    matching: Matching = ANY_WORKER,
    retry: RetryPolicy = NO_RETRY,
    policies: Policies = NO_POLICIES,
    lost_after_seconds: float = 600.0,
) -> JobSpecification:
    """A job of one step."""
    return JobSpecification(
        execution=Execution(steps=(Step(name="run", run=run),)),
        matching=matching,
        retry=retry,
        policies=policies,
        lost_after_seconds=lost_after_seconds,
    )


async def pending_run(
    database: Database,
    job: JobSpecification | None = None,
    *,
    parameters: Mapping[str, PropertyValue] | None = None,
    priority: int = 0,
    sealed_secrets: str | None = None,
    delay_seconds: float = 0.0,
    now: Instant | None = None,
    project: str = "ops",
    of_job: str | None = None,
) -> RunId:
    """A run that waits for a worker (or first for its time), of a job of its own, or of the job of this name."""
    made_at = SystemClock().now() if now is None else now
    number = next(_numbers)

    def create(connection: Connection) -> RunId:
        owner = connection.execute(select(projects.c.id).where(projects.c.name == project)).scalar_one_or_none()
        if owner is None:
            insert = projects.insert().values(name=project, created_at=made_at).returning(projects.c.id)
            owner = connection.execute(insert).scalar_one()
        name = of_job or f"job-{number}"
        made = job_by_name(connection, owner, name)
        if made is None:
            made = job_of(
                connection, add_job(connection, owner, name, job or specification(), enabled=True, now=made_at)
            )
        return create_run(
            connection,
            run_of(
                made,
                creation_key=f"given-{number}",
                source="user ana",
                now=made_at,
                parameters=parameters,
                sealed_secrets=sealed_secrets,
                priority=priority,
                delay_seconds=delay_seconds,
            ),
        )

    return await database.write(create, signals=[Signal(Topic.PENDING)])


async def user(database: Database, name: str = "builders") -> UserId:
    """A user without any role."""
    now = SystemClock().now()
    made = await database.write(lambda connection: add_user(connection, name, password_hash=None, now=now))
    assert made is not None, "the name is taken"
    return made


async def state_of(database: Database, run: RunId) -> RunState:
    """Where the run is in its life."""
    return RunState(await database.read(lambda c: c.execute(select(runs.c.state).where(runs.c.id == run)).scalar_one()))


async def column_of(database: Database, run: RunId, column: str) -> object:
    """One column of the run's row."""
    return await database.read(lambda c: c.execute(select(runs.c[column]).where(runs.c.id == run)).scalar_one())
