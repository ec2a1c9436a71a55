"""The distributed form over PostgreSQL: `orchestra master`, `orchestra service` and a worker, each its own process."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.floor import free_port, is_open
from benchmarks.processes import Processes, wait_until
from benchmarks.product import START_SECONDS_MAX, Instance
from orchestra.clock import SystemClock
from orchestra.configuration import read_token_file
from orchestra.storage.open import open_database
from orchestra.up.credentials import make_administrator, make_worker_token
from tests.support.postgres import server_address

DATABASE = "postgres"


class Distributed(Instance):
    """A fresh instance over the server whose socket is in the `server` folder."""

    name = "orchestra over PostgreSQL"

    def __init__(self, processes: Processes, folder: Path, server: Path, *, slots: int) -> None:
        folder.mkdir()
        address = server_address(server, DATABASE)
        self.postgres = int((server / "postmaster.pid").read_text().split()[0])
        """The server's first process; it is charged apart."""
        subprocess.run([sys.executable, "-m", "orchestra", "db", "upgrade", "--database", address], check=True)
        asyncio.run(_make_tokens(address, folder))
        shared = ["--database", address, "--logs", str(folder / "logs"), "--key-file", str(folder / "secret.key")]
        self.master, master_port = _start(processes, "master", shared)
        self.service, service_port = _start(processes, "service", shared)
        worker = processes.start(
            [
                *(sys.executable, "-m", "orchestra_worker", "--name", "local", "--slots", str(slots)),
                *("--folder", str(folder / "worker"), "--token-file", str(folder / "worker.token")),
                *("--master", f"http://127.0.0.1:{master_port}"),
            ]
        )
        super().__init__(
            port=service_port,
            token=read_token_file(folder / "admin.token"),
            roots=[self.master, self.service, worker],
            folder=folder,
        )


def _start(processes: Processes, part: str, shared: Sequence[str]) -> tuple[int, int]:
    """The process and its port, which is open."""
    port = free_port()
    process = processes.start([sys.executable, "-m", "orchestra", part, "--port", str(port), *shared])
    wait_until(lambda: is_open(port), seconds=START_SECONDS_MAX, what=f"orchestra {part}")
    return process, port


async def _make_tokens(address: str, folder: Path) -> None:
    database = await open_database(address)
    try:
        await make_administrator(database, folder, SystemClock())
        await make_worker_token(database, folder, SystemClock())
    finally:
        await database.close()
