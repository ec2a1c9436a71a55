"""The service in a thread with a loop of its own, for test programs that are not asynchronous."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from orchestra.commands.bearer_texts import BearerText
from orchestra.policy import Role
from orchestra.storage.open import open_database
from tests.service.given import World
from tests.service.listening import SECONDS_MAX, listening


@dataclass(frozen=True, kw_only=True)
class Serving:
    """Where the service is, and the token of an administrator."""

    address: str
    token: BearerText


class _Server:
    """The thread's side."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._is_over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.started = threading.Event()
        self.serving: Serving | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self.started.set()

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_over.set)

    async def _serve(self) -> None:
        database = await open_database(self._url)
        try:
            world = World(database)
            token = await furnish(world)
            # Streams say goodbye at once: a program that reads every answer to its end would wait for ever.
            world.parts.closing.set()
            async with listening(world.app, closing=asyncio.Event()) as server:
                self._loop = asyncio.get_running_loop()
                self.serving = Serving(address=server.address, token=token)
                self.started.set()
                await self._is_over.wait()
        finally:
            await database.close()


async def furnish(world: World) -> BearerText:
    """Something of everything, so that requests meet what is there: a project, runs with a log, a worker, people."""
    await world.project()
    token = await world.user("root", Role.ADMINISTRATOR)
    await world.user("ana", (Role.OPERATOR, "ops"))
    await world.worker("atlas")
    async with world.client(token) as client:
        for job in ("backup", "backup", "resize"):
            made = await client.post(f"/api/v1/projects/ops/jobs/{job}/runs", json={"secrets": _secrets(job)})
            assert made.status_code == 201, made.text
    await world.attempt(1, 1, "grüße aus Östersund\n".encode() * 9)
    await world.change_run(1, state="running", attempt=1)
    return token


def _secrets(job: str) -> dict[str, str]:
    return {"api-key": "correct-horse-battery"} if job == "resize" else {}


@contextlib.contextmanager
def serving(database_url: str) -> Iterator[Serving]:
    """Serves over the database until the block ends."""
    server = _Server(database_url)
    thread = threading.Thread(target=server.run, name="service under test")
    thread.start()
    try:
        assert server.started.wait(SECONDS_MAX)
        assert server.serving is not None, "the service did not come up"
        yield server.serving
    finally:
        server.stop()
        thread.join(SECONDS_MAX)
