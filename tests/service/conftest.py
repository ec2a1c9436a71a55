"""Fixtures for the tests of the service."""

import pytest

from orchestra.storage.database import Database
from tests.service.given import World


@pytest.fixture
async def world(database: Database) -> World:
    """A service with the project `ops`, on each database in turn."""
    made = World(database)
    await made.project()
    return made


@pytest.fixture
async def small_world(sqlite_database: Database) -> World:
    """The same on SQLite alone, for what does not depend on the database."""
    made = World(sqlite_database)
    await made.project()
    return made
