"""A PostgreSQL server that keeps what it has confirmed, and whose crash is decided from outside."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from orchestra_migrations import upgrade
from tests.support.journey import arguments_of, wait_until
from tests.support.postgres import postgres_server, server_address


class CrashingServer:
    """Ends as in a crash when it is told to, and comes back by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Of its socket."""
        self._again: subprocess.Popen[bytes] | None = None

    def crash(self) -> None:
        """`pg_ctl stop -m immediate`, and a start that has to recover."""
        pid = int((self.folder / "postmaster.pid").read_text().split()[0])
        words = [word.decode() for word in arguments_of(pid).split(b"\0") if word]
        user = Path(f"/proc/{pid}").stat().st_uid
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not arguments_of(pid), what="the server to be gone")
        if self._again is not None:
            self._again.wait(10)
        with (self.folder.parent / "log").open("ab") as log:
            self._again = subprocess.Popen(
                words, user=user, group=user, stdout=log, stderr=log, cwd=self.folder.parent, start_new_session=True
            )

    def stop(self) -> None:
        """Ends what `crash` has started."""
        if self._again is not None:
            self._again.send_signal(signal.SIGINT)
            self._again.wait(20)


@contextmanager
def crashing_server() -> Iterator[tuple[CrashingServer, str]]:
    """A server of its own, and the address of an upgraded database on it."""
    with postgres_server(is_durable=True) as folder:
        asyncio.run(_make_database(folder))
        address = server_address(folder, "orchestra")
        upgrade(address)
        server = CrashingServer(folder)
        try:
            yield server, address
        finally:
            server.stop()


async def _make_database(folder: Path) -> None:
    connection = await asyncpg.connect(server_address(folder, "postgres"))
    try:
        await connection.execute("create database orchestra")
    finally:
        await connection.close()
