"""Master, service and website in one process on one port over SQLite, with local workers as child processes."""

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestra.clock import SystemClock
from orchestra.configuration import read_token_file, write_connection_file
from orchestra.errors import OrchestraError
from orchestra.folder import lock_folder
from orchestra.logs.store import FileLogStore
from orchestra.metrics import new_registry
from orchestra.network.client import ApiClient
from orchestra.network.heap import give_back_memory
from orchestra.network.loop import leave_code_uncollected
from orchestra.network.server import serve
from orchestra.sealing import Sealing, read_or_make_key
from orchestra.storage.database import Database
from orchestra.storage.open import open_database
from orchestra.up.credentials import make_administrator, make_sign_in_link, make_worker_token
from orchestra.up.demo import Demo, table
from orchestra.up.local_workers import LocalWorker, LocalWorkers
from orchestra.web.assemble import WebSettings, build_application, build_web_parts
from orchestra_master.assemble import build_master
from orchestra_master.definition_watch import DefinitionWatch
from orchestra_migrations import upgrade_apart
from orchestra_service.assemble import service_routes
from orchestra_website.assemble import website_routes
from orchestra_website.settings import WebsiteSettings

logger = logging.getLogger(__name__)

KEY_FILE = "secret.key"


@dataclass(frozen=True, kw_only=True)
class UpSettings:
    """What `orchestra up` was asked for."""

    host: str
    port: int
    data: Path
    slots: int
    demo: bool
    exit: bool
    """With the demo: end when its runs are over."""
    definitions: Path | None
    trusted_proxies: tuple[str, ...]
    web: WebSettings
    pages: WebsiteSettings
    say: Callable[[str], None]


def run_up(settings: UpSettings) -> int:
    """Serves until it is told to stop, or until the demo is over; returns the exit code.

    Raises FolderInUse, FolderUnusable, PortInUse, WrongSchemaVersion.
    """
    with lock_folder(settings.data, "orchestra up"):
        upgrade_apart(settings.data)
        leave_code_uncollected()
        give_back_memory()
        return asyncio.run(_serve(settings))


async def _serve(settings: UpSettings) -> int:
    database = await open_database(settings.data)
    try:
        return await _Up(settings, database).run()
    finally:
        await database.close()


class _Up:
    """One run of `orchestra up` over an open database."""

    def __init__(self, settings: UpSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._clock = SystemClock()
        self._closing = asyncio.Event()
        self._ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._trouble: OrchestraError | None = None
        # A demo that is interrupted has not shown that everything works.
        self._exit = 1 if settings.exit else 0

    async def run(self) -> int:
        data, settings = self._settings.data, self._settings
        logs = FileLogStore(data / "logs")
        sealing = Sealing(key=read_or_make_key(data / KEY_FILE))
        watches = []
        if settings.definitions is not None:
            watches.append(DefinitionWatch(database=self._database, clock=self._clock, path=settings.definitions))
        registry = new_registry()
        master = build_master(
            database=self._database,
            logs=logs,
            secrets=sealing,
            clock=self._clock,
            registry=registry,
            more_loops=watches,
            is_alone=True,
        )
        parts = build_web_parts(
            database=self._database,
            clock=self._clock,
            logs=logs,
            wrapped_logs=FileLogStore(data / "logs"),
            sealing=sealing,
            closing=self._closing,
            settings=settings.web,
            registry=registry,
        )
        pages = website_routes(parts, settings.pages)
        app = build_application(parts, [*service_routes(parts), master.listener.route(), *pages])
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            await stack.enter_async_context(master)
            beside = tasks.create_task(self._beside_the_server(), name="up")
            try:
                await serve(
                    app,
                    host=settings.host,
                    port=settings.port,
                    closing=self._closing,
                    before_close=master.say_bye,
                    ready=self._ready.set_result,
                    trusted_proxies=settings.trusted_proxies,
                )
            finally:
                beside.cancel()
        if self._trouble is not None:
            raise self._trouble
        return self._exit

    async def _beside_the_server(self) -> None:
        """What happens once the port is open: credentials, workers, the demo."""
        port = await self._ready
        leave_code_uncollected()
        address = f"http://{self._settings.host}:{port}"
        data = self._settings.data
        token_file = await make_administrator(self._database, data, self._clock)
        worker_token = await make_worker_token(self._database, data, self._clock)
        if token_file is not None:
            # Last, because it tells others that everything is ready: a worker whose token is not known yet comes back
            # only after a minute.
            write_connection_file(data, server=address, token_file=token_file)
        link = await make_sign_in_link(self._database, address, self._clock)
        workers = LocalWorkers(
            workers=self._local_workers(), master=f"ws://{self._settings.host}:{port}", token_file=worker_token
        )
        self._settings.say(_welcome(address, link, data))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(workers.keep_running(), name="local workers")
            if self._settings.demo and token_file is not None:
                try:
                    await self._demo(address, read_token_file(token_file))
                except OrchestraError as error:
                    # Told later, because raised here it would tear the orderly end down. If the end had begun, it is
                    # what the demo stumbled over.
                    self._trouble = None if self._closing.is_set() else error
                    self._closing.set()
                if self._settings.exit:
                    self._closing.set()

    def _local_workers(self) -> list[LocalWorker]:
        data, slots = self._settings.data, self._settings.slots
        if slots == 0:
            return []
        zones = ("north", "south") if self._settings.demo else (None,)
        return [
            LocalWorker(
                name=f"local-{zone}" if zone else "local",
                folder=data / "workers" / (zone or "local"),
                slots=slots,
                properties={"zone": zone} if zone else {},
            )
            for zone in zones
        ]

    async def _demo(self, address: str, token: str) -> None:
        is_ending = threading.Event()

        def pause(seconds: float) -> None:
            # The client's patience with a server that has gone away would hold up our own end.
            is_ending.wait(seconds)

        client = ApiClient(
            server=address,
            token=token,
            new_key=lambda: secrets.token_hex(16),
            pause=pause,
            user_agent="orchestra up --demo",
        )
        try:
            await self._show(Demo(client=client, clock=self._clock, pause=pause))
        finally:
            is_ending.set()

    async def _show(self, demo: Demo) -> None:
        numbers = await asyncio.to_thread(demo.begin)
        if not self._settings.exit:
            self._settings.say(_next_steps(numbers))
            return
        runs = await asyncio.to_thread(demo.wait, numbers)
        self._settings.say(table(runs))
        self._exit = 0 if all(run.state == "succeeded" for run in runs) else 1


def _welcome(address: str, link: str | None, data: Path) -> str:
    lines = [f"Job Orchestra is up at {address}"]
    if link is not None:
        lines.append(f"  open it:  {link}   (signs you in, once, within the hour)")
    lines += [
        f"  kept in:  {data}",
        "  Ctrl-C stops it; running steps go on, and are found again. Nothing else was changed.",
    ]
    return "\n".join(lines)


def _next_steps(numbers: list[int]) -> str:
    return "\n".join(
        [
            f"The demo is running: {', '.join(f'#{number}' for number in numbers)}.",
            "Open the address above: its first page leads on. Or in another terminal, in this folder:",
            "  orchestra runs                       what runs, and what has run",
            f"  orchestra logs {numbers[0]} -f                  follow a log",
            f"  orchestra run show {numbers[0]}                 attempts, steps, results",
            "  orchestra trigger demo/greet -p name=Ada --follow",
            "  orchestra trigger demo/release -p ask=true      a pipeline that asks for your yes",
            "  orchestra init                       write your own orchestra.yaml",
        ]
    )
