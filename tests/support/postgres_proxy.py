"""A way to a PostgreSQL server that loses the connection around a COMMIT, as a network does at the worst moment."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.postgres import PORT

SOCKET = f".s.PGSQL.{PORT}"


class CommitProxy:
    """Passes everything on until it is told to lose the connection at the next COMMIT."""

    def __init__(self, *, server: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="proxy-"))
        self.commits_lost = 0
        self._server = server
        self._is_armed = False
        self._passes_commit_on = False
        self._tasks: set[asyncio.Task[None]] = set()

    def lose_at_commit(self, *, passes_it_on: bool) -> None:
        """The next COMMIT ends its connection, before the server hears of it or before the client hears the answer."""
        self._is_armed = True
        self._passes_commit_on = passes_it_on

    async def serve(self) -> asyncio.Server:
        """Listens on the socket in `folder`."""
        return await asyncio.start_unix_server(self._connected, self.folder / SOCKET)

    async def stop(self) -> None:
        """Ends all connections and removes the folder."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self.folder)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_unix_connection(self._server / SOCKET)
        try:
            with contextlib.suppress(OSError):
                async with asyncio.TaskGroup() as tasks:
                    answers = tasks.create_task(self._pass_answers(server_reader, writer), name="answers")
                    await self._pass_questions(reader, server_reader, server_writer, answers)
        finally:
            writer.transport.abort()
            server_writer.transport.abort()

    async def _pass_questions(
        self,
        reader: asyncio.StreamReader,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
        answers: "asyncio.Task[None]",
    ) -> None:
        while question := await reader.read(1 << 16):
            if self._is_armed and b"COMMIT" in question:
                self._is_armed = False
                self.commits_lost += 1
                answers.cancel()
                await asyncio.wait([answers])
                if self._passes_commit_on:
                    server_writer.write(question)
                    await server_reader.read(1 << 16)
                return
            server_writer.write(question)
        answers.cancel()

    async def _pass_answers(self, server_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await server_reader.read(1 << 16):
            writer.write(answer)
        writer.transport.abort()


@contextlib.asynccontextmanager
async def commit_proxy(server: Path) -> AsyncIterator[CommitProxy]:
    """A proxy in front of the server whose socket is in this folder."""
    proxy = CommitProxy(server=server)
    listener = await proxy.serve()
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.stop()
