"""`orchestra db upgrade` and `orchestra db check`, as functions."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from orchestra.errors import DatabaseAway, WrongSchemaVersion
from orchestra.limits import DATABASE_CONNECT_SECONDS_MAX
from orchestra.storage.open import database_address
from orchestra.storage.schema import found_version, require_file, require_version
from orchestra.storage.sqlite_file import sqlite_engine

T = TypeVar("T")

# Any number will do, as long as all programs of the product use the same.
_ADVISORY_LOCK = 0x6F726368


def upgrade(location: str | Path) -> str:
    """Brings the database at an address or in a data folder to this program's schema; returns its version.

    All or nothing, in one transaction; programs that do it at the same time on PostgreSQL wait for one another. On
    SQLite the caller holds the folder's lock. Blocks: inside an event loop call it by `asyncio.to_thread`. Raises
    DatabaseAway, or WrongSchemaVersion if the database is of a newer version than this program.
    """
    return _connected(database_address(location), _upgrade)


def check(location: str | Path) -> str:
    """The version of the database; raises WrongSchemaVersion if this program needs another, or DatabaseAway."""
    address = database_address(location)
    if address.drivername == "sqlite":
        require_file(Path(address.database or ""))
    return _connected(address, _check)


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings, without an ini file."""
    config = Config()
    config.set_main_option("script_location", "orchestra_migrations:")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def newest_version() -> str:
    """The newest revision among the migrations."""
    head = ScriptDirectory.from_config(configuration()).get_current_head()
    assert head is not None, "the wheel lacks its migrations"
    return head


def _upgrade(connection: Connection) -> str:
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    found = found_version(connection)
    newest = newest_version()
    if found == newest:
        return newest
    try:
        command.upgrade(configuration(connection), "head")
    except CommandError:
        # Alembic does not know the revision: a newer program made it.
        raise WrongSchemaVersion(found, newest) from None
    return newest


def _check(connection: Connection) -> str:
    require_version(connection)
    return newest_version()


def _connected(address: URL, function: Callable[[Connection], T]) -> T:
    """Calls the function in a transaction on a connection of its own."""
    if address.drivername != "sqlite":
        # In a thread, because the caller may be inside an event loop.
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(asyncio.run, _connected_to_postgres(address, function)).result()
    path = Path(address.database or "")
    # With foreign keys off: a copied table would otherwise take its children with it.
    engine = sqlite_engine(path, pragmas=("PRAGMA foreign_keys=OFF",), begin="BEGIN IMMEDIATE", connections=1)
    try:
        with engine.begin() as connection:
            return function(connection)
    except DBAPIError as error:
        raise DatabaseAway(str(path), str(error.orig)) from error
    finally:
        engine.dispose()


async def _connected_to_postgres(address: URL, function: Callable[[Connection], T]) -> T:
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from orchestra.storage.postgres_errors import away_from

    engine = create_async_engine(address, poolclass=NullPool, connect_args={"timeout": DATABASE_CONNECT_SECONDS_MAX})
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(function)
    except Exception as error:
        if away := away_from(address, error):
            raise away from error
        raise
    finally:
        await engine.dispose()
