"""The floor's worker: spawns what the master pushes, so many at a time, and sends output and exit codes back."""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable
from typing import NoReturn

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.floor_master import RUN_BYTES

READ_BYTES = 65536

News = dict[str, int | float | str]


class Worker:
    """One connection to the master."""

    def __init__(self, connection: ClientConnection, width: int) -> None:
        self._connection = connection
        self._gate = asyncio.Semaphore(width)
        self._outbox: asyncio.Queue[News] = asyncio.Queue()

    async def serve(self) -> None:
        """Until the connection ends."""
        self._outbox.put_nowait({"kind": "worker"})
        async with asyncio.TaskGroup() as tasks:
            pump = tasks.create_task(self._pump(), name="pump")
            async for frame in self._connection:
                for order in json.loads(frame):
                    tasks.create_task(self._run(order["run"], order["argv"]), name=f"run {order['run']}")
            pump.cancel()

    async def _pump(self) -> NoReturn:
        while True:
            batch = [await self._outbox.get()]
            while not self._outbox.empty():
                batch.append(self._outbox.get_nowait())
            await self._connection.send(json.dumps(batch))

    async def _run(self, run: int, argv: list[str]) -> None:
        async with self._gate:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            pid = _spawn(argv, writer)
            os.close(writer)
            self._outbox.put_nowait({"kind": "started", "run": run, "at": time.time()})
            head = run.to_bytes(RUN_BYTES, "big")
            await _readable(reader)
            while content := os.read(reader, READ_BYTES):
                await self._connection.send(head + content)
                await _readable(reader)
            os.close(reader)
            process = os.pidfd_open(pid)
            await _readable(process)
            os.close(process)
            self._outbox.put_nowait({"kind": "ended", "run": run, "exit": _reap(pid), "at": time.time()})


def _spawn(argv: list[str], output: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    return os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _readable(descriptor: int) -> Awaitable[None]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        loop.remove_reader(descriptor)
        future.set_result(None)

    loop.add_reader(descriptor, settle)
    return future


async def run_worker(port: int, width: int) -> None:
    """Connects and works until the connection ends."""
    async with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None) as connection:
        await Worker(connection, width).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("width", type=int)
    asked = parser.parse_args()
    asyncio.run(run_worker(asked.port, asked.width))
