"""What only PostgreSQL can do to us: conflicts, and connections that are lost at the worst moment."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from orchestra.errors import DatabaseAway, OutcomeUnknown
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.open import open_database
from orchestra.storage.tables import projects
from tests.support.postgres_proxy import commit_proxy

END_OWN_BACKEND = text("select pg_terminate_backend(pg_backend_pid())")
END_OTHER_BACKENDS = text(
    "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database()"
    " and pid <> pg_backend_pid() and application_name like 'orchestra%'"
)
CONFLICT = text("do $$ begin raise exception 'conflict' using errcode = '40001'; end $$")
DEADLOCK = text("do $$ begin raise exception 'deadlock' using errcode = '40P01'; end $$")


def add_project(name: str) -> Callable[[Connection], str]:
    def add(connection: Connection) -> str:
        connection.execute(insert(projects).values(name=name, created_at=1))
        return name

    return add


def project_names(connection: Connection) -> list[str]:
    return list(connection.execute(select(projects.c.name).order_by(projects.c.name)).scalars())


def say(line: str) -> Callable[[Connection], None]:
    def notify(connection: Connection) -> None:
        connection.execute(select(func.pg_notify("orchestra", line)))

    return notify


class Stumbling:
    """A change that runs a statement which fails the transaction, so many times, before it adds its project."""

    def __init__(self, name: str, statement: object, times: int) -> None:
        self.calls = 0
        self._add = add_project(name)
        self._statement = statement
        self._times = times

    def __call__(self, connection: Connection) -> str:
        self.calls += 1
        if self.calls <= self._times:
            connection.execute(text(str(self._statement)))
        return self._add(connection)


async def test_a_connection_lost_before_the_commit_is_replaced_and_the_changes_are_made_once(
    postgres_database: Database,
) -> None:
    stumbling = Stumbling("b", END_OWN_BACKEND, 1)

    added = await asyncio.gather(
        *(postgres_database.write(change) for change in (add_project("a"), stumbling, add_project("c")))
    )

    assert added == ["a", "b", "c"]
    assert await postgres_database.read(project_names) == ["a", "b", "c"]


async def test_connections_that_died_while_idle_are_replaced_unnoticed(
    postgres_url: str, postgres_database: Database
) -> None:
    await postgres_database.write(add_project("a"))
    other = await open_database(postgres_url)
    assert await other.write(lambda c: c.execute(END_OTHER_BACKENDS).scalar_one()) >= 2
    await other.close()

    assert await postgres_database.read(project_names) == ["a"]
    assert await postgres_database.write(add_project("b")) == "b"


async def test_a_database_that_stays_away_is_given_up_after_a_bounded_number_of_tries(
    postgres_database: Database,
) -> None:
    stumbling = Stumbling("a", END_OWN_BACKEND, 1000)

    with pytest.raises(DatabaseAway, match="does not answer"):
        await postgres_database.write(stumbling)

    assert stumbling.calls == 5
    assert await postgres_database.write(add_project("b")) == "b"


@pytest.mark.parametrize("passes_it_on", [True, False], ids=["committed", "not committed"])
async def test_a_connection_lost_during_the_commit_is_said_to_every_caller_and_never_replayed(
    postgres_url: str, postgres_folder: Path, passes_it_on: bool
) -> None:
    async with commit_proxy(postgres_folder) as proxy:
        database = await open_database(postgres_url.replace(str(postgres_folder), str(proxy.folder)))
        await database.write(add_project("before"))
        proxy.lose_at_commit(passes_it_on=passes_it_on)

        lost = await asyncio.gather(
            *(database.write(add_project(name)) for name in ("a", "b", "c")), return_exceptions=True
        )

        await database.write(add_project("later"))
        there = await database.read(project_names)
        await database.close()
    assert [type(error) for error in lost] == [OutcomeUnknown] * 3
    assert len({id(error) for error in lost}) == 3
    assert proxy.commits_lost == 1
    assert there == (["a", "b", "before", "c", "later"] if passes_it_on else ["before", "later"])


@pytest.mark.parametrize("conflict", [CONFLICT, DEADLOCK], ids=["serialisation", "deadlock"])
async def test_a_change_that_met_another_transaction_comes_again_and_its_neighbours_are_made_once(
    postgres_database: Database, conflict: object
) -> None:
    stumbling = Stumbling("b", conflict, 2)

    added = await asyncio.gather(
        *(postgres_database.write(change) for change in (add_project("a"), stumbling, add_project("c")))
    )

    assert added == ["a", "b", "c"]
    assert await postgres_database.read(project_names) == ["a", "b", "c"]


async def test_a_conflict_without_end_reaches_its_caller(postgres_database: Database) -> None:
    stumbling = Stumbling("b", CONFLICT, 1000)

    neighbour, stumbled = await asyncio.gather(
        postgres_database.write(add_project("a")), postgres_database.write(stumbling), return_exceptions=True
    )

    assert neighbour == "a"
    assert isinstance(stumbled, DBAPIError)
    assert stumbling.calls <= 6


async def test_signals_reach_other_processes_after_the_commit(postgres_url: str, postgres_database: Database) -> None:
    other = await open_database(postgres_url)
    subscription = other.subscribe(Topic.RUN, Topic.WORKERS)
    assert await subscription.wait(10) == {Signal(Topic.RUN), Signal(Topic.WORKERS)}  # it listens from here on

    await postgres_database.write(add_project("a"), signals=[Signal(Topic.RUN, "7 of 9"), Signal(Topic.DUE, "x")])

    assert await subscription.wait(10) == {Signal(Topic.RUN, "7 of 9")}
    await other.close()


async def test_a_payload_that_cannot_be_sent_becomes_a_look_at_everything(
    postgres_url: str, postgres_database: Database
) -> None:
    other = await open_database(postgres_url)
    subscription = other.subscribe(Topic.PENDING)
    await subscription.wait(10)

    await postgres_database.write(add_project("a"), signals=[Signal(Topic.PENDING, "é" * 5000)])

    assert await subscription.wait(10) == {Signal(Topic.PENDING)}
    await other.close()


async def test_a_listener_whose_connection_was_lost_comes_back_and_wakes_its_subscribers(
    postgres_url: str, postgres_database: Database
) -> None:
    subscription = postgres_database.subscribe(Topic.RUN)
    await subscription.wait(10)
    other = await open_database(postgres_url)

    await other.write(lambda c: c.execute(END_OTHER_BACKENDS).scalar_one())

    assert await subscription.wait(10) == {Signal(Topic.RUN)}
    await other.write(add_project("a"), signals=[Signal(Topic.RUN, "7")])
    assert await subscription.wait(10) == {Signal(Topic.RUN, "7")}
    await other.close()


async def test_without_notify_others_are_not_told_but_this_process_is(
    postgres_url: str, postgres_database: Database
) -> None:
    silent = await open_database(postgres_url, notify=False)
    heard_here, heard_there = silent.subscribe(Topic.RUN), postgres_database.subscribe(Topic.RUN)
    await heard_here.wait(10)
    await heard_there.wait(10)

    await silent.write(add_project("a"), signals=[Signal(Topic.RUN, "7")])
    await postgres_database.write(add_project("b"), signals=[Signal(Topic.RUN, "8")])

    assert await heard_there.wait(10) == {Signal(Topic.RUN, "8")}
    assert Signal(Topic.RUN, "7") in await heard_here.wait(10)
    await silent.close()


async def test_what_others_say_on_the_channel_is_ignored(postgres_url: str, postgres_database: Database) -> None:
    subscription = postgres_database.subscribe(Topic.RUN)
    await subscription.wait(10)
    other = await open_database(postgres_url)
    for line in ("", "nonsense", "x unheard-of 7"):
        await other.write(say(line))

    await other.write(add_project("a"), signals=[Signal(Topic.RUN, "7")])

    assert await subscription.wait(10) == {Signal(Topic.RUN, "7")}
    await other.close()
