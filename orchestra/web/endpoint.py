"""The door: every request passes it, whatever it asks. One endpoint per path, so that 405 knows all methods."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orchestra.commands.bearer_texts import RandomBytes
from orchestra.errors import NotSignedIn, OrchestraError
from orchestra.limits import BODY_BYTES_MAX, BODY_SECONDS_MAX
from orchestra.metrics import HttpMetrics
from orchestra.policy import Permission, Principal
from orchestra.web.answers import complete, not_modified
from orchestra.web.asking import Asking
from orchestra.web.authentication import SAFE_METHODS, Authenticator, address_of, refuse_secret_in_address
from orchestra.web.errors import (
    BadRequest,
    BodyTooLarge,
    BodyTooSlow,
    NoSuchPath,
    RouteWithoutPolicy,
    TooManyRequests,
    WrongMethod,
)
from orchestra.web.needs import Need, Open, Policy, Refusals
from orchestra.web.rate_limits import Kind, RateLimits, Visit, kind_of

Handler = Callable[[Asking], Awaitable[Response]]
Handlers = Mapping[tuple[str, str], Handler]
"""By method and path."""

_log = logging.getLogger("orchestra.web")
_REQUEST_ID_BYTES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """What is asked of every request before its handler sees it."""

    authenticator: Authenticator
    limits: RateLimits
    random_bytes: RandomBytes
    metrics: HttpMetrics

    is_secure: bool = False
    """Behind TLS."""

    async def admit(self, request: Request, need: Need, request_id: str, visit: Visit) -> Principal | None:
        """Who asks, if that person may; None for a route that is open to all.

        Raises NotSignedIn, NotAllowed, TooManyRequests.
        """
        try:
            who = await self._known(request, need)
        except OrchestraError:
            self.limits.count(visit, None)
            raise
        self.limits.count(visit, who)
        if who is None:
            return None
        assert isinstance(need, Permission)
        who.require(need)
        # Changes are written into the audit under the request's id; for readings it is not worth a copy.
        return who if request.method in SAFE_METHODS else replace(who, request=request_id)

    async def _known(self, request: Request, need: Need) -> Principal | None:
        refuse_secret_in_address(request)
        _refuse_nul(request)
        return None if need is Open.TO_ALL else await self.authenticator.authenticate(request)

    def new_request_id(self) -> str:
        """Names a request in the answer and in the log."""
        return self.random_bytes(_REQUEST_ID_BYTES).hex()


class Endpoint:
    """All methods of one path, as an ASGI application."""

    def __init__(
        self, *, path: str, door: Door, refusals: Refusals, methods: Mapping[str, tuple[Need, Handler]]
    ) -> None:
        self._path = path
        self._door = door
        self._refusals = refusals
        self._methods = dict(methods)
        if "GET" in self._methods:
            self._methods["HEAD"] = self._methods["GET"]
        self._kinds = {method: kind_of(method, path, need) for method, (need, _) in self._methods.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        request_id, begun = self._door.new_request_id(), self._door.metrics.begin()
        visit = Visit(kind=self._kinds.get(request.method, Kind.READ), address=address_of(request))
        try:
            response = not_modified(request, await self._answer(request, request_id, visit))
            self._door.limits.tell(visit, response)
            complete(response, request_id, is_secure=self._door.is_secure)
            self._door.metrics.answered(request.method, self._path, response.status_code, begun)
            await response(scope, receive, send)
        except ClientDisconnect:
            _log.debug("client_gone", extra={"request": request_id})
        finally:
            self._door.limits.end(visit)

    async def _answer(self, request: Request, request_id: str, visit: Visit) -> Response:
        try:
            found = self._methods.get(request.method)
            if found is None:
                self._door.limits.count(visit, None)
                raise WrongMethod(request.method, self._methods)
            need, handler = found
            who = await self._door.admit(request, need, request_id, visit)
            response = await handler(Asking(request=request, who=who, body=await _whole_body(request)))
            if isinstance(response, StreamingResponse):
                self._door.limits.begin_stream(visit)
            return response
        except OrchestraError as error:
            if not isinstance(error, NotSignedIn):
                _log.debug("refused", extra={"request": request_id, "cause": str(error)})
            return await self._refusals.answer(error, request, request_id)
        except ClientDisconnect:
            raise
        except Exception:  # noqa: BLE001 — the edge of the request's task: one request never ends the service
            _log.exception("request_failed %s %s %s", request_id, request.method, request.url.path)
            return await self._refusals.unexpected(request, request_id)


def build_routes(door: Door, policy: Policy, handlers: Handlers, refusals: Refusals) -> list[Route]:
    """One route per path; raises RouteWithoutPolicy unless handlers and policy have exactly the same rows."""
    if handlers.keys() != policy.keys():
        raise RouteWithoutPolicy(handlers.keys() ^ policy.keys())
    paths: dict[str, dict[str, tuple[Need, Handler]]] = {}
    for (method, path), handler in handlers.items():
        paths.setdefault(path, {})[method] = (policy[method, path], handler)
    return [
        Route(path, Endpoint(path=path, door=door, refusals=refusals, methods=methods))
        for path, methods in paths.items()
    ]


class Nowhere:
    """The endpoint of every path that is not there."""

    def __init__(self, *, door: Door, refusals: Refusals) -> None:
        self._door = door
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, request_id = Request(scope, receive, send), self._door.new_request_id()
        begun = self._door.metrics.begin()
        visit = Visit(kind=Kind.READ, address=address_of(request))
        error: OrchestraError = NoSuchPath(scope["path"])
        try:
            self._door.limits.count(visit, None)
        except TooManyRequests as refused:
            error = refused
        response = await self._refusals.answer(error, request, request_id)
        self._door.limits.tell(visit, response)
        complete(response, request_id, is_secure=self._door.is_secure)
        self._door.metrics.answered(request.method, "nowhere", response.status_code, begun)
        await response(scope, receive, send)


def _refuse_nul(request: Request) -> None:
    # PostgreSQL takes no text with a NUL in it, and nothing that could be asked for has one.
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise BadRequest("an address has no NUL character in it: remove the %00")


async def _whole_body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length[:20]) > BODY_BYTES_MAX:
        raise BodyTooLarge(BODY_BYTES_MAX)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for piece in request.stream():
                size += len(piece)
                if size > BODY_BYTES_MAX:
                    raise BodyTooLarge(BODY_BYTES_MAX)
                pieces.append(piece)
    except TimeoutError:
        raise BodyTooSlow(BODY_SECONDS_MAX) from None
    return b"".join(pieces)
