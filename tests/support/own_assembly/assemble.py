"""Puts a master and a service together from the product's `assemble`, with the own selector and the own log store."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from orchestra.clock import SystemClock
from orchestra.configuration import write_connection_file
from orchestra.folder import lock_folder
from orchestra.network.server import serve
from orchestra.sealing import Sealing, read_or_make_key
from orchestra.storage.open import open_database
from orchestra.up.credentials import make_administrator, make_worker_token
from orchestra.web.assemble import build_application, build_web_parts
from orchestra_master.assemble import build_master
from orchestra_migrations import upgrade
from orchestra_service.assemble import service_routes
from tests.support.own_assembly.log_store import FlatLogStore
from tests.support.own_assembly.selector import LastByName

OWN_LOGS = "own-logs"


async def run_own(data: Path, port: int) -> None:
    """Serves on the port until SIGTERM."""
    clock, closing = SystemClock(), asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(lock_folder(data, "our own orchestra"))
        await asyncio.to_thread(upgrade, data)
        database = await open_database(data)
        stack.push_async_callback(database.close)
        administrator = await make_administrator(database, data, clock)
        await make_worker_token(database, data, clock)
        assert administrator is not None, "a new data folder has no administrator yet"
        logs, sealing = FlatLogStore(data / OWN_LOGS), Sealing(key=read_or_make_key(data / "secret.key"))
        master = build_master(database=database, logs=logs, secrets=sealing, clock=clock, selector=LastByName())
        parts = build_web_parts(database=database, clock=clock, logs=logs, sealing=sealing, closing=closing)
        service = build_application(parts, [*service_routes(parts), master.listener.route()])

        def ready(port: int) -> None:
            write_connection_file(data, server=f"http://127.0.0.1:{port}", token_file=administrator)

        await stack.enter_async_context(master)
        await serve(
            service,
            host="127.0.0.1",
            port=port,
            closing=closing,
            before_close=master.say_bye,
            ready=ready,
        )
