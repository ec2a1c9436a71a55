"""The door for workers: a WebSocket route that checks the token before anything else, and serves each connection as
a link."""

import logging
from collections import deque
from collections.abc import Collection

from sqlalchemy import Connection
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from orchestra.clock import seconds_between
from orchestra.commands.bearer_texts import digest_in_header
from orchestra.errors import ProtocolError, StorageError
from orchestra.identifiers import UserId
from orchestra.limits import HANDSHAKES_PER_SECOND_MAX, POLL_SECONDS, SUBPROTOCOL
from orchestra.protocol.codec import CloseCode, Frame
from orchestra.protocol.messages import Bye
from orchestra.storage.bearers import KnownBearer, find_token, may_connect_worker, note_token_use
from orchestra.storage.database import Topic
from orchestra_master.link import Link
from orchestra_master.parts import MasterParts, WorkerConnection

logger = logging.getLogger(__name__)

WORKER_PATH = "/worker/v1"
SECONDS_PER_DAY = 86_400.0
"""A token's use is written down so often."""


class Listener:
    """Admits workers while the master is open, a bounded number in each second."""

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts
        self._links: dict[Link, str] = {}
        self._admitted: deque[float] = deque(maxlen=HANDSHAKES_PER_SECOND_MAX)
        self._is_closing = False
        self.refused = 0
        """Connections turned away for a bad token, since the start."""
        self.broken = 0
        """Connections closed because of what was said on them, since the start."""

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
            user = None if digest is None else await self._user(digest)
        except StorageError as error:
            await socket.send_denial_response(_problem(503, str(error), retry_after_seconds=5))
            return
        if digest is None or user is None:
            # A bad token is counted, not logged: whoever tries them must not be able to fill a disk.
            self.refused += 1
            await socket.send_denial_response(_problem(401, "the token is not valid, or is no worker token"))
            return
        await socket.accept(subprotocol=SUBPROTOCOL)
        await self.serve(StarletteConnection(socket), digest=digest, user=user)

    async def serve(self, connection: WorkerConnection, *, digest: str, user: UserId) -> None:
        """Serves a connection that was admitted, until it is gone; `digest` is that of its token."""
        link = Link(parts=self._parts, connection=connection, user=user)
        self._links[link] = digest
        try:
            await link.run()
        finally:
            self.broken += link.was_broken
            del self._links[link]

    async def check_tokens(self) -> None:
        """Ends the connections whose token was revoked, or whose user was disabled, since they were admitted."""
        looked_at = dict(self._links)
        known = await self._bearers(set(looked_at.values()))
        for bearer in known.values():
            await self._note_use(bearer)
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
        now = self._parts.clock.monotonic()
        full = len(self._admitted) == HANDSHAKES_PER_SECOND_MAX and now - self._admitted[0] < 1.0
        if self._is_closing or full:
            return _problem(503, "the master is closing" if self._is_closing else "too many handshakes at once", 2)
        self._admitted.append(now)
        return None

    async def _user(self, digest: str) -> UserId | None:
        bearer = (await self._bearers({digest})).get(digest)
        if bearer is None:
            return None
        await self._note_use(bearer)
        return bearer.principal.user_id

    async def _bearers(self, digests: Collection[str]) -> dict[str, KnownBearer]:
        """Those of the tokens that open this door."""
        now = self._parts.clock.now()

        def look(connection: Connection) -> dict[str, KnownBearer]:
            found = {digest: find_token(connection, digest, now=now) for digest in digests}
            return {digest: bearer for digest, bearer in found.items() if bearer and may_connect_worker(bearer)}

        return await self._parts.database.read(look)

    async def _note_use(self, bearer: KnownBearer) -> None:
        token, now = bearer.principal.token_id, self._parts.clock.now()
        if token is not None and (bearer.used_at is None or seconds_between(bearer.used_at, now) >= SECONDS_PER_DAY):
            await self._parts.database.write(lambda connection: note_token_use(connection, token, now=now))


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
