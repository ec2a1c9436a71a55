"""The wire: a WebSocket to the master, opened by the worker."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from orchestra.errors import OrchestraError
from orchestra.limits import BYE_SECONDS_MAX, CONNECT_SECONDS_MAX, FRAME_BYTES_MAX, SUBPROTOCOL
from orchestra.protocol.codec import Frame, close_reason
from orchestra_worker.transport import CannotConnect, TokenRefused, TransportClosed

LINK_PATH = "/worker/v1"
_CLOSE_SECONDS_MAX = 1.0
_REFUSALS = (401, 403)


class BadMasterAddress(OrchestraError):
    """The address of the master cannot be used."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address

    def __str__(self) -> str:
        return f"{self.address!r} is no master's address: give one like http://host:7780 or wss://host"


def link_address(master: str) -> str:
    """`http://host:7780` as `ws://host:7780/worker/v1`; raises BadMasterAddress."""
    parts = urlsplit(master)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise BadMasterAddress(master)
    path = parts.path.rstrip("/")
    return f"{scheme}://{parts.netloc}{path if path.endswith(LINK_PATH) else path + LINK_PATH}"


class WebSocketConnector:
    """Connects with the token that the file holds at that moment, so that a new token needs no restart."""

    def __init__(self, *, address: str, token_file: Path, proxy: str | None = None) -> None:
        self._address = address
        self._token_file = token_file
        self._proxy = proxy

    async def connect(self) -> "WebSocketTransport":
        """Opens the connection; raises TokenRefused, CannotConnect."""
        try:
            token = self._token_file.read_text().strip()
            connection = await connect(
                self._address,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                ping_interval=None,
                proxy=self._proxy,
                open_timeout=CONNECT_SECONDS_MAX,
                close_timeout=_CLOSE_SECONDS_MAX,
                max_size=FRAME_BYTES_MAX * 2,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status in _REFUSALS:
                raise TokenRefused(self._address, status) from None
            retry_after = _retry_after_seconds(error.response.headers.get("Retry-After"))
            words = f"it answers with status {status}"
            raise CannotConnect(self._address, words, retry_after_seconds=retry_after) from None
        except (OSError, TimeoutError, WebSocketException, ValueError) as error:
            raise CannotConnect(self._address, str(error) or type(error).__name__) from None
        return WebSocketTransport(connection)


class WebSocketTransport:
    """One WebSocket as a Transport."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> Frame:
        """The next frame; raises TransportClosed."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def send(self, frame: Frame) -> None:
        """Sends a frame; raises TransportClosed."""
        try:
            await self._connection.send(frame)
        except ConnectionClosed as closed:
            raise _closed(closed) from None

    async def close(self, code: int, reason: str) -> None:
        """Closes, or lets go of a peer that does not answer."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                await self._connection.close(code, close_reason(reason))
        except (TimeoutError, OSError, WebSocketException):
            self._connection.transport.abort()


def _retry_after_seconds(header: str | None) -> float | None:
    """The header in whole seconds; a date, which no master of ours sends, is passed over."""
    return min(float(header), BYE_SECONDS_MAX) if header and header.isascii() and header.isdigit() else None


def _closed(closed: ConnectionClosed) -> TransportClosed:
    received = closed.rcvd
    return TransportClosed(received.code, received.reason) if received else TransportClosed(None, "")
