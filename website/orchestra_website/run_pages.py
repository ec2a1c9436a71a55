"""Runs: the list with its filters in the address."""

from starlette.responses import Response

from orchestra.clock import Clock
from orchestra.errors import InvalidFields
from orchestra.lifecycle import RunState
from orchestra.queries.run_filters import read_run_filter
from orchestra.queries.runs import list_runs
from orchestra.storage.database import Database
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra_website.renderer import Renderer


class RunPages:
    """The handlers for the list of runs."""

    def __init__(self, *, renderer: Renderer, database: Database, clock: Clock) -> None:
        self._renderer = renderer
        self._database = database
        self._clock = clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/runs"): self.list}

    async def list(self, asking: Asking) -> Response:
        """A page of runs, filtered by the same words as in the API."""
        # A form sends every field that it has: an empty one asks for nothing.
        pairs = [(name, value) for name, value in asking.request.query_params.multi_items() if value]
        try:
            wanted = read_run_filter(pairs)
        except InvalidFields as error:
            raise BadQuery(error.problems) from None
        found = await self._database.read(lambda connection: list_runs(connection, asking.who, wanted))
        values = {"found": found, "wanted": wanted, "asked": dict(pairs), "states": tuple(RunState)}
        return self._renderer.page(asking, "runs.html", values)
