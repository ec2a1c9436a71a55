"""uvicorn's WebSocket with a bound for those who take nothing any more: when we are done with them, they are let go.

And with a short way for small words that come one by one, as heartbeats do.
"""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from orchestra.limits import LET_GO_SECONDS

_WORD_BYTES_MAX = 4096


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection; closed without a word if its peer takes the last ones too slowly."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done: what it has sent and the peer does not read would be kept as long as it likes."""
        super().on_task_complete(task)
        self.loop.call_later(LET_GO_SECONDS, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """uvicorn stops reading the socket until the application has taken the message, which is two calls of the
        kernel for each. A single small one may wait without that: with the next one reading stops, as always."""
        is_lone_word = not self.read_paused and self.queue.empty() and sum(map(len, self.frames)) <= _WORD_BYTES_MAX
        if not is_lone_word:
            super().send_receive_event_to_app()
            return
        self.read_paused = True
        super().send_receive_event_to_app()
        self.read_paused = False
