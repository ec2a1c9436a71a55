"""Pausing a schedule: the page that asks why and for how long, and the button that ends the pause."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.clock import to_datetime
from orchestra.durations import BadDuration, parse_duration
from orchestra.errors import Conflict, InvalidFields, NotAllowed
from orchestra.policy import Permission
from orchestra.queries.schedules import ScheduleDetail, show_schedule
from orchestra.queries.visibility import may_in
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer
from orchestra_website.schedule_pages import local_moment, schedule_path

Problems = Sequence[tuple[str, str]]


class SchedulePausePages:
    """The handlers for pauses."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._pauses = parts.pauses

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/projects/{project}/schedules/{job}/pause"): self.ask,
            ("POST", "/projects/{project}/schedules/{job}/pause"): self.pause,
            ("POST", "/projects/{project}/schedules/{job}/resume"): self.resume,
        }

    async def ask(self, asking: Asking) -> Response:
        """The page before the pause: what it means, why, and for how long."""
        asking.query()
        return await self._form(asking)

    async def pause(self, asking: Asking) -> Response:
        """Pauses it; what is wrong is told at its field."""
        project, job, form = asking.path("project"), asking.path("job"), asking.form()
        reason, length = form.text("reason"), form.text("for").strip()
        try:
            until = self._until(length)
            await self._pauses.pause(asking.who, project, job, reason=reason, until=until)
        except BadDuration as error:
            return await self._form(asking, problems=[("for", str(error))], reason=reason, length=length)
        except InvalidFields as error:
            problems = [("for" if name == "until" else name, sentence) for name, sentence in error.by_field]
            return await self._form(asking, problems=problems, reason=reason, length=length)
        return _back(project, job, "paused")

    async def resume(self, asking: Asking) -> Response:
        """Ends the pause; one that is over already is no mistake of whoever presses the button."""
        project, job = asking.path("project"), asking.path("job")
        try:
            await self._pauses.resume(asking.who, project, job)
        except Conflict:
            return _back(project, job, "")
        return _back(project, job, "resumed")

    def _until(self, length: str) -> datetime | None:
        if not length:
            return None
        return to_datetime(self._clock.now()) + timedelta(seconds=parse_duration(length))

    async def _form(self, asking: Asking, *, problems: Problems = (), reason: str = "", length: str = "") -> Response:
        project, job, now = asking.path("project"), asking.path("job"), self._clock.now()

        def read(connection: Connection) -> ScheduleDetail:
            found = show_schedule(connection, asking.who, project, job, now=now)
            if not may_in(connection, asking.who, Permission.SWITCH_JOBS, project):
                raise NotAllowed(Permission.SWITCH_JOBS.value)
            return found

        values = {
            "schedule": await self._database.read(read),
            "problems": problems,
            "reason": reason,
            "length": length,
            "local": local_moment,
        }
        status = 422 if problems else 200
        return await self._renderer.page(asking, "schedule_pause.html", values, status=status, headers=NO_STORE)


def _back(project: str, job: str, done: str) -> Response:
    address = schedule_path(project, job) + (f"?done={done}" if done else "")
    return RedirectResponse(address, status_code=303, headers=NO_STORE)
