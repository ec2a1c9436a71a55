"""A WebSocket proxy that doubles, swaps, repeats and delays whole frames, by a seed: no network does that to TCP, but a
peer or a box in between may."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from orchestra.limits import FRAME_BYTES_MAX, SUBPROTOCOL
from tests.support.proxy import Direction

Frame = str | bytes
SWAP_SECONDS_MAX = 0.2
HISTORY_MAX = 200
DOUBLED, SWAPPED, REPLAYED, DELAYED = "doubled", "swapped", "replayed", "delayed"


@dataclass(frozen=True, kw_only=True)
class Mischief:
    """What is done to a frame, each with this probability."""

    double: float = 0.0
    swap: float = 0.0
    """With the one behind it."""
    replay: float = 0.0
    """An older frame of this connection follows."""
    delay: float = 0.0
    delay_seconds_max: float = 5.0
    """Nothing overtakes it."""


class FrameProxy:
    """Between one worker and its master, in a thread."""

    def __init__(self, port: int, mischief: Mischief, *, seed: int) -> None:
        self._address = f"ws://127.0.0.1:{port}"
        self._mischief = mischief
        self._chance = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="frame proxy", daemon=True)
        self._ready = threading.Event()
        self._ending = asyncio.Event()
        self._is_calm = False
        self.port = 0
        self.counts: Counter[str] = Counter()
        """What was done so far."""

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60), "the frame proxy does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop.close()

    def calm(self) -> None:
        """From now on every frame passes as it is."""
        self._is_calm = True

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        protocols = [Subprotocol(SUBPROTOCOL)]
        async with serve(
            self._connection,
            "127.0.0.1",
            0,
            subprotocols=protocols,
            compression=None,
            ping_interval=None,
            max_size=FRAME_BYTES_MAX * 2,
            close_timeout=1,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._ending.wait()

    async def _connection(self, near: ServerConnection) -> None:
        assert near.request is not None, "the handshake is over"
        try:
            async with connect(
                f"{self._address}{near.request.path}",
                additional_headers={"Authorization": near.request.headers["Authorization"]},
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                ping_interval=None,
                proxy=None,
                max_size=FRAME_BYTES_MAX * 2,
                close_timeout=1,
            ) as far:
                ways = {
                    asyncio.create_task(self._relay(near, far, Direction.TO_TARGET)),
                    asyncio.create_task(self._relay(far, near, Direction.FROM_TARGET)),
                }
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, WebSocketException):
            pass  # the master is away, or refuses: the worker's connection ends with that

    async def _relay(self, source: Connection, sink: Connection, way: Direction) -> None:
        try:
            async for frame in self._disturbed(source, way):
                await sink.send(frame)
        except ConnectionClosed:
            return

    async def _disturbed(self, source: Connection, way: Direction) -> AsyncIterator[Frame]:
        history: list[Frame] = []
        while True:
            frame = await source.recv()
            for each in await self._mangle(frame, history, source):
                yield each
            history[:] = [*history[-HISTORY_MAX:], frame]

    async def _mangle(self, frame: Frame, history: list[Frame], source: Connection) -> list[Frame]:
        frames = [frame]
        if self._falls(self._mischief.delay, DELAYED):
            await asyncio.sleep(self._chance.uniform(0, self._mischief.delay_seconds_max))
        if self._falls(self._mischief.double, DOUBLED):
            frames.append(frame)
        if history and self._falls(self._mischief.replay, REPLAYED):
            frames.append(self._chance.choice(history))
        if self._chance.random() < self._mischief.swap and not self._is_calm:
            try:
                async with asyncio.timeout(SWAP_SECONDS_MAX):
                    frames.insert(0, await source.recv())
                self.counts[SWAPPED] += 1
            except TimeoutError:
                pass  # nothing came that it could be swapped with
        return frames

    def _falls(self, probability: float, kind: str) -> bool:
        falls = not self._is_calm and self._chance.random() < probability
        self.counts[kind] += falls
        return falls
