"""From what a person typed to an open database of the right version."""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestra.errors import StorageError
from orchestra.storage.database import Database
from orchestra.storage.schema import require_file, require_version
from orchestra.storage.sqlite import Sqlite

FILE_NAME = "orchestra.db"
"""The database's name inside a data folder."""


class BadDatabaseAddress(StorageError):
    """A text does not say where a database is."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return (
            f"{self.address!r} is no database address: "
            "give sqlite:///FILE, postgresql://USER@HOST/NAME, or a data folder"
        )


class NeedsServer(StorageError):
    """Several processes would write one SQLite file, which can destroy it."""

    def __str__(self) -> str:
        return "an SQLite file belongs to one process: use 'orchestra up', or give a postgresql:// address"


def database_address(location: str | Path) -> URL:
    """Where the database is, with the driver that we use; a folder means the SQLite file in it."""
    if isinstance(location, Path) or "://" not in location:
        return URL.create("sqlite", database=str(Path(location) / FILE_NAME))
    try:
        address = make_url(location)
    except (ArgumentError, ValueError):
        # The text may hold a password: only what comes before it is shown.
        raise BadDatabaseAddress(location.split("://")[0] + "://…") from None
    if address.drivername in {"postgres", "postgresql", "postgresql+asyncpg"}:
        return address.set(drivername="postgresql+asyncpg")
    if address.drivername == "sqlite" and address.database not in {None, "", ":memory:"}:
        return address
    raise BadDatabaseAddress(address.render_as_string(hide_password=True))


async def open_database(location: str | Path, *, notify: bool = True) -> Database:
    """Opens the database at an address or in a data folder, for the running loop. Its owner closes it.

    Raises BadDatabaseAddress, DatabaseAway, or WrongSchemaVersion if it has not been upgraded. An SQLite file must be
    guarded by its folder's lock. Without `notify`, other processes on PostgreSQL find changes only by polling.
    """
    address = database_address(location)
    database: Database
    if address.drivername == "sqlite":
        path = Path(address.database or "")
        require_file(path)
        database = Sqlite(path=path)
    else:
        # A light install has SQLite only.
        from orchestra.storage.postgres import Postgres

        database = Postgres(address=address, name=secrets.token_hex(4), notify=notify)
    try:
        await database.read(require_version)
    except BaseException:
        await database.close()
        raise
    return database


OpenDatabase = Callable[[str], Awaitable[Database]]
"""Opens the database at an address."""


async def open_shared_database(location: str, *, notify: bool = True) -> Database:
    """Opens a database that other processes use as well; raises NeedsServer for SQLite, and what `open_database`
    does."""
    if database_address(location).drivername == "sqlite":
        raise NeedsServer
    return await open_database(location, notify=notify)
