"""PostgreSQL ends at once, as in a crash, and comes back, again and again: no run is lost and none runs twice."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from orchestra_migrations import upgrade
from tests.faults.asking import read
from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.witness import Witness
from tests.support.distributed import Distributed
from tests.support.journey import arguments_of, running, wait_until
from tests.support.postgres import postgres_server, server_address

ANSWER_SECONDS_MAX = 5.0
RUNS_EACH_TIME = 3


class Server:
    """A server whose crash the test decides."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._again: subprocess.Popen[bytes] | None = None

    def crash(self) -> None:
        """`pg_ctl stop -m immediate`, and a start that has to recover."""
        pid = int((self._folder / "postmaster.pid").read_text().split()[0])
        words = [word.decode() for word in arguments_of(pid).split(b"\0") if word]
        user = Path(f"/proc/{pid}").stat().st_uid
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not arguments_of(pid), what="the server to be gone")
        if self._again is not None:
            self._again.wait(10)
        with (self._folder.parent / "log").open("ab") as log:
            self._again = subprocess.Popen(
                words, user=user, group=user, stdout=log, stderr=log, cwd=self._folder.parent, start_new_session=True
            )

    def stop(self) -> None:
        """Ends what `crash` has started."""
        if self._again is not None:
            self._again.send_signal(signal.SIGINT)
            self._again.wait(20)


@pytest.fixture
def durable() -> Iterator[tuple[Server, str]]:
    """A server of its own that keeps what it has confirmed, and the address of a database."""
    with postgres_server(is_durable=True) as folder:
        asyncio.run(make_database(folder))
        address = server_address(folder, "orchestra")
        upgrade(address)
        server = Server(folder)
        try:
            yield server, address
        finally:
            server.stop()


async def make_database(folder: Path) -> None:
    connection = await asyncpg.connect(server_address(folder, "postgres"))
    try:
        await connection.execute("create database orchestra")
    finally:
        await connection.close()


@pytest.mark.parametrize("crashes", [3, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_database_that_crashes_again_and_again_loses_no_run(
    durable: tuple[Server, str], tmp_path: Path, witness: Witness, fired: Fired, crashes: int
) -> None:
    server, address = durable
    with Distributed(tmp_path, address, masters=1) as instance, running(instance.worker("atlas", slots=4)):
        load = Load(instance, witness)
        wait_until(lambda: instance.connected("atlas"), what="atlas")
        for _ in range(crashes):
            for _ in range(RUNS_EACH_TIME):
                load.trigger(lines=10, pause=0.1)
            server.crash()
            asked = read(instance, "/runs")
            assert asked.status in (200, 503)
            assert asked.seconds <= ANSWER_SECONDS_MAX
            fired("crash")
            wait_until(lambda: read(instance, "/runs").status == 200, seconds=30, what="the API to be back")

        load.await_over(seconds=60)
        check(instance, witness, load.expected).assert_none()
