"""Fixtures for the tests of the pages over HTTP."""

from pathlib import Path

import pytest

from orchestra.storage.database import Database
from tests.service.given import World


@pytest.fixture
async def world(database: Database) -> World:
    """A website and a service with the project `ops`, on each database in turn."""
    made = World(database)
    await made.project()
    return made


@pytest.fixture
async def small_world(sqlite_database: Database) -> World:
    """The same on SQLite alone, for what does not depend on the database."""
    made = World(sqlite_database)
    await made.project()
    return made


@pytest.fixture
def theme_folder(tmp_path: Path) -> Path:
    """A theme with folders for templates and static files, both still empty."""
    for name in ("templates", "static"):
        (tmp_path / "theme" / name).mkdir(parents=True)
    return tmp_path / "theme"
