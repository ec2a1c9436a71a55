"""Home: what needs attention first, then what runs, then what to do next."""

from starlette.responses import Response

from orchestra.clock import Clock
from orchestra.storage.database import Database
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra_website.renderer import Renderer


class HomePages:
    """The handler of the first page."""

    def __init__(self, *, renderer: Renderer, database: Database, clock: Clock) -> None:
        self._renderer = renderer
        self._database = database
        self._clock = clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/"): self.show}

    async def show(self, asking: Asking) -> Response:
        """The first page."""
        asking.query()
        return self._renderer.page(asking, "home.html")
