"""Elements that ask for the worker of one before them, and jobs that ask for one by its name, on both databases."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert, select, update

from orchestra.elements import Element, Matrix, Rule
from orchestra.identifiers import RunId, UserId
from orchestra.lifecycle import RunState, WorkerState
from orchestra.matching import NAME_PROPERTY
from orchestra.policy import EVERYWHERE, Permission, Principal
from orchestra.protocol.messages import Offer, Welcome
from orchestra.queries.waiting import match_workers
from orchestra.queries.worker_facts import all_workers
from orchestra.specification import Matching, Operator, PropertyValue, Requirement
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.tables import run_matchings, runs, workers
from tests.master.pipeline_room import PipelineRoom
from tests.master.still_master import StillMaster
from tests.support import given
from tests.support.worker_end import hello


@pytest.fixture
async def room(database: Database, tmp_path: Path) -> AsyncIterator[PipelineRoom]:
    """Jobs build, test and tidy in the project `shop`, and workers atlas and wing that are not connected."""
    async with asyncio.TaskGroup() as tasks:
        user = await given.user(database)
        master = StillMaster(database, tmp_path / "logs", tasks, user)
        made = PipelineRoom(database, master)
        for name in ("build", "test", "tidy"):
            await made.job(name)
        rows = [
            {"name": name, "user_id": user, "state": WorkerState.ONLINE, "slots": 1, "registered_at": made.now}
            for name in ("atlas", "wing")
        ]
        await database.write(lambda connection: connection.execute(insert(workers), rows))
        yield made
        for link in master.links:
            link.cancel()


def job(name: str, *after: str, **more: object) -> Element:
    more.setdefault("job", name)
    return Element(name=name, after=dict.fromkeys(after, (Rule.FINISHED,)), **more)  # type: ignore[arg-type]  # of a test


def named(name: str) -> Requirement:
    return Requirement(name=NAME_PROPERTY, operator=Operator.IN, values=(name,))


async def end_on(room: PipelineRoom, run: RunId, element: str, worker: str | None, state: str = "succeeded") -> None:
    """The element's run ends, and this worker had it."""
    child = await room.child(run, element)
    chosen = select(workers.c.id).where(workers.c.name == worker).scalar_subquery()
    change = update(runs).where(runs.c.id == child).values(worker_id=chosen)
    await room.database.write(lambda connection: connection.execute(change))
    await room.end(run, element, state)


async def asked(room: PipelineRoom, run: RunId, element: str, key: str = "") -> tuple[Requirement, ...]:
    """What the element's run requires of its worker."""
    signature = await room.column(await room.child(run, element, key), "signature")
    query = select(run_matchings.c.matching).where(run_matchings.c.signature == signature)
    found = await room.database.read(lambda connection: connection.execute(query).scalar_one_or_none())
    return () if found is None else msgspec.json.decode(found, type=Matching).requirements


async def test_the_run_requires_the_worker_that_the_other_element_had(room: PipelineRoom) -> None:
    await room.pipeline(
        job("build"), job("test", "build", same_worker_as="build", worker={"os": "linux"}),
        closing=(job("tidy", same_worker_as="build"),),
    )  # fmt: skip
    run = await room.begin()

    await end_on(room, run, "build", "wing")
    tested = await asked(room, run, "test")
    await end_on(room, run, "test", "wing")

    assert tested == (Requirement(name="os", operator=Operator.IN, values=("linux",)), named("wing"))
    assert await asked(room, run, "tidy") == (named("wing"),)


@pytest.mark.parametrize(("worker", "state"), [(None, "succeeded"), ("atlas", "failed"), ("atlas", "exception")])
async def test_however_it_ended_there_its_worker_counts_and_without_one_any_will_do(
    room: PipelineRoom, worker: str | None, state: str
) -> None:
    await room.pipeline(job("build"), job("test", "build", same_worker_as="build"))
    run = await room.begin()

    await end_on(room, run, "build", worker, state)

    assert await asked(room, run, "test") == (() if worker is None else (named(worker),))


async def test_an_element_that_was_skipped_leaves_the_choice_open(room: PipelineRoom) -> None:
    skipped = job("build", condition="run.number < 0")
    after = Element(name="test", job="test", after={"build": (Rule.SKIPPED,)}, same_worker_as="build")
    await room.pipeline(skipped, after)

    run = await room.begin()

    assert await room.states(run) == {"build": "skipped", "test": "running"}
    assert await asked(room, run, "test") == ()


async def test_every_run_of_a_matrix_requires_it(room: PipelineRoom) -> None:
    await room.pipeline(job("build"), job("test", "build", same_worker_as="build", matrix=Matrix(axes={"n": (1, 2)})))
    run = await room.begin()

    await end_on(room, run, "build", "atlas")

    assert [await asked(room, run, "test", f"n={n}") for n in (1, 2)] == [(named("atlas"),)] * 2


async def test_of_what_is_used_again_the_worker_of_the_first_try_counts(room: PipelineRoom) -> None:
    await room.pipeline(job("build"), job("test", "build", same_worker_as="build"))
    first = await room.begin()
    await end_on(room, first, "build", "wing")
    await end_on(room, first, "test", "wing", "failed")

    again = await room.begin(retry_of=first, scope="failed")

    assert await room.states(again) == {"build": "succeeded", "test": "running"}
    assert await asked(room, again, "test") == (named("wing"),)


async def test_a_worker_that_has_not_said_hello_since_has_its_name_all_the_same(room: PipelineRoom) -> None:
    who = Principal(user_id=UserId(1), name="root", scopes=dict.fromkeys(Permission, EVERYWHERE))

    fleet = await room.database.read(lambda connection: all_workers(connection, who))

    needed = Matching(requirements=(named("wing"),))
    assert [(answer.name, answer.matches) for answer in match_workers(needed, fleet, room.now)] == [
        ("atlas", False), ("wing", True),
    ]  # fmt: skip


@pytest.mark.parametrize("said", [{}, {"name": "wing"}])
async def test_a_worker_is_asked_for_by_the_name_that_it_has_whatever_it_says(
    room: PipelineRoom, said: dict[str, PropertyValue]
) -> None:
    end = room.master.connect()
    end.say(msgspec.structs.replace(hello(worker="atlas"), properties=said))
    await end.hear(Welcome)
    wing = await given.pending_run(room.database, given.specification(matching=Matching(requirements=(named("wing"),))))
    atlas = await given.pending_run(
        room.database, given.specification(matching=Matching(requirements=(named("atlas"),)))
    )

    room.master.dispatcher.wake(frozenset({Signal(Topic.PENDING)}))
    await room.master.dispatcher.dispatch_once()

    assert (await end.hear(Offer)).run == atlas
    assert await given.state_of(room.database, wing) is RunState.PENDING
