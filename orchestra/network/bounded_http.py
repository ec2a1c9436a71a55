"""uvicorn's HTTP with bounds for those who never finish a request: the size of its head, and the time it takes."""

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orchestra.limits import REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_SECONDS_MAX


class BoundedHttp(HttpToolsProtocol):
    """One connection; closed if the head of a request is not whole in time, or the rest of one that was answered."""

    _timer: asyncio.TimerHandle | None = None
    _is_in_head = False
    _is_in_message = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """The first request has to come; later ones may be waited for as long as connections are kept."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request; what has come of a head that is not whole is counted."""
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > REQUEST_HEAD_BYTES_MAX:
            self.send_400_response("The head of the request is too large.")
        elif self._timer is None:
            self._wait()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._is_in_head = self._is_in_message = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole; for the body the handler waits, which has a bound of its own."""
        self._is_in_head = False
        self._stop_waiting()
        self.server_state.default_headers = [_date_header(int(time.time())), *self.config.encoded_headers]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._is_in_message = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It was answered; if it was refused before its body had come, the rest is not waited for very long."""
        super().on_response_complete()
        if self._is_in_message and self._timer is None and not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(REQUEST_HEAD_SECONDS_MAX, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The request before is still being answered.
            self._wait()
        elif not self.transport.is_closing():
            self.transport.close()


@lru_cache(maxsize=1)
def _date_header(second: int) -> tuple[bytes, bytes]:
    return b"date", formatdate(second, usegmt=True).encode()
