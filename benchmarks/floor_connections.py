"""The floor of many idle workers: bare WebSocket connections on which nothing is ever said.

python -m benchmarks.floor_connections serve PORT
python -m benchmarks.floor_connections connect PORT COUNT
"""

import argparse
import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

OPENING_MAX = 50
"""So many at a time, or the listener's queue is full."""


async def keep_serving(port: int) -> None:
    """Takes every connection, for ever."""

    async def listen(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async with serve(listen, "127.0.0.1", port, compression=None, max_size=None, ping_interval=None):
        await asyncio.get_running_loop().create_future()


async def keep_connected(port: int, count: int) -> None:
    """Opens so many, and says so when they all are there."""
    gate = asyncio.Semaphore(OPENING_MAX)

    async def open_one() -> object:
        async with gate:
            return await connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None, ping_interval=None)

    opened = await asyncio.gather(*(open_one() for _ in range(count)))
    print(len(opened), flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve", "connect"])
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int, nargs="?", default=0)
    asked = parser.parse_args()
    asyncio.run(keep_serving(asked.port) if asked.role == "serve" else keep_connected(asked.port, asked.count))
