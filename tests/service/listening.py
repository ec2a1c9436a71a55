"""The service on a real port, for what only a socket shows: streams, shut-downs, broken connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx2
from starlette.types import ASGIApp

from orchestra.network.server import serve

SECONDS_MAX = 20.0


@dataclass
class Listening:
    """A server that runs in this loop, and the order of what happened at its end."""

    address: str
    task: "asyncio.Task[None]"
    closing: asyncio.Event
    happened: list[str] = field(default_factory=list)

    async def stop(self) -> None:
        """Asks it to end and waits for that."""
        self.closing.set()
        await asyncio.wait_for(asyncio.shield(self.task), SECONDS_MAX)


@contextlib.asynccontextmanager
async def listening(
    app: ASGIApp,
    *,
    closing: asyncio.Event,
    before_close: Callable[[], Awaitable[None]] | None = None,
    trusted_proxies: Sequence[str] = (),
) -> AsyncIterator[Listening]:
    """Serves the application on a free port."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def nothing() -> None:
        return None

    serving = serve(
        app,
        host="127.0.0.1",
        port=0,
        closing=closing,
        before_close=before_close or nothing,
        ready=port.set_result,
        trusted_proxies=trusted_proxies,
    )
    task = asyncio.create_task(serving, name="server under test")
    address = f"http://127.0.0.1:{await asyncio.wait_for(port, SECONDS_MAX)}"
    server = Listening(address=address, task=task, closing=closing)
    try:
        yield server
    finally:
        await server.stop()


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One server-sent event."""

    name: str
    text: str
    id: str | None


async def events_of(response: httpx2.Response) -> AsyncIterator[StreamEvent]:
    """The events of an open stream; comments and retry hints are left out."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        else:
            if "event" in fields:
                yield StreamEvent(name=fields["event"], text=fields.get("data", ""), id=fields.get("id"))
            fields = {}
