"""The floor's master: submit over WebSocket, a durable row, a push to the worker, its news as rows and log files."""

import argparse
import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

SCHEMA = """
create table run (id integer primary key, argv text, status text, exit int, created real, started real, ended real);
create table event (seq integer primary key, run int, kind text, at real);
"""
RUN_BYTES = 8
"""A log frame is the run's number in so many bytes, then the log."""

Value = int | float | str | None
Message = dict[str, int | float | str | list[str]]
After = Callable[[], None]


class Store:
    """SQLite with group commit: everything that arrived in one turn of the loop shares a transaction."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute(f"pragma synchronous={synchronous}")
        self._connection.executescript(SCHEMA)
        self._statements: list[tuple[str, tuple[Value, ...]]] = []
        self._after: list[After] = []
        self._is_due = False

    def write(self, statement: str, values: tuple[Value, ...], after: After | None = None) -> None:
        """Writes with the next commit, and then calls `after`."""
        self._statements.append((statement, values))
        if after:
            self._after.append(after)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_due = False
        self._connection.execute("begin immediate")
        for statement, values in self._statements:
            self._connection.execute(statement, values)
        self._connection.execute("commit")
        self._statements.clear()
        after, self._after = self._after, []
        for function in after:
            function()


class Master:
    """One worker, any number of clients."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        self._logs_folder = folder / "logs"
        self._logs_folder.mkdir()
        self._store = Store(folder / "floor.db", synchronous)
        self._runs = 0
        self._logs: dict[int, FileIO] = {}
        self._owners: dict[int, tuple[asyncio.Queue[Message], int]] = {}
        self._worker: asyncio.Queue[Message] = asyncio.Queue()

    async def serve(self, connection: ServerConnection) -> None:
        """One connection until its end."""
        outbox: asyncio.Queue[Message] = asyncio.Queue()
        pump = asyncio.create_task(self._pump(connection, outbox), name="pump")
        try:
            async for frame in connection:
                if isinstance(frame, bytes):
                    self._append(int.from_bytes(frame[:RUN_BYTES], "big"), frame[RUN_BYTES:])
                    continue
                now = time.time()
                for message in json.loads(frame):
                    self._take(message, outbox, now)
        finally:
            pump.cancel()

    async def _pump(self, connection: ServerConnection, outbox: asyncio.Queue[Message]) -> None:
        while True:
            batch = [await outbox.get()]
            while not outbox.empty():
                batch.append(outbox.get_nowait())
            await connection.send(json.dumps(batch))

    def _append(self, run: int, content: bytes) -> None:
        if run not in self._logs:
            self._logs[run] = FileIO(str(self._logs_folder / str(run)), "wb")
        self._logs[run].write(content)

    def _take(self, message: Message, outbox: asyncio.Queue[Message], now: float) -> None:
        kind, run = message["kind"], message.get("run")
        if kind == "worker":
            self._worker = outbox
        elif kind == "submit":
            self._submit(message, outbox, now)
        elif isinstance(run, int) and isinstance(at := message["at"], float):
            self._store.write("insert into event (run, kind, at) values (?, ?, ?)", (run, str(kind), at))
            if kind == "started":
                self._store.write("update run set status = 'running', started = ? where id = ?", (at, run))
            else:
                self._end(run, message["exit"] == 0, at)

    def _submit(self, message: Message, outbox: asyncio.Queue[Message], now: float) -> None:
        argv, tag = message["argv"], message["tag"]
        assert isinstance(tag, int), "a tag is a number"
        self._runs += 1
        run = self._runs
        self._owners[run] = (outbox, tag)
        self._store.write("insert into event (run, kind, at) values (?, 'created', ?)", (run, now))
        self._store.write(
            "insert into run (id, argv, status, created) values (?, ?, 'pending', ?)",
            (run, json.dumps(argv), now),
            lambda: self._worker.put_nowait({"run": run, "argv": argv}),
        )

    def _end(self, run: int, succeeded: bool, at: float) -> None:
        if file := self._logs.pop(run, None):
            file.close()
        owner, tag = self._owners.pop(run)
        self._store.write(
            "update run set status = ?, exit = ?, ended = ? where id = ?",
            ("succeeded" if succeeded else "failed", 0 if succeeded else 1, at, run),
            lambda: owner.put_nowait({"tag": tag, "run": run}),
        )


async def run_master(folder: Path, port: int, synchronous: str) -> None:
    """Serves for ever."""
    master = Master(folder, synchronous)
    async with serve(master.serve, "127.0.0.1", port, compression=None, max_size=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--synchronous", default="FULL")
    asked = parser.parse_args()
    asyncio.run(run_master(asked.folder, asked.port, asked.synchronous))
