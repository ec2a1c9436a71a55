"""The port to the database, which holds on both kinds."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from orchestra.errors import DatabaseAway
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.tables import audit_entries, projects


def add_project(name: str) -> Callable[[Connection], str]:
    def add(connection: Connection) -> str:
        connection.execute(insert(projects).values(name=name, created_at=1))
        return name

    return add


def count_projects(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(projects)).scalar_one()


async def test_many_writers_share_commits_and_each_gets_its_own_result(database: Database) -> None:
    names = [f"project-{number}" for number in range(600)]

    added = await asyncio.gather(*(database.write(add_project(name)) for name in names))

    assert added == names
    assert await database.read(count_projects) == 600


async def test_changes_that_fail_roll_back_alone_and_their_neighbours_stay(database: Database) -> None:
    names = [f"project-{number % 190}" for number in range(200)]

    results = await asyncio.gather(*(database.write(add_project(name)) for name in names), return_exceptions=True)

    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 10
    assert all(isinstance(error, IntegrityError) for error in refused)
    assert await database.read(count_projects) == 190


async def test_what_a_change_raises_reaches_its_caller_and_undoes_what_it_did(database: Database) -> None:
    def add_and_regret(connection: Connection) -> None:
        add_project("regretted")(connection)
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await database.write(add_and_regret)

    assert await database.read(count_projects) == 0


async def test_a_stray_stop_iteration_reaches_its_caller_without_harming_the_batch(database: Database) -> None:
    def stray(_: Connection) -> int:
        raise StopIteration

    stopped, added = await asyncio.gather(
        database.write(stray), database.write(add_project("a")), return_exceptions=True
    )

    assert isinstance(stopped, RuntimeError)
    assert added == "a"


async def test_a_caller_that_is_cancelled_does_not_break_the_batch(database: Database) -> None:
    impatient = asyncio.ensure_future(database.write(add_project("impatient")))
    patient = asyncio.ensure_future(database.write(add_project("patient")))
    await asyncio.sleep(0)
    impatient.cancel()

    assert await patient == "patient"
    assert impatient.cancelled()


async def test_close_commits_what_was_queued_and_refuses_what_comes_later(database: Database) -> None:
    queued = [asyncio.ensure_future(database.write(add_project(f"p{n}"))) for n in range(50)]
    await asyncio.sleep(0)

    await database.close()

    assert [await change for change in queued] == [f"p{n}" for n in range(50)]
    with pytest.raises(DatabaseAway, match="closed"):
        await database.write(add_project("late"))
    with pytest.raises(DatabaseAway, match="closed"):
        await database.read(count_projects)


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await database.read(add_project("sly"))


async def test_a_read_sees_one_snapshot_and_every_commit_before_it(database: Database) -> None:
    await database.write(add_project("first"))

    assert await database.read(lambda c: (count_projects(c), count_projects(c))) == (1, 1)


async def test_a_signal_arrives_after_the_commit_and_once(database: Database) -> None:
    subscription = database.subscribe(Topic.RUN)
    await subscription.wait(0.5)
    await database.write(add_project("a"), signals=[Signal(Topic.RUN, "7"), Signal(Topic.DUE)])

    assert await subscription.wait(5) == {Signal(Topic.RUN, "7")}
    assert await subscription.wait(0.05) == frozenset()


async def test_a_change_that_fails_signals_nothing(database: Database) -> None:
    subscription = database.subscribe(Topic.RUN)
    await subscription.wait(0.5)
    await database.write(add_project("a"))

    with pytest.raises(IntegrityError):
        await database.write(add_project("a"), signals=[Signal(Topic.RUN, "7")])

    assert await subscription.wait(0.05) == frozenset()


async def test_signals_that_follow_from_the_value_are_told_and_their_fault_is_the_changes_own(
    database: Database,
) -> None:
    subscription = database.subscribe(Topic.RUN)
    await subscription.wait(0.5)

    def named(name: str) -> list[Signal]:
        return [Signal(Topic.RUN, {"good": "1"}[name])]

    good, bad = await asyncio.gather(
        database.write(add_project("good"), signals=named),
        database.write(add_project("bad"), signals=named),
        return_exceptions=True,
    )

    assert good == "good"
    assert isinstance(bad, KeyError)
    assert await database.read(count_projects) == 1
    assert await subscription.wait(5) == {Signal(Topic.RUN, "1")}


async def test_a_subscriber_that_never_looks_is_held_to_a_bound(database: Database) -> None:
    subscription = database.subscribe(Topic.RUN)
    await subscription.wait(0.5)
    flood = [Signal(Topic.RUN, str(number)) for number in range(3000)]

    await database.write(add_project("a"), signals=flood)

    held = await subscription.wait(5)
    assert Signal(Topic.RUN) in held
    assert len(held) <= 1001


async def test_the_database_keeps_its_audit_trail(database: Database) -> None:
    await database.write(
        lambda c: c.execute(insert(audit_entries).values(at=1, actor="ana", action="look", object="x"))
    )
    with pytest.raises(IntegrityError, match="only grows"):
        await database.write(lambda c: c.execute(audit_entries.delete()))
