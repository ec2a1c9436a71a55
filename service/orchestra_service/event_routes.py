"""Events over HTTP."""

import re
from functools import partial

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from orchestra.errors import InvalidFields
from orchestra.policy import Principal
from orchestra.queries.addresses import API
from orchestra.queries.events import EventFilter, read_event_types
from orchestra.queries.visibility import project_of_name
from orchestra.storage.history import newest_event
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery, BadRequest
from orchestra.web.parts import WebParts
from orchestra.web.server_events import STREAM_HEADERS, last_place
from orchestra_service.event_stream import EventStream
from orchestra_service.log_routes import LAST_EVENT_ID
from orchestra_service.operation import EVENTS, Field, Operation

_PLACE_BEHIND = re.compile(r"(\d{1,18})", re.ASCII)
_ASKED = (
    Field("project", "Names of projects, with commas between them; all that may be read without it."),
    Field("types", "Types of events with commas between them, such as `run.*` or `run.failed,worker.changed`."),
)


class EventRoutes:
    """The handler for events."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._tail = parts.events
        self._authenticator = parts.authenticator

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/events"): Operation(
                self.stream, kind=EVENTS, query=_ASKED, headers=(LAST_EVENT_ID,), also=(404,)
            )
        }

    async def stream(self, asking: Asking) -> Response:
        """What happens from now on, or behind `Last-Event-ID`: server-sent events.

        `run.…` events have an `id` and are kept: each comes once and in order. `worker.changed` brings the worker as
        it is now, and is not kept. `bye` says that the server ends the stream.
        """
        query = asking.query("project", "types")
        try:
            wanted = read_event_types(query.get("types", ""))
        except InvalidFields as error:
            raise BadQuery(error.problems) from None
        names = [name for name in query.get("project", "").split(",") if name]
        last = last_place(asking, _PLACE_BEHIND)
        # Everything that can be refused is refused before the stream begins and the status code is sent.
        chosen, newest = await self._database.read(partial(_look, who=asking.who, wanted=wanted, names=names))
        if last is not None and last[0] > newest:
            raise BadRequest("Last-Event-ID is of an event that has not happened: begin without it")
        if asking.request.method == "HEAD":
            return Response(headers=STREAM_HEADERS)
        stream = EventStream(
            database=self._database,
            clock=self._clock,
            tail=self._tail,
            readmit=partial(self._authenticator.authenticate, asking.request),
            wanted=chosen,
            behind=newest if last is None else last[0],
        )
        return StreamingResponse(stream.events(), headers=STREAM_HEADERS)


def _look(connection: Connection, *, who: Principal, wanted: EventFilter, names: list[str]) -> tuple[EventFilter, int]:
    newest = newest_event(connection)
    if not names:
        return wanted, newest
    chosen = tuple(project_of_name(connection, who, name) for name in names)
    return EventFilter(kinds=wanted.kinds, projects=chosen, workers=wanted.workers), newest
