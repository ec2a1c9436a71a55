"""Jobs in quarantine: the page that says what releasing one means, and the button that does it."""

from starlette.responses import RedirectResponse, Response

from orchestra.errors import Conflict, InvalidFields
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.job_confirmation import JobConfirmation
from orchestra_website.renderer import Renderer

_RELEASE = "/projects/{project}/jobs/{job}/release"


class QuarantinePages:
    """The handlers for the quarantine of one job."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._switches = parts.switches
        self._confirmation = JobConfirmation(
            database=parts.database, renderer=renderer, clock=parts.clock, template="job_release.html"
        )

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", _RELEASE): self.confirm, ("POST", _RELEASE): self.release}

    async def confirm(self, asking: Asking) -> Response:
        """By what the job is in quarantine, and what releasing it means."""
        asking.query()
        return await self._confirmation.show(asking)

    async def release(self, asking: Asking) -> Response:
        """What waits of it may start; a job that somebody else has released already is no mistake of this person."""
        project, name, reason = asking.path("project"), asking.path("job"), asking.form().text("reason")
        try:
            await self._switches.release_job(asking.who, project, name, reason=reason)
        except InvalidFields as error:
            return await self._confirmation.show(asking, reason=reason, problems=error.by_field, status=422)
        except Conflict:
            return await self._confirmation.show(asking, status=409)
        return RedirectResponse(f"/projects/{project}/jobs/{name}?done=released", status_code=303, headers=NO_STORE)
