"""Fixtures for both databases: each test gets a fresh one that has been upgraded.

`database` runs a test once on each; `sqlite_database` and `postgres_database` on one. The address is in `database_url`
(with the same parameters), `sqlite_url` and `postgres_url`, for tests that open it themselves or give it to a process.
"""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from orchestra.storage.database import Database
from orchestra.storage.open import open_database
from orchestra_migrations import upgrade
from tests.support.postgres import postgres_server, server_address

TEMPLATE = "upgraded"


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The socket folder of this session's server, which has a template with the newest schema."""
    with postgres_server() as folder:
        _on_server(folder, f"create database {TEMPLATE}")
        upgrade(server_address(folder, TEMPLATE))
        yield folder


_names = (f"test_{number}" for number in itertools.count(1))


@pytest.fixture
def empty_postgres_url(postgres_folder: Path) -> Iterator[str]:
    """A new database without tables."""
    name = next(_names)
    _on_server(postgres_folder, f"create database {name}")
    yield server_address(postgres_folder, name)
    _on_server(postgres_folder, f"drop database {name} with (force)")


@pytest.fixture
def postgres_url(postgres_folder: Path) -> Iterator[str]:
    """A new upgraded database on PostgreSQL."""
    name = next(_names)
    _on_server(postgres_folder, f"create database {name} template {TEMPLATE}")
    yield server_address(postgres_folder, name)
    _on_server(postgres_folder, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded file to copy from."""
    folder = tmp_path_factory.mktemp("template")
    upgrade(folder)
    return folder / "orchestra.db"


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A new upgraded SQLite file, in the test's temporary folder."""
    path = tmp_path / "orchestra.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A new upgraded database, on each kind in turn."""
    url = request.getfixturevalue(f"{request.param}_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database, on each kind in turn."""
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    """An open SQLite database, for what does not depend on the kind."""
    opened = await open_database(sqlite_url)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[Database]:
    """An open PostgreSQL database."""
    opened = await open_database(postgres_url)
    yield opened
    await opened.close()


def _on_server(folder: Path, statement: str) -> None:
    """Runs one statement outside any transaction, in a loop of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(host=str(folder), user="postgres", database="postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        runner.run(run())
