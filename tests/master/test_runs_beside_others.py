"""Instants of schedules, runs that were made for later and children of pipelines, of jobs that look at other runs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from orchestra.elements import Element, Pipeline
from orchestra.lifecycle import RunEvent, RunState
from orchestra.policies import Conflict, Policies, Uniqueness, UniqueScope, WhenFull
from orchestra.specification import Execution, JobSpecification, Parameter, PropertyValue, Step
from orchestra.storage.admission import Admission
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.jobs import find_job
from orchestra.storage.new_runs import run_of
from orchestra.storage.open import open_database
from orchestra.storage.runs import admit_run
from orchestra.storage.tables import pipeline_elements
from orchestra_master.promoter import Promoter
from tests.master.pipeline_room import PipelineRoom
from tests.master.still_master import StillMaster
from tests.master.test_ticking import Scheduled
from tests.support import given
from tests.support.admissions import Wishes, grouped, unique

# --- schedules ---


@pytest.mark.parametrize(
    ("policies", "ticks", "states"),
    [
        (
            "unique: the nightly one",
            [("fired", 1), ("skipped: #1 has the same key 'the nightly one' and is running", None)],
            ["running"],
        ),
        (
            "unique: { key: nightly, conflict: return-existing }",
            [("fired", 1), ("existing: #1 has the same key 'nightly' and is running", 1)],
            ["running"],
        ),
        ("unique: { key: nightly, conflict: replace }", [("fired", 1), ("fired", 2)], ["running", "pending"]),
        (
            "concurrency: { when-full: reject }",
            [("fired", 1), ("skipped: group ops/tick is full: #1 is running", None)],
            ["running"],
        ),
    ],
)
async def test_an_instant_whose_run_is_kept_out_says_by_which(
    database: Database, policies: str, ticks: Sequence[tuple[str, int | None]], states: Sequence[str]
) -> None:
    job = Scheduled(database, "every: 1m, overlap: allow")
    await job.apply(
        "orchestra: 1\nproject: ops\njobs:\n"
        f"  tick: {{ run: x, {policies}, schedule: {{ every: 1m, overlap: allow }} }}\n"
    )
    await job.minutes(1)
    await job.start(1)

    await job.minutes(1)

    assert (await job.ticks(), await job.states()) == (ticks, states)


async def test_one_that_takes_the_place_of_the_one_before_is_not_kept_out_by_it(database: Database) -> None:
    job = Scheduled(database, "")
    await job.apply(
        "orchestra: 1\nproject: ops\njobs:\n"
        "  tick: { run: x, unique: nightly, schedule: { every: 1m, overlap: cancel-previous } }\n"
    )
    await job.minutes(1)
    await job.start(1)

    await job.minutes(1)

    assert await job.ticks() == [("fired", 1), ("fired", 2)]
    assert await job.states() == ["running", "scheduled it waits until #1 is over"]


# --- runs that were made for later ---


@dataclass
class Later:
    """Runs that were made for later, and the masters that promote them."""

    wishes: Wishes
    masters: list[StillMaster]

    async def due(self, seconds: float = 60.0) -> None:
        """So much later each master looks, at the same moment."""
        self.wishes.later(seconds)
        for each in self.masters:
            each.clock.advance(self.wishes.clock.now() / 1e6 - each.clock.now() / 1e6)
        await asyncio.gather(*(Promoter(parts=each.parts).run_once() for each in self.masters))


@pytest.mark.parametrize("conflict", [Conflict.REJECT, Conflict.RETURN_EXISTING])
async def test_a_run_that_is_kept_out_when_it_is_due_is_skipped(
    database: Database, tmp_path: Path, conflict: Conflict
) -> None:
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        later = Later(Wishes(database), [StillMaster(database, tmp_path / "logs", tasks, user)])
        job = await later.wishes.job("scan", unique(UniqueScope.ACTIVE, conflict))
        await later.wishes.ask(job)
        await later.wishes.start(1)
        await later.wishes.ask(job, delay_seconds=60.0)
        told = database.subscribe(Topic.RUN)

        await later.due()

    assert (await later.wishes.states())[2] == "skipped: #1 has the same key 'web' and is running"
    assert Signal(Topic.RUN, "2") in await told.wait(5)
    told.close()


@pytest.mark.parametrize(
    ("policies", "states"),
    [
        (
            unique(UniqueScope.ACTIVE, Conflict.REPLACE),
            {1: "running: policy: replaced by #3", 2: "cancelled: cancelled by policy: replaced by #3"},
        ),
        (
            grouped(WhenFull.CANCEL_PENDING),
            {1: "running", 2: "cancelled: cancelled by policy: superseded by #3"},
        ),
        (
            grouped(WhenFull.CANCEL_RUNNING),
            {1: "running: policy: superseded by #3", 2: "cancelled: cancelled by policy: superseded by #3"},
        ),
    ],
)
async def test_a_run_takes_the_place_of_others_when_it_is_due(
    database: Database, tmp_path: Path, policies: Policies, states: dict[int, str]
) -> None:
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        later = Later(Wishes(database), [StillMaster(database, tmp_path / "logs", tasks, user)])
        wishes = later.wishes
        plain = await wishes.job("deploy", policies)
        await wishes.ask(plain)
        await wishes.start(1)
        await wishes.ask(plain, delay_seconds=30.0)
        await wishes.move(2, RunEvent.DUE)
        await wishes.ask(plain, delay_seconds=60.0)
        before = await wishes.states()

        await later.due()

    assert before == {1: "running", 2: "pending", 3: "scheduled"}
    assert await wishes.states() == {**states, 3: "pending"}


async def test_a_full_group_skips_what_is_due_and_rejects(database: Database, tmp_path: Path) -> None:
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        later = Later(Wishes(database), [StillMaster(database, tmp_path / "logs", tasks, user)])
        job = await later.wishes.job("deploy", grouped(WhenFull.REJECT))
        await later.wishes.ask(job, delay_seconds=60.0)
        await later.wishes.ask(job)
        await later.wishes.start(2)

        await later.due()

    assert (await later.wishes.states())[1] == "skipped: group ops/deploy is full: #2 is running"


async def test_of_two_masters_and_several_runs_that_are_due_one_run_is_admitted(
    postgres_url: str, tmp_path: Path
) -> None:
    databases = [await open_database(postgres_url) for _ in range(2)]
    user = await given.user(databases[0])
    async with asyncio.TaskGroup() as tasks:
        masters = [StillMaster(each, tmp_path / "logs", tasks, user) for each in databases]
        later = Later(Wishes(databases[0]), masters)
        job = await later.wishes.job("scan", unique(UniqueScope.ACTIVE))
        for _ in range(10):
            await later.wishes.ask(job, "web", delay_seconds=60.0)
            await later.wishes.ask(job, "api", delay_seconds=60.0)

        await later.due()

    states = list((await later.wishes.states()).values())
    for each in databases:
        await each.close()
    assert states.count("pending") == 2
    assert len([state for state in states if state.startswith("skipped: ")]) == 18


async def test_the_one_that_is_due_first_is_not_kept_out_by_one_for_later(database: Database, tmp_path: Path) -> None:
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        later = Later(Wishes(database), [StillMaster(database, tmp_path / "logs", tasks, user)])
        job = await later.wishes.job("scan", unique(UniqueScope.ACTIVE))
        await later.wishes.ask(job, delay_seconds=86_400.0)
        await later.wishes.ask(job, delay_seconds=60.0)

        await later.due()

    assert await later.wishes.states() == {1: "scheduled", 2: "pending"}


# --- children of pipelines ---


@pytest.fixture
async def room(database: Database, tmp_path: Path) -> PipelineRoom:
    """A project with pipelines."""
    user = await given.user(database)
    async with asyncio.TaskGroup() as tasks:
        return PipelineRoom(database, StillMaster(database, tmp_path / "logs", tasks, user))


def scan(conflict: Conflict, *, key: str = "{parameters.repo}") -> JobSpecification:
    return JobSpecification(
        execution=Execution(steps=(Step(name="scan", run="x"),)),
        parameters=(Parameter(name="repo"),),
        policies=Policies(unique=Uniqueness(key=key, conflict=conflict)),
    )


@pytest.mark.parametrize("conflict", [Conflict.REJECT, Conflict.RETURN_EXISTING])
async def test_a_child_that_is_kept_out_is_skipped_and_the_pipeline_goes_on(
    room: PipelineRoom, conflict: Conflict
) -> None:
    await room.job("scan", scan(conflict))
    await room.job("report")
    first = Element(name="scan", job="scan", parameters={"repo": "web"})
    await room.pipeline(first, Element(name="report", job="report"))
    before = await room.begin()
    second = await room.begin()

    states = await room.states(second)

    assert await room.states(before) == {"scan": "running", "report": "running"}
    assert states == {"scan": "skipped", "report": "running"}


async def test_an_element_says_nothing_of_the_runs_of_another_project(room: PipelineRoom) -> None:
    named: dict[str, PropertyValue] = {"repo": "web"}
    await given.pending_run(room.database, scan(Conflict.REJECT), project="ops", of_job="scan", parameters=named)
    await room.job("report")
    await room.pipeline(Element(name="scan", job="ops/scan", parameters=dict(named)))

    run = await room.begin()

    assert await room.states(run) == {"scan": "skipped"}
    reason = select(pipeline_elements.c.reason).where(pipeline_elements.c.run_id == run)
    words = await room.database.read(lambda connection: connection.execute(reason).scalar_one())
    assert words == "job ops/scan has another run that is in the way of a new one"


async def test_a_child_takes_the_place_of_one_of_another_pipeline(room: PipelineRoom) -> None:
    await room.job("scan", scan(Conflict.REPLACE))
    await room.pipeline(Element(name="scan", job="scan", parameters={"repo": "web"}))
    before = await room.begin()

    second = await room.begin()

    assert (await room.states(before), await room.states(second)) == ({"scan": "cancelled"}, {"scan": "running"})
    assert await given.state_of(room.database, before) == "failed"


async def test_a_child_takes_the_place_of_one_of_its_own_pipeline(room: PipelineRoom) -> None:
    await room.job("scan", scan(Conflict.REPLACE))
    both = [Element(name=name, job="scan", parameters={"repo": "web"}) for name in ("one", "two")]
    await room.pipeline(*both)

    run = await room.begin()

    assert sorted((await room.states(run)).values()) == ["cancelled", "running"]


async def test_a_key_that_its_parameters_do_not_fill_in_ends_the_element_as_an_exception(room: PipelineRoom) -> None:
    await room.job("scan", scan(Conflict.REJECT))
    await room.pipeline(Element(name="scan", job="scan"))

    run = await room.begin()

    assert await room.states(run) == {"scan": "exception"}
    assert await given.state_of(room.database, run) == "exception"


async def test_a_replaced_pipeline_ends_what_it_has(room: PipelineRoom) -> None:
    await room.job("build")
    nightly = JobSpecification(
        execution=Execution(steps=()),
        pipeline=Pipeline(elements=(Element(name="build", job="build"),)),
        policies=Policies(unique=Uniqueness(key="nightly", conflict=Conflict.REPLACE)),
    )
    await room.job("nightly", nightly)
    before = await room.begin("nightly")

    def want(connection: Connection) -> Admission:
        job = find_job(connection, "shop", "nightly")
        return admit_run(connection, run_of(job, creation_key="again", source="user ana", now=room.now))

    found = await room.database.write(want)

    assert await room.states(before) == {"build": "cancelled"}
    assert await given.state_of(room.database, before) is RunState.ABORTED
    assert await given.column_of(room.database, before, "reason") == f"stopped by policy: replaced by #{found.run}"
