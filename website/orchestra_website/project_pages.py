"""Projects: the list with the newest runs of their jobs, and one with its jobs and definitions."""

import msgspec
from starlette.responses import Response

from orchestra.queries.projects import list_project_lines, show_project_page
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

_TEXT_CHARACTERS_MAX = 100


class ProjectPages:
    """The handlers for projects."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/projects"): self.list, ("GET", "/projects/{project}"): self.show}

    async def list(self, asking: Asking) -> Response:
        """A page of projects."""
        page = asking.page("q", "failing")
        query = asking.request.query_params
        text, failing = query.get("q", "").strip()[:_TEXT_CHARACTERS_MAX], query.get("failing") == "yes"
        found = await self._database.read(
            lambda connection: list_project_lines(connection, asking.who, page, text=text, failing_only=failing)
        )
        asked = {name: value for name, value in query.items() if name != "cursor" and value}
        return await self._renderer.page(
            asking, "projects.html", {"found": found, "asked": asked, "text": text, "failing": failing}
        )

    async def show(self, asking: Asking) -> Response:
        """One project."""
        done = asking.query("done").get("done", "")
        name, now = asking.path("project"), self._clock.now()
        found = await self._database.read(lambda connection: show_project_page(connection, asking.who, name, now=now))
        document = msgspec.json.format(found.document, indent=2) if found.document else ""
        return await self._renderer.page(
            asking, "project.html", {"project": found, "document": document, "is_applied": done == "applied"}
        )
