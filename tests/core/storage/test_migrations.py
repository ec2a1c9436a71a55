"""The way to this program's schema, from the wheel's own revisions, on both kinds of database."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, text

from orchestra.errors import DatabaseAway, WrongSchemaVersion
from orchestra.storage.database import Database
from orchestra.storage.indexes import metadata
from orchestra.storage.open import BadDatabaseAddress, database_address, open_database
from orchestra.storage.schema import SCHEMA_VERSION
from orchestra_migrations import check, upgrade
from orchestra_migrations.revisions import configuration, newest_version
from orchestra_migrations.triggers import TRIGGER_NAMES


def triggers_of(connection: Connection) -> set[str]:
    if connection.dialect.name == "sqlite":
        query = "select name from sqlite_master where type = 'trigger'"
    else:
        query = "select tgname from pg_trigger where not tgisinternal"
    return set(connection.execute(text(query)).scalars())


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url = request.getfixturevalue("empty_postgres_url")
    assert isinstance(url, str)
    return url


def test_the_program_and_its_migrations_agree_on_the_newest_version() -> None:
    assert newest_version() == SCHEMA_VERSION


def test_an_upgrade_of_an_empty_database_gives_the_newest_version_and_again_changes_nothing(empty_url: str) -> None:
    assert upgrade(empty_url) == SCHEMA_VERSION
    assert upgrade(empty_url) == SCHEMA_VERSION
    assert check(empty_url) == SCHEMA_VERSION


async def test_after_the_upgrade_tables_and_triggers_are_those_that_the_program_knows(database: Database) -> None:
    # As a change, because Alembic's comparison may want a lock; it alters nothing, and raises on any drift.
    await database.write(lambda connection: command.check(configuration(connection)))

    tables = await database.read(lambda connection: set(inspect(connection).get_table_names()))
    assert tables == set(metadata.tables) | {"alembic_version"}
    assert await database.read(triggers_of) >= TRIGGER_NAMES


async def test_a_database_without_schema_is_not_opened_and_the_remedy_is_named(empty_url: str) -> None:
    with pytest.raises(WrongSchemaVersion, match=r"has no schema.*run 'orchestra db upgrade'"):
        await open_database(empty_url)


async def test_asking_for_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(WrongSchemaVersion, match="has no schema"):
        await open_database(tmp_path)
    with pytest.raises(WrongSchemaVersion, match="has no schema"):
        check(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_check_of_a_database_without_schema_says_so(empty_url: str) -> None:
    with pytest.raises(WrongSchemaVersion, match="has no schema"):
        check(empty_url)


async def test_a_database_of_a_newer_program_is_neither_opened_nor_upgraded(database_url: str) -> None:
    database = await open_database(database_url)
    await database.write(lambda c: c.execute(text("update alembic_version set version_num = '9999'")))
    await database.close()

    with pytest.raises(WrongSchemaVersion, match=r"has schema version 9999, this program needs"):
        await open_database(database_url)
    with pytest.raises(WrongSchemaVersion, match=r"has schema version 9999"):
        upgrade(database_url)


def test_programs_that_upgrade_at_the_same_time_wait_for_one_another(empty_postgres_url: str) -> None:
    versions: list[str] = []
    threads = [threading.Thread(target=lambda: versions.append(upgrade(empty_postgres_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert versions == [SCHEMA_VERSION] * 4


def test_an_upgrade_works_in_another_process_and_another_folder(tmp_path: Path) -> None:
    script = "import sys; from orchestra_migrations import upgrade; print(upgrade(sys.argv[1]))"

    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert said.stdout.strip() == SCHEMA_VERSION
    assert (tmp_path / "orchestra.db").exists()


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseAway) as away:
        await open_database("postgresql://ana:hush-hush@127.0.0.1:1/jobs")

    assert "postgresql://ana:***@127.0.0.1:1/jobs does not answer" in str(away.value)
    assert "hush" not in str(away.value)


async def test_a_database_that_the_server_does_not_have_is_away(postgres_url: str) -> None:
    with pytest.raises(DatabaseAway, match="does not exist"):
        await open_database(postgres_url.replace("/test_", "/absent_"))


async def test_a_file_in_a_folder_that_is_not_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="unable to open"):
        await open_database(tmp_path / "absent")


@pytest.mark.parametrize(
    "text", ["mysql://ana:hush@host/x", "sqlite://", "sqlite:///:memory:", "://", "what://a b:hush"]
)
def test_what_is_no_database_address_is_refused_without_showing_its_password(text: str) -> None:
    with pytest.raises(BadDatabaseAddress, match="give sqlite:///FILE, postgresql://") as refused:
        database_address(text)

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_way_to_write_postgresql_means_the_driver_that_we_have(scheme: str) -> None:
    assert database_address(f"{scheme}://host/x").drivername == "postgresql+asyncpg"
