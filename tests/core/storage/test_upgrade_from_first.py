"""A database of the first schema version, with rows in it, comes to the newest one and loses nothing."""

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from orchestra.storage.open import database_address, open_database
from orchestra_migrations import upgrade
from orchestra_migrations.revisions import configuration
from orchestra_migrations.triggers import TRIGGER_NAMES
from orchestra_migrations.upgrade import _connected
from tests.core.storage.test_migrations import triggers_of

OLD_ROWS = (
    "insert into users (name, created_at) values ('ana', 1)",
    "insert into tokens (user_id, name, kind, prefix, digest, created_at) values (1, 'ci', 'user', 'orc', 'd', 1)",
    "insert into web_sessions (user_id, digest, created_at, extended_at, expires_at) values (1, 'd', 1, 1, 9)",
    "insert into audit_entries (at, actor, action, object, detail) values (1, 'user ana', 'look', 'run #1', '')",
)


@pytest.fixture(params=["sqlite", "postgres"])
def first_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database at the first version."""
    url = f"sqlite:///{tmp_path / 'first.db'}" if request.param == "sqlite" else ""
    url = url or request.getfixturevalue("empty_postgres_url")

    def make(connection: Connection) -> None:
        command.upgrade(configuration(connection), "0001")
        for row in OLD_ROWS:
            connection.execute(text(row))

    _connected(database_address(url), make)
    return url


async def test_rows_of_the_first_version_are_kept_and_get_what_is_new(first_url: str) -> None:
    upgrade(first_url)

    database = await open_database(first_url)
    try:
        assert await database.read(lambda c: c.execute(text("select name, zone from users")).all()) == [("ana", "UTC")]
        entry = "select actor, outcome, address, change from audit_entries"
        assert await database.read(lambda c: c.execute(text(entry)).all()) == [("user ana", "done", "", None)]
        assert await database.read(lambda c: c.execute(text("select scopes from tokens")).all()) == [(None,)]
    finally:
        await database.close()


@pytest.mark.parametrize("statement", ["update audit_entries set actor = 'eve'", "delete from audit_entries"])
async def test_after_the_upgrade_the_audit_trail_still_only_grows(first_url: str, statement: str) -> None:
    upgrade(first_url)

    database = await open_database(first_url)
    try:
        assert await database.read(triggers_of) >= TRIGGER_NAMES
        with pytest.raises(IntegrityError, match="the audit trail only grows"):
            await database.write(lambda connection: connection.execute(text(statement)))
    finally:
        await database.close()
