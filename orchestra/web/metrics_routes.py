"""Metrics over HTTP: the same route in every process, also in one that has no other."""

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from orchestra.errors import OrchestraError
from orchestra.metrics import METRICS_TYPE, exposition
from orchestra.policy import Permission
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Door, build_routes
from orchestra.web.needs import Policy
from orchestra.web.statuses import headers_of, status_of

METRICS_ROW = ("GET", "/metrics")
METRICS_POLICY: Policy = {METRICS_ROW: Permission.READ_METRICS}
Refresh = Callable[[], Awaitable[None]]


class MetricsRoutes:
    """The handler for metrics."""

    def __init__(self, *, registry: CollectorRegistry, refreshes: Sequence[Refresh] = ()) -> None:
        self._registry = registry
        self._refreshes = refreshes

    async def read(self, asking: Asking) -> Response:
        """What this process has counted since its start, in the text format of Prometheus."""
        asking.query()
        for refresh in self._refreshes:
            await refresh()
        return Response(exposition(self._registry), headers={**NO_STORE, "content-type": METRICS_TYPE})


def metrics_alone(door: Door, metrics: MetricsRoutes) -> list[BaseRoute]:
    """The route for a process whose own routes do not have it."""
    return [*build_routes(door, METRICS_POLICY, {METRICS_ROW: metrics.read}, PlainRefusals())]


class PlainRefusals:
    """Refusals in a line of text."""

    async def answer(self, error: OrchestraError, request: Request, request_id: str) -> Response:
        """The sentence of the error."""
        del request, request_id
        status, _ = status_of(error)
        return PlainTextResponse(f"{error}\n", status, headers=dict(headers_of(error, status)))

    async def unexpected(self, request: Request, request_id: str) -> Response:
        """Nothing but where to look."""
        del request
        return PlainTextResponse(f"something went wrong on our side: look for {request_id} in the log\n", 500)
