"""A whole master over a real database, with links to worker ends inside the test's process."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection

from orchestra.clock import SystemClock
from orchestra.identifiers import UserId
from orchestra.logs.store import FileLogStore
from orchestra.storage.database import Database
from orchestra.storage.sqlite_file import sqlite_engine
from orchestra_master.assemble import build_master
from orchestra_master.link import Link
from orchestra_master.parts import MasterParts
from tests.master.demand_room import Room
from tests.master.still_master import NoSecrets, StillMaster
from tests.support import given
from tests.support.worker_end import WorkerEnd


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
async def room(database: Database, tmp_path: Path) -> AsyncIterator[Room]:
    """A master that does nothing by itself, for runs with policies."""
    async with asyncio.TaskGroup() as tasks:
        master = StillMaster(database, tmp_path / "logs", tasks, await given.user(database))
        yield Room(database, master)
        for link in master.links:
            link.cancel()


@pytest.fixture(scope="module")
def engine_connection(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """A connection to a database of the module's own."""
    path = tmp_path_factory.mktemp("rows") / "orchestra.db"
    shutil.copyfile(sqlite_template, path)
    engine = sqlite_engine(path, pragmas=["PRAGMA foreign_keys=ON"], begin="BEGIN IMMEDIATE", connections=1)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def connection(engine_connection: Connection) -> Iterator[Connection]:
    """A transaction that leaves nothing behind."""
    transaction = engine_connection.begin()
    yield engine_connection
    transaction.rollback()


@pytest.fixture
async def worker_user(database: Database) -> UserId:
    """The user that the workers belong to."""
    return await given.user(database)

    """Unused by most: kept for symmetry."""
    return lambda check: check()
