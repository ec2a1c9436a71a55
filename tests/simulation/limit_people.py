"""The people of a world in which runs stand in each other's way: they ask for much at once, and trust jobs again."""

import asyncio
import random
from collections.abc import Iterator

from sqlalchemy import Connection, select

from orchestra.storage.tables import jobs
from tests.simulation.client import Client
from tests.simulation.database import DatabaseServer
from tests.simulation.jobs import PROJECT
from tests.simulation.limited_jobs import ENVIRONMENTS, GREEDY, NEIGHBOUR, POISON, SINGLE
from tests.simulation.truth import Truth

_JOBS = ("gated", "gated", GREEDY, "licensed", SINGLE, SINGLE, "broad", "grouped", "grouped", "rated")
_NEXT_DOOR = ("next-door", "guest")
_LOOK_SECONDS = 5.0

Wish = tuple[float, str, str, dict[str, str], int | None]
"""When, of which project and job, with which parameters and priority."""


class LimitPeople:
    """Owned by one world."""

    def __init__(self, *, client: Client, server: DatabaseServer, truth: Truth, seed: int) -> None:
        self._client = client
        self._server = server
        self._truth = truth
        self._chance = random.Random(f"limit people {seed}")

    async def work(self, active_seconds: float) -> None:
        """Asks for everything that this seed has."""
        async with asyncio.TaskGroup() as tasks:
            for at, project, job, parameters, priority in self._wishes(active_seconds):
                tasks.create_task(
                    self._client.create(at, job, project=project, parameters=parameters, priority=priority)
                )

    async def release(self) -> None:
        """Never ends: whatever is in quarantine is trusted again after a while."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._server.file.read(_is_poison_held):
                await asyncio.sleep(self._chance.choice((1.0, 10.0, 30.0)))
                await self._client.release(POISON)
                self._truth.fault("job released")

    def _wishes(self, active_seconds: float) -> Iterator[Wish]:
        chance = self._chance
        burst_at = active_seconds * chance.random()
        for _ in range(chance.randint(6, 14)):
            at = burst_at if chance.random() < 0.4 else active_seconds * chance.random()
            is_mine = chance.random() < 0.8
            job = chance.choice(_JOBS if is_mine else _NEXT_DOOR)
            parameters = {"to": chance.choice(ENVIRONMENTS)} if job == "grouped" else {}
            priority = chance.choice((None, None, None, -3, 1, 7))
            yield at, PROJECT if is_mine else NEIGHBOUR, job, parameters, priority
        for _ in range(chance.choice((0, 0, 2, 3))):
            yield active_seconds * chance.random(), PROJECT, POISON, {}, None
        for _ in range(chance.choice((0, 0, 3, 6))):
            yield burst_at, PROJECT, "rated", {}, None
        for _ in range(chance.choice((0, 0, 2, 4))):
            yield active_seconds * chance.random(), PROJECT, "picky", {}, None
        if chance.random() < 0.4:
            # Towards the end, when nothing is broken any more: many that need little, and one that needs more.
            yield active_seconds, PROJECT, GREEDY, {}, None
            for _ in range(chance.randint(15, 30)):
                yield active_seconds - 1.0 + chance.random(), PROJECT, SINGLE, {}, chance.choice((0, 1))


def _is_poison_held(connection: Connection) -> bool:
    held = select(jobs.c.id).where(jobs.c.name == POISON, jobs.c.quarantined_at.is_not(None))
    return connection.execute(held).first() is not None
