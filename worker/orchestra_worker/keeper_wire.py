"""The agent's end of the keeper's socket: whole lines in as they come, without a task that waits for each."""

import asyncio
from collections.abc import Callable

from orchestra_worker.keeper_protocol import LINE_BYTES_MAX


class KeeperWire(asyncio.Protocol):
    """One connection, to be made within a running loop. A line that raises ValueError, or has no end, closes it."""

    def __init__(self, *, on_line: Callable[[bytes], None]) -> None:
        self.greeting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The first line; EOFError if there never was one."""
        self.closed = asyncio.Event()
        self._on_line = on_line
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    # --- called by the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        *lines, self._received = (self._received + data).split(b"\n")
        try:
            for line in lines:
                if self.greeting.done():
                    self._on_line(line)
                else:
                    self.greeting.set_result(line)
        except ValueError:
            self.close()
        if len(self._received) > LINE_BYTES_MAX:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if not self.greeting.done():
            self.greeting.set_exception(EOFError("it closed the connection"))
        self.closed.set()

    # --- called by the owner ---

    def send(self, line: bytes) -> None:
        """Sends a line; on a connection that is gone it does nothing."""
        if self._transport is not None:
            self._transport.write(line)

    def close(self) -> None:
        """Closes the connection once all is sent; `closed` is set then."""
        if self._transport is not None:
            self._transport.close()
