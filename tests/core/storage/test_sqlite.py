"""What only SQLite's engine does: full disks, sudden ends, a write-ahead log that readers hold up."""

import asyncio
import contextlib
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from orchestra.errors import DatabaseAway, OutcomeUnknown
from orchestra.limits import SQLITE_WAL_BYTES
from orchestra.storage.database import Database
from orchestra.storage.sqlite_file import SqliteFile
from orchestra.storage.tables import projects
from orchestra.storage.transaction import Change

WRITER = """
import asyncio, sys
from sqlalchemy import insert
from orchestra.storage.open import open_database
from orchestra.storage.tables import projects

async def main():
    database = await open_database(sys.argv[1])
    async def add(number):
        await database.write(lambda c: c.execute(insert(projects).values(name=f"p{number}", created_at=1)))
        print(number, flush=True)
    await asyncio.gather(*(add(number) for number in range(100_000)))

asyncio.run(main())
"""


def add_project(name: str, description: str = "") -> Callable[[Connection], str]:
    def add(connection: Connection) -> str:
        connection.execute(insert(projects).values(name=name, description=description, created_at=1))
        return name

    return add


def count_projects(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(projects)).scalar_one()


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond the size, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_change_for_which_there_is_no_room_fails_alone_and_says_why(sqlite_database: Database) -> None:
    pages = await sqlite_database.write(lambda c: c.exec_driver_sql("pragma page_count").scalar_one())
    await sqlite_database.write(lambda c: c.exec_driver_sql(f"pragma max_page_count = {pages + 20}").scalar_one())

    big, small = await asyncio.gather(
        sqlite_database.write(add_project("big", "x" * 1_000_000)),
        sqlite_database.write(add_project("small")),
        return_exceptions=True,
    )

    assert isinstance(big, DatabaseAway)
    assert "full" in str(big)
    assert small == "small"
    assert await sqlite_database.read(count_projects) == 1


async def test_after_a_disk_that_refused_writes_the_database_goes_on_with_what_was_acknowledged(
    sqlite_database: Database, sqlite_url: str
) -> None:
    await sqlite_database.write(add_project("before"))
    wal = file_of(sqlite_url).with_name("orchestra.db-wal")

    with file_size_limit(wal.stat().st_size + 4096):
        refused = await asyncio.gather(
            *(sqlite_database.write(add_project(f"p{n}", "x" * 50_000)) for n in range(5)), return_exceptions=True
        )

    assert all(isinstance(error, DatabaseAway | OutcomeUnknown) for error in refused)
    assert await sqlite_database.write(add_project("after")) == "after"
    assert await sqlite_database.read(count_projects) == 2


def test_what_was_acknowledged_is_there_after_a_sudden_end(sqlite_url: str) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, sqlite_url], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(2000)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.communicate()[0].splitlines() if line.isdecimal()]

    with contextlib.closing(sqlite3.connect(file_of(sqlite_url))) as connection:
        there = {name for (name,) in connection.execute("select name from projects")}
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    # The last line may have been cut in the middle of its number.
    assert {f"p{number}" for number in acknowledged[:-1]} <= there


async def test_a_log_that_a_reader_held_up_is_cut_back_to_its_bound(sqlite_database: Database, sqlite_url: str) -> None:
    wal = file_of(sqlite_url).with_name("orchestra.db-wal")
    may_end = threading.Event()

    def read_slowly(connection: Connection) -> int:
        before = count_projects(connection)
        may_end.wait(30)
        return before + count_projects(connection)

    slow = asyncio.ensure_future(sqlite_database.read(read_slowly))
    await sqlite_database.read(count_projects)
    for number in range(6):
        await sqlite_database.write(add_project(f"p{number}", "x" * (4 << 20)))
    grown = wal.stat().st_size
    may_end.set()
    await slow
    await sqlite_database.write(add_project("last"))
    # The next change is taken only when the log of the one before has been seen to.
    await sqlite_database.write(add_project("later"))

    assert grown > SQLITE_WAL_BYTES
    # SQLite itself cuts it to exactly the bound at its next restart, the writer empties it when idle: either may be
    # first.
    assert wal.stat().st_size <= SQLITE_WAL_BYTES


async def test_closing_leaves_one_file_that_has_everything(sqlite_database: Database, sqlite_url: str) -> None:
    await sqlite_database.write(add_project("a"))

    await sqlite_database.close()

    path = file_of(sqlite_url)
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith("orchestra.db")] == ["orchestra.db"]


async def test_a_program_that_holds_the_file_is_waited_for_and_then_named_as_the_cause(
    sqlite_database: Database, sqlite_url: str
) -> None:
    await sqlite_database.write(lambda c: c.exec_driver_sql("pragma busy_timeout = 10").all())
    intruder = sqlite3.connect(file_of(sqlite_url), isolation_level=None)
    intruder.execute("begin immediate")

    refused = await asyncio.gather(
        *(sqlite_database.write(add_project(name)) for name in ("a", "b")), return_exceptions=True
    )

    intruder.close()
    assert ["locked" in str(error) for error in refused if isinstance(error, DatabaseAway)] == [True, True]
    assert await sqlite_database.write(add_project("a")) == "a"


async def test_who_comes_while_another_waits_for_a_locked_file_is_refused_together_with_it(
    sqlite_database: Database, sqlite_url: str
) -> None:
    await sqlite_database.write(lambda c: c.exec_driver_sql("pragma busy_timeout = 1000").all())
    intruder = sqlite3.connect(file_of(sqlite_url), isolation_level=None)
    intruder.execute("begin immediate")
    first = asyncio.create_task(sqlite_database.write(add_project("a")))
    await sqlite_database.read(lambda c: c.execute(select(func.count()).select_from(projects)).scalar_one())
    second = asyncio.create_task(sqlite_database.write(add_project("b")))

    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)

    intruder.close()
    assert done == {first, second}
    assert [type(each.exception()) for each in done] == [DatabaseAway, DatabaseAway]


async def test_a_batch_can_be_driven_without_any_thread(sqlite_url: str) -> None:
    file = SqliteFile(path=file_of(sqlite_url), readers=1)
    loop = asyncio.get_running_loop()
    changes = [
        Change[str](function=add_project(name), future=loop.create_future(), signals=()) for name in ("a", "b", "a")
    ]

    file.commit(changes)
    for change in changes:
        change.settle()

    assert [change.has_failed for change in changes] == [False, False, True]
    assert changes[2].future.exception() is not None
    assert file.read(count_projects) == 2
    file.close()
