"""Projects and jobs over HTTP."""

import msgspec
from starlette.responses import Response

from orchestra.queries.addresses import API
from orchestra.queries.attention import Attention, show_attention
from orchestra.queries.jobs import JobDetail, JobView, ProjectView, list_jobs, list_projects, show_job
from orchestra.queries.projects import ProjectDetail, show_project
from orchestra.storage.paging import Page
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_service.operation import PAGE, Field, Operation


class SwitchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a job shall make runs, and why."""

    enabled: bool
    reason: str = ""


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a job may start again."""

    reason: str = ""


class JobRoutes:
    """The handlers for projects and jobs."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._switches = parts.switches

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/projects"): Operation(self.projects, answers=Page[ProjectView], query=PAGE),
            ("GET", f"{API}/projects/{{project}}"): Operation(self.project, answers=ProjectDetail),
            ("GET", f"{API}/attention"): Operation(self.attention, answers=Attention),
            ("GET", f"{API}/jobs"): Operation(
                self.list, answers=Page[JobView], query=(*PAGE, Field("project", "The name of a project."))
            ),
            ("GET", f"{API}/projects/{{project}}/jobs/{{job}}"): Operation(self.show, answers=JobDetail),
            ("PATCH", f"{API}/projects/{{project}}/jobs/{{job}}"): Operation(
                self.switch, takes=SwitchRequest, answers=JobView, also=(409,)
            ),
            ("POST", f"{API}/projects/{{project}}/jobs/{{job}}/release"): Operation(
                self.release, takes=ReleaseRequest, answers=JobDetail, also=(409,)
            ),
        }

    async def projects(self, asking: Asking) -> Response:
        """A page of projects."""
        page = asking.page()
        return json_answer(await self._database.read(lambda connection: list_projects(connection, asking.who, page)))

    async def project(self, asking: Asking) -> Response:
        """One project, with the definition that holds."""
        asking.query()
        name = asking.path("project")
        return json_answer(await self._database.read(lambda connection: show_project(connection, asking.who, name)))

    async def attention(self, asking: Asking) -> Response:
        """What needs a person now: jobs in quarantine, failing jobs, late schedules, long waits, absent workers."""
        asking.query()
        now = self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: show_attention(connection, asking.who, now=now))
        )

    async def list(self, asking: Asking) -> Response:
        """A page of jobs."""
        page = asking.page("project")
        project, now = asking.request.query_params.get("project"), self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: list_jobs(connection, asking.who, project, page, now=now))
        )

    async def show(self, asking: Asking) -> Response:
        """One job with everything."""
        asking.query()
        project, job, now = asking.path("project"), asking.path("job"), self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: show_job(connection, asking.who, project, job, now=now))
        )

    async def switch(self, asking: Asking) -> Response:
        """Disables a job, or enables it."""
        asking.query()
        wanted = asking.decode(SwitchRequest)
        project, job = asking.path("project"), asking.path("job")
        return json_answer(
            await self._switches.switch_job(asking.who, project, job, enabled=wanted.enabled, reason=wanted.reason)
        )

    async def release(self, asking: Asking) -> Response:
        """Lets a job out of the quarantine that it is in because too many of its attempts were lost."""
        asking.query()
        reason = asking.decode(ReleaseRequest).reason
        project, job = asking.path("project"), asking.path("job")
        return json_answer(await self._switches.release_job(asking.who, project, job, reason=reason))
