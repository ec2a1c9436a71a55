"""How far the history is settled: what becomes visible late is waited for, what never comes is not."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import insert

from orchestra.identifiers import RunId
from orchestra.limits import EVENT_GAP_SECONDS_MAX
from orchestra.storage.database import Database
from orchestra.storage.history import HistoryLook, SettledMark, look_at_history, newest_event
from orchestra.storage.tables import run_events
from tests.support.given import pending_run

SOMEBODY = frozenset({"3/17"})


def look(newest: int, *, gapless_to: int, writers: frozenset[str] = SOMEBODY) -> HistoryLook:
    return HistoryLook(newest=newest, gapless_to=gapless_to, writers=writers)


def test_the_mark_goes_as_far_as_nothing_is_missing() -> None:
    mark = SettledMark()

    mark.take(look(7, gapless_to=5), 0.0)

    assert (mark.settled_to, mark.is_waiting) == (5, True)


def test_the_mark_passes_a_gap_once_those_who_wrote_then_have_ended() -> None:
    mark = SettledMark()
    mark.take(look(7, gapless_to=5), 0.0)

    mark.take(look(9, gapless_to=5), 0.1)
    still_waiting = mark.settled_to
    mark.take(look(9, gapless_to=5, writers=frozenset({"4/1"})), 0.2)

    assert still_waiting == 5
    # What is behind 7 may belong to those who write now.
    assert (mark.settled_to, mark.is_waiting) == (7, True)


def test_a_gap_without_writers_is_no_gap() -> None:
    mark = SettledMark()

    mark.take(look(7, gapless_to=5, writers=frozenset()), 0.0)

    assert (mark.settled_to, mark.is_waiting) == (7, False)


def test_a_writer_that_never_ends_holds_the_mark_only_for_a_time() -> None:
    mark = SettledMark()
    mark.take(look(7, gapless_to=5), 0.0)

    mark.take(look(7, gapless_to=5), EVENT_GAP_SECONDS_MAX)

    assert mark.settled_to == 7


def test_the_mark_never_goes_back() -> None:
    mark = SettledMark()
    mark.take(look(7, gapless_to=7, writers=frozenset()), 0.0)

    mark.take(look(3, gapless_to=0, writers=frozenset()), 0.1)

    assert mark.settled_to == 7


INSERT = "insert into run_events (run_id, at, kind, actor, detail) values ($1, 1, 'due', 'test', '') returning id"


@pytest.fixture
async def other_process(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of somebody else to the same database."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def add_event(database: Database, run: RunId) -> int:
    statement = insert(run_events).values(run_id=run, at=1, kind="due", actor="test").returning(run_events.c.id)
    return await database.write(lambda connection: connection.execute(statement).scalar_one())


async def look_from(database: Database, mark: SettledMark, now: float = 0.0) -> int:
    """One look, as the tail takes it."""
    mark.take(await database.read(lambda connection: look_at_history(connection, mark.settled_to)), now)
    return mark.settled_to


async def test_without_events_everything_is_settled(database: Database) -> None:
    mark = SettledMark()

    assert await look_from(database, mark) == 0
    assert not mark.is_waiting


async def test_what_is_committed_is_settled(database: Database) -> None:
    run, mark = await pending_run(database), SettledMark()
    newest = [await add_event(database, run) for _ in range(3)][-1]

    assert await look_from(database, mark) == newest == await database.read(newest_event)


async def test_a_lower_number_that_is_committed_late_is_waited_for(
    postgres_database: Database, other_process: asyncpg.Connection
) -> None:
    run, mark = await pending_run(postgres_database), SettledMark()
    before = await look_from(postgres_database, mark)
    transaction = other_process.transaction()
    await transaction.start()
    late = await other_process.fetchval(INSERT, run)
    early = await add_event(postgres_database, run)

    held_back = [await look_from(postgres_database, mark, now) for now in (0.1, 0.2, 0.3)]
    await transaction.commit()
    after = await look_from(postgres_database, mark, 0.4)

    assert late < early
    assert held_back == [before] * 3
    assert after == early


async def test_a_number_that_was_rolled_back_holds_nothing_up(
    postgres_database: Database, other_process: asyncpg.Connection
) -> None:
    run, mark = await pending_run(postgres_database), SettledMark()
    await look_from(postgres_database, mark)
    transaction = other_process.transaction()
    await transaction.start()
    await other_process.fetchval(INSERT, run)
    newest = await add_event(postgres_database, run)
    await look_from(postgres_database, mark, 0.1)

    await transaction.rollback()

    assert await look_from(postgres_database, mark, 0.2) == newest


async def test_a_transaction_that_writes_elsewhere_holds_nothing_up(
    postgres_database: Database, other_process: asyncpg.Connection
) -> None:
    run, mark = await pending_run(postgres_database), SettledMark()
    await other_process.fetchval("select nextval('run_events_id_seq')")
    transaction = other_process.transaction()
    await transaction.start()
    await other_process.execute("update projects set description = 'other'")

    newest = await add_event(postgres_database, run)
    settled_to = await look_from(postgres_database, mark)
    await transaction.rollback()

    assert settled_to == newest
