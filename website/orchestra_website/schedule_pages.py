"""Schedules: all of them, one with what it did and will do, and what a new one would do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from orchestra.clock import to_datetime
from orchestra.cron.preview import PREVIEW_INSTANTS, SchedulePreview, preview
from orchestra.cron.wall_clock import zone_of
from orchestra.definition.schedule_text import ScheduleRefused, read_schedule_text
from orchestra.errors import Conflict, InvalidFields, NotAllowed, NotFound
from orchestra.limits import LATE_SECONDS
from orchestra.policy import Permission
from orchestra.queries.crowds import crowd_of_timetable
from orchestra.queries.run_filters import read_run_filter
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import list_runs
from orchestra.queries.schedules import (
    ScheduleDetail,
    ScheduleView,
    TickView,
    list_schedules,
    list_ticks,
    next_of_schedule,
    show_schedule,
)
from orchestra.queries.visibility import may_in, project_of_name
from orchestra.storage.paging import Page, PageAsked, read_page_asked
from orchestra.timetable import Timetable
from orchestra.web.answers import NO_STORE
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer
from orchestra_website.words import moment_text

_CHANGES = {"disable": False, "enable": True}
_OPEN = "scheduled,waiting,pending,assigned,running"
_RUNS_NAMED_MAX = "20"
_TICKS_SHOWN = "10"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    """What the page of one schedule shows."""

    schedule: ScheduleDetail
    following: tuple[datetime, ...]
    ticks: Page[TickView]
    may_switch: bool


class SchedulePages:
    """The handlers for schedules."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._switches = parts.switches

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", "/schedules"): self.list,
            ("GET", "/schedules/preview"): self.preview,
            ("GET", "/projects/{project}/schedules"): self.list_of_project,
            ("GET", "/projects/{project}/schedules/{job}"): self.show,
            ("GET", "/projects/{project}/schedules/{job}/{change}"): self.ask_switch,
            ("POST", "/projects/{project}/schedules/{job}/{change}"): self.switch,
        }

    async def list(self, asking: Asking) -> Response:
        """A page of schedules."""
        asked, project = asking.page("project"), asking.request.query_params.get("project") or None
        return await self._list(asking, asked, project=project, path="/schedules", kept={"project": project or ""})

    async def list_of_project(self, asking: Asking) -> Response:
        """A page of the schedules of one project."""
        asked, project = asking.page(), asking.path("project")
        # A project outside the scope does not exist, rather than having no schedules.
        await self._database.read(lambda connection: project_of_name(connection, asking.who, project))
        return await self._list(asking, asked, project=project, path=f"/projects/{project}/schedules", kept={})

    async def _list(
        self, asking: Asking, asked: PageAsked, *, project: str | None, path: str, kept: dict[str, str]
    ) -> Response:
        now = self._clock.now()
        found = await self._database.read(
            lambda connection: list_schedules(connection, asking.who, project, asked, now=now)
        )
        values = {
            "found": found,
            "asked": {name: value for name, value in kept.items() if value},
            "path": path,
            "project": project,
            "local": local_moment,
            "is_late": self._is_late,
            "late_seconds": LATE_SECONDS,
        }
        return await self._renderer.page(asking, "schedules.html", values)

    async def show(self, asking: Asking) -> Response:
        """One schedule: what it will do, what it did, and the switch of its job."""
        query = asking.query("cursor", "done")
        page = _ticks_asked(query)
        project, job, now = asking.path("project"), asking.path("job"), self._clock.now()

        def read(connection: Connection) -> _Read:
            return _Read(
                schedule=show_schedule(connection, asking.who, project, job, now=now),
                following=next_of_schedule(connection, asking.who, project, job, PREVIEW_INSTANTS, now=now),
                ticks=list_ticks(connection, asking.who, project, job, page),
                may_switch=may_in(connection, asking.who, Permission.SWITCH_JOBS, project),
            )

        found = await self._database.read(read)
        values = {
            "read": found,
            "schedule": found.schedule,
            "local": local_moment,
            "is_late": self._is_late(found.schedule),
            "late_seconds": LATE_SECONDS,
            "done": query.get("done", ""),
        }
        return await self._renderer.page(asking, "schedule.html", values)

    async def preview(self, asking: Asking) -> Response:
        """What an expression would do; a bad one is told at its field."""
        query = asking.query("cron", "zone")
        typed, zone = query.get("cron", ""), query.get("zone", "")
        values: dict[str, object] = {"typed": typed, "zone": zone, "told": None, "problems": (), "pieces": None}
        if typed.strip():
            try:
                values["told"] = await self._told(read_schedule_text(typed, zone))
            except ScheduleRefused as refused:
                values["problems"] = refused.by_field
                if refused.mark is not None:
                    begin, length = refused.mark
                    values["pieces"] = (typed[:begin], typed[begin : begin + length], typed[begin + length :])
                    values["place"] = begin + 1
        elif zone:
            values["problems"] = [("cron", "Write an expression, such as 30 2 * * *.")]
        return await self._renderer.page(asking, "schedule_preview.html", {**values, "local": local_moment})

    async def _told(self, timetable: Timetable) -> SchedulePreview:
        now = self._clock.now()
        told = preview(timetable, now)
        crowd = await self._database.read(lambda connection: crowd_of_timetable(connection, timetable, now))
        return msgspec.structs.replace(told, warnings=told.warnings + crowd)

    async def ask_switch(self, asking: Asking) -> Response:
        """The page before the change: what it means, and why it is done."""
        asking.query()
        return await self._switch_form(asking)

    async def switch(self, asking: Asking) -> Response:
        """Disables or enables the schedule's job."""
        project, job, enabled = asking.path("project"), asking.path("job"), _change_of(asking)
        reason = asking.form().text("reason")
        try:
            await self._switches.switch_job(asking.who, project, job, enabled=enabled, reason=reason)
        except InvalidFields as error:
            problems = error.by_field
            return await self._switch_form(asking, problems=problems, reason=reason)
        except Conflict as error:
            return await self._switch_form(asking, problems=[("reason", str(error))], reason=reason)
        done = "enabled" if enabled else "disabled"
        address = f"{schedule_path(project, job)}?done={done}"
        return RedirectResponse(address, status_code=303, headers=NO_STORE)

    async def _switch_form(
        self, asking: Asking, *, problems: Sequence[tuple[str, str]] = (), reason: str = ""
    ) -> Response:
        project, job, enabled = asking.path("project"), asking.path("job"), _change_of(asking)
        now = self._clock.now()
        asking.who.require(Permission.SWITCH_JOBS)
        wanted = read_run_filter([("project", project), ("job", job), ("status", _OPEN), ("limit", _RUNS_NAMED_MAX)])

        def read(connection: Connection) -> tuple[ScheduleDetail, Page[RunView], bool]:
            schedule = show_schedule(connection, asking.who, project, job, now=now)
            may_switch = may_in(connection, asking.who, Permission.SWITCH_JOBS, project)
            return schedule, list_runs(connection, asking.who, wanted), may_switch

        schedule, runs, may_switch = await self._database.read(read)
        if not may_switch:
            raise NotAllowed(Permission.SWITCH_JOBS.value)
        values = {
            "schedule": schedule,
            "enable": enabled,
            "runs": runs,
            "problems": problems,
            "reason": reason,
            "local": local_moment,
        }
        status = 422 if problems else 200
        return await self._renderer.page(asking, "schedule_switch.html", values, status=status, headers=NO_STORE)

    def _is_late(self, schedule: ScheduleView) -> bool:
        """It was due a while ago, and no master has decided about it."""
        due = schedule.next_fire_at
        return due is not None and (to_datetime(self._clock.now()) - due).total_seconds() > LATE_SECONDS


def _change_of(asking: Asking) -> bool:
    """Whether the path asks to enable; raises NotFound for a word that is neither."""
    word = asking.path("change")
    if word not in _CHANGES:
        raise NotFound("page", word[:40])
    return _CHANGES[word]


def _ticks_asked(query: dict[str, str]) -> PageAsked:
    try:
        return read_page_asked({**query, "limit": _TICKS_SHOWN})
    except InvalidFields as error:
        raise BadQuery(error.problems) from None


def schedule_path(project: str, job: str) -> str:
    """Where its page is."""
    return f"/projects/{quote(project, safe='')}/schedules/{quote(job, safe='')}"


def local_moment(at: datetime, zone: str) -> str:
    """The instant by the clocks of the schedule's own zone."""
    return moment_text(at, zone_of(zone))
