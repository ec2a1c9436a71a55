"""Runs that something else starts, over HTTP: that one began, what it printed, how it ended."""

from starlette.responses import Response

from orchestra.commands.wraps import WrapReport, WrapStart, WrapView
from orchestra.queries.addresses import API
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_service.operation import Operation


class WrapRoutes:
    """The handlers for `orchestra wrap`."""

    def __init__(self, *, parts: WebParts) -> None:
        self._wraps = parts.wraps

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("POST", f"{API}/projects/{{project}}/jobs/{{job}}/wraps"): Operation(
                self.start, takes=WrapStart, answers=WrapView, status=201, also=(409,)
            ),
            ("POST", f"{API}/runs/{{run}}/wrap"): Operation(
                self.report, takes=WrapReport, answers=WrapView, also=(409,)
            ),
        }

    async def start(self, asking: Asking) -> Response:
        """A command was started elsewhere; the same key is the same run."""
        asking.query()
        start = asking.decode(WrapStart)
        found = await self._wraps.start(asking.who, asking.path("project"), asking.path("job"), start)
        return json_answer(found, status=201, headers={"location": found.url})

    async def report(self, asking: Asking) -> Response:
        """More of its log, its end, or a sign of life."""
        asking.query()
        report = asking.decode(WrapReport)
        return json_answer(await self._wraps.report(asking.who, asking.run(), report))
