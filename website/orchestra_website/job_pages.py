"""One job: what it does, how it is doing, which workers can do it, and the switch that lets it make runs or not."""

from starlette.responses import RedirectResponse, Response

from orchestra.definition.element_text import describe_elements
from orchestra.definition.policy_text import describe_policies
from orchestra.definition.retry_text import describe_retry
from orchestra.errors import Conflict, InvalidFields
from orchestra.matching import describe_wishes
from orchestra.queries.elements import elements_of
from orchestra.queries.job_page import show_job_page
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.duration_plot import plot_durations
from orchestra_website.job_confirmation import JobConfirmation
from orchestra_website.pipeline_graph import draw_pipeline
from orchestra_website.renderer import Renderer

JOB = "/projects/{project}/jobs/{job}"
_DONE = {
    "disabled": "The job is disabled: nothing makes new runs of it.",
    "enabled": "The job is enabled again.",
    "released": "The job is released: what waits of it may start.",
}
_ELEMENTS_SHOWN_MAX = 300


class JobPages:
    """The handlers for one job."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._switches = parts.switches
        self._confirmation = JobConfirmation(
            database=parts.database, renderer=renderer, clock=parts.clock, template="job_disable.html"
        )

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", JOB): self.show,
            ("GET", f"{JOB}/disable"): self.confirm,
            ("POST", f"{JOB}/disable"): self.disable,
            ("POST", f"{JOB}/enable"): self.enable,
        }

    async def show(self, asking: Asking) -> Response:
        """Everything about the job."""
        done = asking.query("done").get("done", "")
        project, name, now = asking.path("project"), asking.path("job"), self._clock.now()
        found = await self._database.read(
            lambda connection: show_job_page(connection, asking.who, project, name, now=now)
        )
        pipeline = found.facts.detail.specification.pipeline
        values = {
            "found": found,
            "elements": describe_elements(pipeline) if pipeline else (),
            "elements_shown": _ELEMENTS_SHOWN_MAX,
            "graph": draw_pipeline(elements_of(pipeline)) if pipeline else None,
            "facts": found.facts,
            "job": found.facts.detail,
            "wishes": [*describe_wishes(found.facts.detail.specification.matching)],
            "retry": describe_retry(found.facts.detail.specification.retry),
            "policies": [*describe_policies(found.facts.detail.specification.policies)],
            "plot": plot_durations(found.marks, found.facts.usual),
            "done": _DONE.get(done, ""),
        }
        return await self._renderer.page(asking, "job.html", values)

    async def confirm(self, asking: Asking) -> Response:
        """What disabling means, before it is done."""
        asking.query()
        return await self._confirmation.show(asking)

    async def disable(self, asking: Asking) -> Response:
        """Nothing makes runs of the job any more."""
        return await self._switch(asking, enabled=False, reason=asking.form().text("reason"))

    async def enable(self, asking: Asking) -> Response:
        """The job makes runs again."""
        return await self._switch(asking, enabled=True, reason="")

    async def _switch(self, asking: Asking, *, enabled: bool, reason: str) -> Response:
        project, name = asking.path("project"), asking.path("job")
        try:
            await self._switches.switch_job(asking.who, project, name, enabled=enabled, reason=reason)
        except InvalidFields as error:
            problems = error.by_field
            return await self._confirmation.show(asking, reason=reason, problems=problems, status=422)
        except Conflict as error:
            if enabled:
                raise
            return await self._confirmation.show(asking, reason=reason, problems=[("", str(error))], status=409)
        done = "enabled" if enabled else "disabled"
        return RedirectResponse(f"/projects/{project}/jobs/{name}?done={done}", status_code=303, headers=NO_STORE)
