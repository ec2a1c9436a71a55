"""Pipelines that are timed out or retried at a moment at which nobody thinks of it, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from orchestra.elements import Element, Matrix
from orchestra.lifecycle import RunEvent
from orchestra.storage.database import BatchObserver, Database, Signals, Subscription, Topic
from orchestra.storage.runs import move_run
from orchestra_master.pipeline_keeper import PipelineKeeper
from tests.master.pipeline_room import PipelineRoom
from tests.master.still_master import StillMaster
from tests.support import given

T = TypeVar("T")


class Overtaken:
    """A database whose first write from here is overtaken by another master's whole look."""

    def __init__(self, database: Database, other: PipelineKeeper) -> None:
        self._database = database
        self._other = other
        self.times = 0

    async def write(self, change: Callable[[Connection], T], *, signals: Signals[T] = ()) -> T:
        """After the other master."""
        if not self.times:
            self.times += 1
            await self._other.run_once()
        return await self._database.write(change, signals=signals)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """As it is."""
        return await self._database.read(query)

    def subscribe(self, *topics: Topic) -> Subscription:
        """As it is."""
        return self._database.subscribe(*topics)

    def observe_batches(self, observer: BatchObserver) -> None:
        """As it is."""
        self._database.observe_batches(observer)

    async def close(self) -> None:
        """Others use it."""


@pytest.fixture
async def room(database: Database, tmp_path: Path) -> AsyncIterator[PipelineRoom]:
    """A pipeline of one element in the project `shop`, which may take a minute."""
    async with asyncio.TaskGroup() as tasks:
        master = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        made = PipelineRoom(database, master)
        await made.job("plan")
        await made.pipeline(Element(name="plan", job="plan"), timeout=60.0)
        yield made


async def test_two_masters_may_find_that_a_pipeline_has_taken_too_long(room: PipelineRoom) -> None:
    run = await room.begin()
    room.master.clock.advance(61.0)
    overtaken = Overtaken(room.database, room.keeper)

    await PipelineKeeper(parts=replace(room.master.parts, database=overtaken)).run_once()

    assert overtaken.times == 1
    assert await room.outcome(run) == ("failed", "it has taken longer than its timeout")


async def test_what_is_left_of_a_pipeline_that_took_too_long_is_waited_for_at_rest(room: PipelineRoom) -> None:
    run = await room.begin()
    child = await room.child(run, "plan")
    for event in (RunEvent.OFFERED, RunEvent.STARTED):
        change = partial(move_run, run=child, event=event, actor="worker atlas", now=room.now)
        await room.database.write(change)
    room.master.clock.advance(61.0)
    await room.keeper.run_once()

    pause = await room.keeper.run_once()

    assert await given.column_of(room.database, child, "stop_requested_by") == f"pipeline #{run}"
    assert await room.column(run, "state") == "running"
    assert pause == room.master.parts.poll_seconds


@pytest.mark.parametrize("scope", ["all", "failed", "from plan"])
async def test_a_pipeline_that_was_cancelled_before_it_began_can_be_retried(room: PipelineRoom, scope: str) -> None:
    first = await room.create()
    await room.stop(first)
    assert await room.column(first, "state") == "cancelled"

    again = await room.begin(retry_of=first, scope=scope)

    assert await room.states(again) == {"plan": "running"}


async def test_a_matrix_that_is_made_and_over_in_the_step_that_ends_another_element_is_over(room: PipelineRoom) -> None:
    several = Matrix(axes={"n": (1, 2)})
    tidy = Element(name="tidy", job="plan", matrix=several, condition="states.plan != 'failed'")
    await room.pipeline(Element(name="plan", job="plan", matrix=several), closing=(tidy,), name="both")
    run = await room.begin("both")
    await room.end(run, "plan", key="n=1")

    await room.end(run, "plan", "failed", key="n=2")

    assert await room.outcome(run) == ("failed", "plan failed")
    assert await room.states(run) == {
        "plan": "failed",
        "plan[n=1]": "succeeded",
        "plan[n=2]": "failed",
        "tidy": "skipped",
        "tidy[n=1]": "skipped",
        "tidy[n=2]": "skipped",
    }
