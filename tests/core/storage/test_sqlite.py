"""What only SQLite's engine does."""

import asyncio

from sqlalchemy import Connection, func, insert, select

from orchestra.storage.database import Database
from orchestra.storage.tables import audit_entries


def add_entry(connection: Connection) -> None:
    connection.execute(insert(audit_entries).values(at=1, actor="ana", action="look", object="x"))


def count_entries(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(audit_entries)).scalar_one()


async def test_many_writers_share_commits_and_all_are_there(sqlite_database: Database) -> None:
    await asyncio.gather(*(sqlite_database.write(add_entry) for _ in range(600)))

    assert await sqlite_database.read(count_entries) == 600
