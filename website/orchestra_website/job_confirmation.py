"""The page that asks before something is done to a job: what it means, and what was wrong with what was said."""

from collections.abc import Sequence

from starlette.responses import Response

from orchestra.clock import Clock
from orchestra.queries.job_page import show_job_facts
from orchestra.storage.database import Database
from orchestra.web.asking import Asking
from orchestra_website.renderer import Renderer


class JobConfirmation:
    """One such page, by its template."""

    def __init__(self, *, database: Database, renderer: Renderer, clock: Clock, template: str) -> None:
        self._database = database
        self._renderer = renderer
        self._clock = clock
        self._template = template

    async def show(
        self, asking: Asking, *, reason: str = "", problems: Sequence[tuple[str, str]] = (), status: int = 200
    ) -> Response:
        """The page for the job that the address names; raises NotFound and NotAllowed."""
        project, name, now = asking.path("project"), asking.path("job"), self._clock.now()
        facts = await self._database.read(
            lambda connection: show_job_facts(connection, asking.who, project, name, now=now)
        )
        values = {"facts": facts, "job": facts.detail, "reason": reason, "problems": problems}
        return await self._renderer.page(asking, self._template, values, status=status)
