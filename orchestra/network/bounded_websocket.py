"""uvicorn's WebSocket with a bound for those who take nothing any more: when we are done with them, they are let go."""

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from orchestra.limits import LET_GO_SECONDS


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One connection; closed without a word if its peer takes the last ones too slowly."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done: what it has sent and the peer does not read would be kept as long as it likes."""
        super().on_task_complete(task)
        self.loop.call_later(LET_GO_SECONDS, self.transport.abort)
