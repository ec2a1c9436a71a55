"""`orchestra db upgrade` and `orchestra db check`, as functions."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from orchestra.errors import DatabaseAway, OrchestraError, WrongSchemaVersion
from orchestra.limits import DATABASE_CONNECT_SECONDS_MAX
from orchestra.storage.open import database_address
from orchestra.storage.schema import SCHEMA_VERSION, found_version, require_file, require_version
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
    _connected(database_address(location), _upgrade)
    return SCHEMA_VERSION


def upgrade_apart(location: str | Path) -> str:
    """Like `upgrade`, for a process that lives on: what only migrations need is loaded by a child that ends.

    Call it while no other thread runs, because the child is a fork. So it has the caller's lock of the folder, too:
    were the caller killed meanwhile, nobody else would come in between.
    """
    with contextlib.suppress(WrongSchemaVersion):
        return check(location)
    child = os.fork()
    if child == 0:
        try:
            with contextlib.suppress(OrchestraError):
                upgrade(location)
        finally:
            os._exit(os.EX_OK)
    os.waitpid(child, 0)
    # Nothing is left to do, or what the child could not do fails here, where it can be told.
    return upgrade(location)


def check(location: str | Path) -> str:
    """The version of the database; raises WrongSchemaVersion if this program needs another, or DatabaseAway."""
    address = database_address(location)
    if address.drivername == "sqlite":
        require_file(Path(address.database or ""))
    _connected(address, require_version)
    return SCHEMA_VERSION


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    found = found_version(connection)
    if found != SCHEMA_VERSION:
        from orchestra_migrations.revisions import run_revisions

        run_revisions(connection, found=found)


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
