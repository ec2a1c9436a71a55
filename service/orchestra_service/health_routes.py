"""Is it alive, and can it work?"""

import asyncio

from sqlalchemy import text
from starlette.responses import Response

from orchestra.errors import DatabaseAway
from orchestra.limits import HEALTH_SECONDS_MAX
from orchestra.queries.addresses import API
from orchestra.web.answers import NO_STORE, json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_service.operation import Operation


class HealthRoutes:
    """The handlers for those who watch over the service."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/health/live"): Operation(self.live, answers=dict[str, str]),
            ("GET", f"{API}/health/ready"): Operation(self.ready, answers=dict[str, str]),
        }

    async def live(self, asking: Asking) -> Response:
        """The process answers."""
        asking.query()
        return json_answer({"status": "ok"}, headers=NO_STORE)

    async def ready(self, asking: Asking) -> Response:
        """The database answers too; raises DatabaseAway."""
        asking.query()
        try:
            look = self._database.read(lambda connection: connection.execute(text("select 1")).scalar_one())
            await asyncio.wait_for(look, HEALTH_SECONDS_MAX)
        except TimeoutError:
            raise DatabaseAway("of this service", f"no answer in {HEALTH_SECONDS_MAX:.0f} s") from None
        return json_answer({"status": "ok"}, headers=NO_STORE)
