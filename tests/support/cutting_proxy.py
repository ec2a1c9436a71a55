"""A TCP proxy that breaks each connection after an exact number of bytes in one direction."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.background import Background
from tests.support.proxy import Direction

PIECE_BYTES = 1 << 16
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """After so many bytes that way; neither end gets one more, in either direction."""

    direction: Direction
    after_bytes: int


class CuttingProxy(Background):
    """Takes the cuts one after the other, one for each connection, and then lets everything through; in a thread."""

    def __init__(self, target: tuple[str, int], cuts: Sequence[Cut], *, chance: random.Random) -> None:
        super().__init__("cutting proxy")
        self._target = target
        self._cuts: Iterator[Cut] = iter(cuts)
        self._chance = chance
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._closing = asyncio.Event()
        self.fired = 0
        """Connections that were cut where it was asked."""
        self.ended_before = 0
        """Connections that an end closed by itself before that."""

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def _ask_to_end(self) -> None:
        with contextlib.suppress(RuntimeError):  # closed: it has failed
            self._loop.call_soon_threadsafe(self._closing.set)

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._connection(reader, writer), name="cut connection")
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, sock=self._listener)
        await self._closing.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cut = next(self._cuts, None)
        writers = [writer]
        was_cut = False
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            writers.append(far_writer)
            pumps = {
                asyncio.create_task(self._pump(reader, far_writer, _limit(cut, Direction.TO_TARGET))),
                asyncio.create_task(self._pump(far_reader, writer, _limit(cut, Direction.FROM_TARGET))),
            }
            try:
                done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                was_cut = any(pump.result() for pump in done)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass
        finally:
            self.fired += was_cut
            self.ended_before += cut is not None and not was_cut
            for one in writers:
                self._break(one, hard=was_cut and self._chance.random() < 0.5)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit: int | None) -> bool:
        """Whether it came to its limit, rather than to the end."""
        left = limit
        try:
            while left is None or left > 0:
                piece = await source.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
                if not piece:
                    return False
                sink.write(piece)
                await sink.drain()
                if left is not None:
                    left -= len(piece)
        except OSError:
            return False
        return True

    @staticmethod
    def _break(writer: asyncio.StreamWriter, *, hard: bool) -> None:
        """By a reset, as when a machine is gone, or by an end in the middle of a frame."""
        if hard:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()


def _limit(cut: Cut | None, direction: Direction) -> int | None:
    return cut.after_bytes if cut is not None and cut.direction is direction else None
