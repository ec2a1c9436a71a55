"""The distributed form as real processes: masters, a service, a website, workers, over one PostgreSQL database."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from orchestra.clock import SystemClock
from orchestra.storage.notifications import CHANNEL
from orchestra.storage.open import open_database
from orchestra.up.credentials import make_administrator, make_sign_in_link, make_worker_token
from tests.support.journey import PATIENCE_SECONDS, PYTHON, START_SECONDS_MAX, Instance, Program, wait_until
from tests.support.ports import free_port
from tests.support.postgres import PORT
from tests.support.proxy import Proxy

ROOT = Path(__file__).parents[2]


class Part:
    """A master, a service or a website: a program with a port, that keeps its port when it is started again."""

    def __init__(self, program: Program, port: int) -> None:
        self.program = program
        self.port = port

    def start(self) -> None:
        """Starts it, without waiting."""
        self.program.start()

    def await_port(self) -> None:
        """Waits until it serves."""
        wait_until(lambda: self.listens, seconds=START_SECONDS_MAX, what=f"port {self.port} to be served")

    def kill(self) -> None:
        """`kill -9`."""
        self.program.kill()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.program.process is not None and self.program.process.poll() is None

    @property
    def listens(self) -> bool:
        """Whether it takes connections; fails the test if it has ended."""
        assert self.is_running, f"it ended, or was not started:\n{self.program.output}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class Distributed(Instance):
    """Masters and a service in processes of their own; used as `with Distributed(...) as instance:`.

    `databases` gives some masters another address of the same database, such as a proxy's. `is_quiet` keeps every
    part from notifying the others.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        databases: Sequence[str] = (),
        masters: int = 2,
        has_website: bool = False,
        is_quiet: bool = False,
    ) -> None:
        super().__init__()
        self.data = folder
        self._folder = folder
        self.database = database
        self._is_quiet = is_quiet
        addresses = [*databases, *[database] * (masters - len(databases))]
        self.masters = [self._part("master", f"master-{n}", address) for n, address in enumerate(addresses)]
        self.service = self._part("service", "service", database)
        self.website = self._part("website", "website", database) if has_website else None
        self.port = self.service.port

    def _part(self, kind: str, name: str, database: str) -> Part:
        port = free_port()
        program = "tests.support.quiet" if self._is_quiet else "orchestra"
        words = [PYTHON, "-m", program, kind, "--database", database, "--port", str(port)]
        words += ["--logs", str(self._folder / "logs"), "--key-file", str(self._folder / "secret.key")]
        environment = {"PYTHONPATH": str(ROOT)} if self._is_quiet else {}
        return Part(Program(words, log=self._folder / f"{name}.log", environment=environment), port)

    @property
    def parts(self) -> list[Part]:
        """All that was started, workers aside."""
        return [*self.masters, self.service, *([self.website] if self.website else [])]

    def __enter__(self) -> Self:
        asyncio.run(self._make_tokens())
        for part in self.parts:
            part.start()
        try:
            for part in self.parts:
                part.await_port()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self.close_clients()
        for part in self.parts:
            if part.program.process is not None:
                part.program.stop()

    async def _make_tokens(self) -> None:
        database = await open_database(self.database)
        try:
            await make_administrator(database, self.data, SystemClock())
            await make_worker_token(database, self.data, SystemClock())
        finally:
            await database.close()

    def worker(self, name: str, *, slots: int = 2, ports: Sequence[int] = (), **properties: str) -> Program:
        """A worker that knows every master, or what is behind these ports instead; not yet started."""
        words = [PYTHON, "-m", "orchestra", "worker", "start", "--name", name, "--slots", str(slots)]
        words += ["--folder", str(self._folder / name), "--token-file", str(self.data / "worker.token")]
        for port in ports or [master.port for master in self.masters]:
            words += ["--master", f"http://127.0.0.1:{port}"]
        for key, value in properties.items():
            words += ["--property", f"{key}={value}"]
        return Program(words, log=self._folder / f"{name}.log")

    def sign_in_link(self) -> str:
        """The secret of a link that signs the administrator in once."""
        link = asyncio.run(self._make_link())
        assert link is not None, "there is no administrator"
        return link.partition("link=")[2]

    async def _make_link(self) -> str | None:
        database = await open_database(self.database)
        try:
            return await make_sign_in_link(database, "http://website", SystemClock())
        finally:
            await database.close()

    def rows(self, query: str) -> list[Mapping[str, object]]:
        """What the database says."""
        return asyncio.run(_rows(self.database, query))

    def holder_of(self, worker: str) -> Part | None:
        """The master that the worker is connected to now, by the database's knowledge."""
        (row,) = self.rows(f"select master from workers where name = '{worker}'") or [{"master": None}]
        holders = [part for part in self.masters if str(row["master"]).endswith(f"-{part.program.pid}")]
        return holders[0] if holders else None

    def await_holder(self, worker: str, *, other_than: Part | None = None, seconds: float = PATIENCE_SECONDS) -> Part:
        """Waits until the worker is connected, to another master than this one if it is given."""

        def look() -> Part | None:
            holder = self.holder_of(worker)
            return None if holder is other_than else holder

        return wait_until(look, seconds=seconds, what=f"a master to hold {worker}")

    def end_connections(self) -> int:
        """Ends every connection to the database but the asking one; how many there were."""
        ended = self.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        return len(ended)


@contextlib.contextmanager
def notifications(database: str) -> Iterator[list[str]]:
    """All that is notified in the database meanwhile."""
    heard: list[str] = []
    listens, ends = threading.Event(), threading.Event()

    async def listen() -> None:
        connection = await asyncpg.connect(database)
        try:
            await connection.add_listener(CHANNEL, lambda _connection, _pid, _channel, line: heard.append(line))
            listens.set()
            await asyncio.to_thread(ends.wait)
            await connection.execute("select 1")  # what was sent before has come with its answer
        finally:
            await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(listen()), name="notifications")
    thread.start()
    try:
        assert listens.wait(START_SECONDS_MAX), "the database does not answer"
        yield heard
    finally:
        ends.set()
        thread.join()


async def _rows(address: str, query: str) -> list[Mapping[str, object]]:
    connection = await asyncpg.connect(address)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


@contextlib.contextmanager
def database_proxy(server: Path, database: str) -> Iterator[tuple[Proxy, str]]:
    """A way to a database of the server whose socket is in this folder, which the test can cut; and its address."""
    name = database.partition("@/")[2].partition("?")[0]
    with Proxy(server / f".s.PGSQL.{PORT}") as proxy:
        yield proxy, f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
