"""A whole master over a real database, with links to worker ends inside the test's process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from orchestra.clock import SystemClock
from orchestra.identifiers import UserId
from orchestra.logs.store import FileLogStore
from orchestra.storage.database import Database
from orchestra_master.assemble import build_master
from orchestra_master.link import Link
from orchestra_master.parts import MasterParts
from tests.support import given
from tests.support.worker_end import WorkerEnd


class NoSecrets:
    """Opens nothing: these tests' runs have no secrets."""

    def open(self, sealed: str) -> dict[str, str]:
        """Never asked."""
        raise AssertionError(sealed)


class MasterWorld:
    """A running master, its database and logs, and workers that connect to it."""

    def __init__(self, *, database: Database, logs: FileLogStore, tasks: asyncio.TaskGroup) -> None:
        self.database = database
        self.logs = logs
        self._tasks = tasks
        self._links: list[asyncio.Task[None]] = []
        self._parts: list[MasterParts] = []
        self.master = build_master(
            database=database, logs=logs, secrets=NoSecrets(), clock=SystemClock(), name="m1", more_duties=self._keep
        )

    def _keep(self, parts: MasterParts) -> tuple[()]:
        self._parts.append(parts)
        return ()

    @property
    def parts(self) -> MasterParts:
        """What the master works with."""
        return self._parts[0]

    def connect(self, user: UserId) -> WorkerEnd:
        """A new connection of a worker."""
        end = WorkerEnd()
        link = Link(parts=self.parts, connection=end, user=user)
        self._links.append(self._tasks.create_task(link.run(), name="link"))
        return end

    def disconnect_all(self) -> None:
        """Every socket is gone."""
        for link in self._links:
            link.cancel()


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[MasterWorld]:
    """A master at work."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        logs = FileLogStore(tmp_path / "logs")
        made = MasterWorld(database=database, logs=logs, tasks=tasks)
        await stack.enter_async_context(made.master)
        yield made
        made.disconnect_all()


@pytest.fixture
async def worker_user(database: Database) -> UserId:
    """The user that the workers belong to."""
    return await given.user(database)

    """Unused by most: kept for symmetry."""
    return lambda check: check()
