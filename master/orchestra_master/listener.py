"""The door for workers: a WebSocket route that checks the token before anything else, and serves each connection as
a link."""

import logging

from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from orchestra.commands.bearer_texts import digest_in_header
from orchestra.errors import ProtocolError, StorageError
from orchestra.identifiers import UserId
from orchestra.limits import POLL_SECONDS, SUBPROTOCOL
from orchestra.protocol.codec import CloseCode, Frame
from orchestra.protocol.messages import Bye
from orchestra.storage.database import Topic
from orchestra_master.link import Link
from orchestra_master.parts import MasterParts, WorkerConnection
from orchestra_master.token_look_up import TokenLookUp
from orchestra_master.waiting_room import Place, WaitingRoom

logger = logging.getLogger(__name__)

WORKER_PATH = "/worker/v1"
CLOSING = "the master is closing"


class Listener:
    """Admits workers while the master is open, a few at once.

    The token is looked at first: who has none cannot take the place of those who have one, however often he tries.
    """

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts
        self._links: dict[Link, str] = {}
        self._tokens = TokenLookUp(parts=parts)
        self._room = WaitingRoom()
        self._is_closing = False
        self.refused = 0
        """Connections turned away for a bad token, since the start."""
        self.broken = 0
        """Connections closed because of what was said on them, since the start."""

    @property
    def waiting(self) -> int:
        """Workers that have a good token and wait to be greeted."""
        return self._room.waiting

    def route(self) -> WebSocketRoute:
        """The route to mount."""
        return WebSocketRoute(WORKER_PATH, self._serve, name="worker")

    async def say_bye(self, *, retry_after_seconds: float, reason: str) -> None:
        """Tells every worker that the master goes away, and when to come back; admits no more."""
        self._is_closing = True
        for link in self._links:
            await link.say_bye(Bye(retry_after_seconds=retry_after_seconds, reason=reason))

    async def _serve(self, socket: WebSocket) -> None:
        denial = self._denial(socket)
        if denial is not None:
            await socket.send_denial_response(denial)
            return
        digest = digest_in_header(socket.headers.get("authorization"))
        try:
            bearer = None if digest is None else await self._tokens.find(digest)
        except StorageError as error:
            await socket.send_denial_response(_problem(503, str(error), retry_after_seconds=5))
            return
        if digest is None or bearer is None:
            # A bad token is counted, not logged: whoever tries them must not be able to fill a disk.
            self.refused += 1
            await socket.send_denial_response(_problem(401, "the token is not valid, or is no worker token"))
            return
        place = await self._room.enter()
        if place is None:
            await socket.send_denial_response(_problem(503, "too many workers come at once", retry_after_seconds=2))
            return
        try:
            if self._is_closing:
                await socket.send_denial_response(_problem(503, CLOSING, retry_after_seconds=2))
                return
            await socket.accept(subprotocol=SUBPROTOCOL)
            await self.serve(StarletteConnection(socket), digest=digest, user=bearer.principal.user_id, place=place)
        finally:
            place.leave()

    async def serve(
        self, connection: WorkerConnection, *, digest: str, user: UserId, place: Place | None = None
    ) -> None:
        """Serves a connection that was admitted, until it is gone; `digest` is that of its token, `place` what it
        leaves when it was greeted."""
        on_greeted = place.leave if place else lambda: None
        link = Link(parts=self._parts, connection=connection, user=user, on_greeted=on_greeted)
        self._links[link] = digest
        try:
            await link.run()
        finally:
            self.broken += link.was_broken
            del self._links[link]

    async def check_tokens(self) -> None:
        """Ends the connections whose token was revoked, or whose user was disabled, since they were admitted."""
        looked_at = dict(self._links)
        known = await self._tokens.find_all(set(looked_at.values()))
        for link, digest in looked_at.items():
            if digest not in known:
                link.send_away(ProtocolError(CloseCode.REFUSED, "the worker's token is not valid any more"))

    def _denial(self, socket: WebSocket) -> JSONResponse | None:
        """Why the door stays shut whoever asks, or None."""
        if socket.headers.get("origin") is not None:
            # Browsers send Origin, workers never do.
            return _problem(403, "this address is for workers, not for browsers")
        if SUBPROTOCOL not in socket.scope.get("subprotocols", []):
            return _problem(400, f"a worker must offer the sub-protocol {SUBPROTOCOL}")
        if self._is_closing:
            return _problem(503, CLOSING, retry_after_seconds=2)
        return None


class TokenWatch:
    """Looks again at the tokens of those who are inside: a revoked one must not work until the next reconnect."""

    name = "token watch"
    topics: tuple[Topic, ...] = (Topic.TOKENS,)

    def __init__(self, *, listener: Listener, poll_seconds: float = POLL_SECONDS) -> None:
        self._listener = listener
        self._poll_seconds = poll_seconds

    async def run_once(self) -> float:
        """Ends what is not valid any more."""
        await self._listener.check_tokens()
        return self._poll_seconds


class StarletteConnection:
    """A worker's socket under Starlette, as the WorkerConnection port."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> Frame:
        """The next frame; raises ConnectionError when the socket is gone."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionError(f"the worker closed the connection ({message.get('code')})")
        text = message.get("text")
        frame: Frame = text if text is not None else message["bytes"]
        return frame

    async def send(self, frame: Frame) -> None:
        """Sends a frame; raises ConnectionError when the socket is gone."""
        try:
            if isinstance(frame, str):
                await self._socket.send_text(frame)
            else:
                await self._socket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError) as error:
            # Starlette has no type of its own for sending on a closed socket.
            raise ConnectionError(str(error)) from None

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection; harmless when it is gone."""
        try:
            await self._socket.close(code, reason)
        except (WebSocketDisconnect, RuntimeError) as error:
            logger.debug("socket_gone error=%s", error)


def _problem(status: int, detail: str, retry_after_seconds: int | None = None) -> JSONResponse:
    headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds else None
    return JSONResponse({"status": status, "detail": detail}, status, headers, "application/problem+json")
