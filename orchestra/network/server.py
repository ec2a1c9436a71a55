"""The HTTP and WebSocket server: uvicorn, with the order of farewell that it lacks by itself."""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from orchestra.errors import PortInUse
from orchestra.limits import (
    FAREWELL_SECONDS_MAX,
    FRAME_BYTES_MAX,
    KEEP_ALIVE_SECONDS,
    SHUTDOWN_SECONDS_MAX,
)
from orchestra.network.bounded_http import BoundedHttp
from orchestra.network.bounded_websocket import BoundedWebSocket
from orchestra.network.hosts import is_loopback

_FRAME_SLACK_BYTES = 4096
"""So that a frame of exactly the bound and its envelope are refused by our protocol, not by the library."""
_BACKLOG = 2048
_log = logging.getLogger("orchestra.network")


async def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    closing: asyncio.Event,
    before_close: Callable[[], Awaitable[None]],
    ready: Callable[[int], None],
    trusted_proxies: Sequence[str] = (),
) -> None:
    """Serves the application until `closing` is set, by whomever, or SIGTERM or SIGINT come; then returns normally.

    `ready` is told the port (useful for port 0) as soon as it accepts. The end goes in this order: `closing` is set,
    so that streams end and nothing new is given out; no new connections; `before_close` may say goodbye to workers;
    then open requests are waited for, and the application's lifespan ends. A second signal stops waiting.
    `trusted_proxies` are the addresses of those whose word is taken for where a request came from and whether it came
    by TLS. Raises PortInUse.
    """
    listener = _listen(host, port)
    if not trusted_proxies and not is_loopback(host):
        _log.warning(
            "open_to_others: other machines reach %s, and passwords, tokens and logs travel there without encryption; "
            "listen on 127.0.0.1 behind a proxy with TLS, or keep the network to yourself",
            host,
        )
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=BoundedWebSocket,
        log_config=None,
        access_log=False,
        server_header=False,
        # Its own would need a timer every second, with or without requests: ours is made when there is one.
        date_header=False,
        # Without a proxy that is named, X-Forwarded-For is what anybody may claim.
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS_MAX,
        ws_max_size=FRAME_BYTES_MAX + _FRAME_SLACK_BYTES,
        ws_per_message_deflate=False,
        # The protocol has heartbeats of its own; the library's would end a link that is merely busy.
        ws_ping_interval=None,
    )
    server = _Server(config, closing=closing, before_close=before_close, ready=ready)
    _quieten()
    with listener, _signals(server):
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        *,
        closing: asyncio.Event,
        before_close: Callable[[], Awaitable[None]],
        ready: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self._closing = closing
        self._before_close = before_close
        self._ready = ready

    def ask_to_stop(self) -> None:
        """A signal came: the first begins the end, the second does not wait for it."""
        if self._closing.is_set():
            self.force_exit = True
        self._closing.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Ours are in `_signals`: uvicorn raises the signal again at the end, so that a clean stop looks like a crash.
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and sockets:
            self._ready(sockets[0].getsockname()[1])

    async def main_loop(self) -> None:
        await self._closing.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        for server in self.servers:
            server.close()
        try:
            await asyncio.wait_for(self._before_close(), FAREWELL_SECONDS_MAX)
        except TimeoutError:
            _log.warning("farewell_cut_short after %s s", FAREWELL_SECONDS_MAX)
        await super().shutdown(sockets=sockets)
        if self.force_exit:
            # The second signal is for slow requests; uvicorn would also leave the application's own end out.
            await self.lifespan.shutdown()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            # A port that an earlier process of ours has just left is free; one that somebody listens on is not.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PortInUse(f"{host}:{port}", cause) from None
    return listener


@contextlib.contextmanager
def _signals(server: _Server) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.ask_to_stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class _WithoutDenials(logging.Filter):
    """uvicorn takes each refused WebSocket for a mistake of ours, so that a bad token would flood the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing handshake" not in record.getMessage()


_DENIALS = _WithoutDenials()


def _quieten() -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(_DENIALS)  # adding the same filter again changes nothing
    logger.setLevel(logging.WARNING)
