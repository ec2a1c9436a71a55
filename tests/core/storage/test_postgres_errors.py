"""Which complaints of the server are waited for, and which are the statement's own fault."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from orchestra.errors import DatabaseAway
from orchestra.storage.database import Database

RAISE = "do $$ begin raise exception 'complaint' using errcode = '{}'; end $$"


@pytest.mark.parametrize("code", ["53100", "53200", "58030", "57014", "55P03", "25006"])
async def test_a_server_that_cannot_work_now_is_waited_for(postgres_database: Database, code: str) -> None:
    with pytest.raises(DatabaseAway, match="complaint"):
        await postgres_database.write(lambda connection: connection.execute(text(RAISE.format(code))))


async def test_a_statement_that_takes_too_long_is_tried_once(postgres_database: Database) -> None:
    calls = []

    def be_slow(connection: Connection) -> None:
        calls.append(1)
        connection.execute(text("set local statement_timeout = 50"))
        connection.execute(text("select pg_sleep(5)"))

    with pytest.raises(DatabaseAway, match="statement timeout"):
        await postgres_database.write(be_slow)

    assert calls == [1]


async def test_a_writer_that_met_a_standby_tries_a_new_connection(postgres_database: Database) -> None:
    backends = []

    def change(connection: Connection) -> int:
        backends.append(connection.execute(text("select pg_backend_pid()")).scalar_one())
        if len(backends) == 1:
            connection.execute(text("set transaction read only"))
        return connection.execute(text("update workers set load = 0 where false")).rowcount

    changed = await postgres_database.write(change)

    assert changed == 0
    assert len(set(backends)) == 2


@pytest.mark.parametrize("code", ["22021", "54000", "42P01"])
async def test_a_bad_statement_is_its_own_fault(postgres_database: Database, code: str) -> None:
    with pytest.raises(DBAPIError):
        await postgres_database.write(lambda connection: connection.execute(text(RAISE.format(code))))
