"""Schedules over HTTP: those in force with their decisions, and those that somebody is about to write."""

from datetime import datetime
from typing import Annotated

import msgspec
from starlette.responses import Response

from orchestra.cron.preview import SchedulePreview, preview
from orchestra.definition.schedule_text import ScheduleRefused, read_schedule_text
from orchestra.limits import SCHEDULE_INSTANTS_MAX
from orchestra.queries.addresses import API
from orchestra.queries.crowds import crowd_of_timetable
from orchestra.queries.schedules import (
    ScheduleDetail,
    ScheduleView,
    TickView,
    list_schedules,
    list_ticks,
    next_of_schedule,
    show_schedule,
)
from orchestra.storage.paging import Page
from orchestra.web.answers import json_answer
from orchestra.web.asking import Asking, number_asked
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_service.operation import PAGE, Field, Operation

_ONE = f"{API}/projects/{{project}}/jobs/{{job}}/schedule"
_INSTANTS_DEFAULT = 10
_CRON = Field("cron", "Five or six cron fields, `@daily` and its kin, or `every 15m`.")
_COUNT = Field(
    "n",
    f"How many instants: {_INSTANTS_DEFAULT}, at most {SCHEDULE_INSTANTS_MAX}.",
    {"type": "integer", "minimum": 1, "maximum": SCHEDULE_INSTANTS_MAX},
)


class NextInstants(msgspec.Struct, frozen=True, kw_only=True):
    """When a schedule is due next."""

    next: tuple[datetime, ...]


class PauseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a schedule shall be paused, and until when."""

    reason: str = ""
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """With an offset. None: until somebody resumes it."""


class ScheduleRoutes:
    """The handlers for schedules."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._clock = parts.clock
        self._pauses = parts.pauses

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/schedules"): Operation(
                self.list, answers=Page[ScheduleView], query=(*PAGE, Field("project", "The name of a project."))
            ),
            ("GET", f"{API}/schedules/preview"): Operation(
                self.preview, answers=SchedulePreview, query=(_CRON, Field("zone", "A time zone; UTC by default."))
            ),
            ("GET", _ONE): Operation(self.show, answers=ScheduleDetail),
            ("GET", f"{_ONE}/next"): Operation(self.next, answers=NextInstants, query=(_COUNT,)),
            ("GET", f"{_ONE}/ticks"): Operation(self.ticks, answers=Page[TickView], query=PAGE),
            ("POST", f"{_ONE}/pause"): Operation(self.pause, takes=PauseRequest, answers=ScheduleDetail),
            ("POST", f"{_ONE}/resume"): Operation(self.resume, answers=ScheduleDetail, also=(409,)),
        }

    async def list(self, asking: Asking) -> Response:
        """A page of schedules."""
        page, now = asking.page("project"), self._clock.now()
        project = asking.request.query_params.get("project")
        return json_answer(
            await self._database.read(lambda connection: list_schedules(connection, asking.who, project, page, now=now))
        )

    async def preview(self, asking: Asking) -> Response:
        """What a schedule would do, before it is in force."""
        query = asking.query("cron", "zone")
        try:
            timetable = read_schedule_text(query.get("cron", ""), query.get("zone", ""))
        except ScheduleRefused as refused:
            raise BadQuery(refused.problems) from None
        now = self._clock.now()
        told = preview(timetable, now)
        crowd = await self._database.read(lambda connection: crowd_of_timetable(connection, timetable, now))
        return json_answer(msgspec.structs.replace(told, warnings=told.warnings + crowd))

    async def show(self, asking: Asking) -> Response:
        """The schedule of a job."""
        asking.query()
        project, job, now = asking.path("project"), asking.path("job"), self._clock.now()
        return json_answer(
            await self._database.read(lambda connection: show_schedule(connection, asking.who, project, job, now=now))
        )

    async def next(self, asking: Asking) -> Response:
        """When it is due next."""
        count = number_asked(asking.query("n"), "n", most=SCHEDULE_INSTANTS_MAX) or _INSTANTS_DEFAULT
        project, job, now = asking.path("project"), asking.path("job"), self._clock.now()
        found = await self._database.read(
            lambda connection: next_of_schedule(connection, asking.who, project, job, count, now=now)
        )
        return json_answer(NextInstants(next=found))

    async def ticks(self, asking: Asking) -> Response:
        """A page of what was decided about its instants, the newest first."""
        page, project, job = asking.page(), asking.path("project"), asking.path("job")
        return json_answer(
            await self._database.read(lambda connection: list_ticks(connection, asking.who, project, job, page))
        )

    async def pause(self, asking: Asking) -> Response:
        """Decides nothing about it until it is resumed, or until a moment; then its policy says what is caught up."""
        asking.query()
        wanted = asking.decode(PauseRequest)
        project, job = asking.path("project"), asking.path("job")
        return json_answer(await self._pauses.pause(asking.who, project, job, reason=wanted.reason, until=wanted.until))

    async def resume(self, asking: Asking) -> Response:
        """Ends the pause now."""
        asking.query()
        return json_answer(await self._pauses.resume(asking.who, asking.path("project"), asking.path("job")))
