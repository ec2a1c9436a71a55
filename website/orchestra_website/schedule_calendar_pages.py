"""The calendar of schedules: how often jobs are due on each day of a month."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from starlette.responses import Response

from orchestra.clock import to_datetime
from orchestra.cron.calendar import daily_counts
from orchestra.limits import CALENDAR_SCHEDULES_MAX
from orchestra.queries.schedules import specifications_in_force
from orchestra.specification import ScheduleSpecification
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.parts import WebParts
from orchestra_website.renderer import Renderer

_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])", re.ASCII)
_DAY = timedelta(days=1)
_SELDOM = 4
"""A job that is due at most so often on a day is named there; the others are only counted."""
_NAMED_MAX = 4

Named = tuple[str, str, ScheduleSpecification]


@dataclass(frozen=True, kw_only=True, slots=True)
class CalendarDay:
    """One day of the month."""

    at: date
    is_past: bool
    count: int
    named: tuple[tuple[str, str], ...]
    """Project and job of those that are due seldom."""
    others: int
    """How many jobs are due beside the named ones."""


class ScheduleCalendarPages:
    """The handler for the calendar."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/schedules/calendar"): self.show}

    async def show(self, asking: Asking) -> Response:
        """A month of forecasts; this one unless another is asked for."""
        now = self._clock.now()
        today = to_datetime(now).date()
        first = _first_of(asking.query("month").get("month"), today)
        found = await self._database.read(
            lambda connection: specifications_in_force(connection, asking.who, CALENDAR_SCHEDULES_MAX + 1, now=now)
        )
        # Counting is work of the processor alone: not in a database's transaction, and not on the event loop.
        days = await asyncio.to_thread(forecast, found[:CALENDAR_SCHEDULES_MAX], first, today)
        before, after = (first - _DAY).replace(day=1), (first + 31 * _DAY).replace(day=1)
        values = {
            "first": first,
            "today": today,
            "weeks": _weeks(days),
            "before": before if before >= today.replace(day=1) else None,
            "after": after if after.year < 2100 else None,
            "schedules": min(len(found), CALENDAR_SCHEDULES_MAX),
            "has_more": len(found) > CALENDAR_SCHEDULES_MAX,
        }
        return await self._renderer.page(asking, "schedule_calendar.html", values)


def forecast(found: Sequence[Named], first: date, today: date) -> list[CalendarDay]:
    """The days of the month that begins with `first`, with what is due from today on."""
    length = ((first + 31 * _DAY).replace(day=1) - first).days
    counts = [
        (project, job, daily_counts(specification.timetable, first, length)) for project, job, specification in found
    ]
    return [
        _day(first + _DAY * index, today, [(p, j, each[index]) for p, j, each in counts]) for index in range(length)
    ]


def _day(at: date, today: date, counts: Sequence[tuple[str, str, int]]) -> CalendarDay:
    due = [] if at < today else [each for each in counts if each[2]]
    named = tuple((project, job) for project, job, count in due if count <= _SELDOM)[:_NAMED_MAX]
    return CalendarDay(
        at=at,
        is_past=at < today,
        count=sum(count for _, _, count in due),
        named=named,
        others=len(due) - len(named),
    )


def _weeks(days: Sequence[CalendarDay]) -> list[list[CalendarDay | None]]:
    """Rows from Monday to Sunday, with gaps before the first day and after the last."""
    cells: list[CalendarDay | None] = [None] * days[0].at.weekday() + list(days)
    cells += [None] * (-len(cells) % 7)
    return [cells[index : index + 7] for index in range(0, len(cells), 7)]


def _first_of(text: str | None, today: date) -> date:
    if not text:
        return today.replace(day=1)
    match = _MONTH.fullmatch(text)
    if match is None:
        raise BadQuery([("/month", "must be a month such as 2026-11")])
    return date(int(match[1]), int(match[2]), 1)
