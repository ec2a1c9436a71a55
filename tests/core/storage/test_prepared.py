"""Statements that go to the driver itself: they must behave as those that go the whole way, on both databases."""

from typing import NamedTuple

import pytest
from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from orchestra.storage.database import Database
from orchestra.storage.prepared import PreparedChange, PreparedQuery, inserted, listed
from orchestra.storage.tables import projects


class Named(NamedTuple):
    """A row of the query below."""

    id: int
    name: str


ADD = PreparedChange(lambda _: insert(projects).values(inserted(projects, "name", "created_at")))
FIND = PreparedQuery(
    Named,
    lambda count: (
        select(projects.c.id, projects.c.name)
        .where(projects.c.id.in_(listed("wanted", projects.c.id.type, count)))
        .order_by(projects.c.id)
    ),
    of_list="wanted",
)
RENAME = PreparedChange(
    lambda _: update(projects).where(projects.c.name == bindparam("old")).values(name=bindparam("new"))
)


def add(connection: Connection, *names: str) -> None:
    ADD.execute_all(connection, [{"name": name, "created_at": 1} for name in names])


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
async def test_a_list_of_any_length_finds_each_row_once(database: Database, count: int) -> None:
    await database.write(lambda connection: add(connection, *(f"p{number}" for number in range(8))))

    found = await database.read(lambda connection: FIND.all(connection, {"wanted": list(range(1, count + 1))}))

    assert found == [Named(number, f"p{number - 1}") for number in range(1, count + 1)]


async def test_a_change_tells_how_many_rows_it_found(database: Database) -> None:
    await database.write(lambda connection: add(connection, "old"))

    counts = [
        await database.write(lambda connection: RENAME.execute(connection, {"old": "old", "new": "new"}))
        for _ in range(2)
    ]

    assert counts == [1, 0]


async def test_defaults_of_columns_are_written_though_nobody_named_them(database: Database) -> None:
    await database.write(lambda connection: add(connection, "plain"))

    description = await database.read(lambda connection: connection.execute(select(projects.c.description)).scalar())

    assert description == ""


@pytest.mark.parametrize("names", [("twice", "twice"), ("taken",)])
async def test_a_refusal_of_the_database_is_the_same_error_as_everywhere(
    database: Database, names: tuple[str, ...]
) -> None:
    await database.write(lambda connection: add(connection, "taken"))

    with pytest.raises(IntegrityError):
        await database.write(lambda connection: add(connection, *names))

    rows = await database.read(lambda connection: connection.execute(select(projects.c.name)).scalars().all())
    assert rows == ["taken"]


async def test_two_looks_of_one_reading_are_at_one_snapshot(database: Database) -> None:
    await database.write(lambda connection: add(connection, "first"))

    def look_twice(connection: Connection) -> tuple[list[Named], bool]:
        found = FIND.all(connection, {"wanted": [1]})
        return found, connection.in_transaction()

    found, has_snapshot = await database.read(look_twice)

    assert found == [Named(1, "first")]
    assert has_snapshot
