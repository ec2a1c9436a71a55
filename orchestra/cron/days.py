"""The days that a timetable keeps to: its first and last, and those of its calendars."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from orchestra.cron.wall_clock import first_instant
from orchestra.timetable import Calendar, Timetable

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_DATE_CHARACTERS = len("2026-12-24")
_BEGIN, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Stretch = tuple[datetime, datetime]
"""First and last instant, both included."""


def stretches(timetable: Timetable, zone: ZoneInfo) -> Iterator[Stretch]:
    """The stretches of time in which it may be due, in order."""
    first, last = _BEGIN, _END
    if timetable.start is not None:
        first = instant_of(timetable.start, zone)
    if timetable.end is not None:
        last = _last_instant(timetable.end, zone)
    for begin, end in _wanted(timetable, zone):
        if max(begin, first) <= min(end, last):
            yield max(begin, first), min(end, last)


def open_days_of(timetable: Timetable, first: date, days: int) -> frozenset[date]:
    """Which of so many days it keeps to, wholly or in part."""
    begin, end = (timetable.start or "0")[:_DATE_CHARACTERS], (timetable.end or "9")[:_DATE_CHARACTERS]
    found = []
    for day in (first + _DAY * index for index in range(days)):
        is_wanted = not timetable.only_in or calendar_with(timetable.only_in, day) is not None
        if begin <= day.isoformat() <= end and is_wanted and calendar_with(timetable.not_in, day) is None:
            found.append(day)
    return frozenset(found)


def calendar_with(calendars: tuple[Calendar, ...], day: date) -> Calendar | None:
    """The first of the calendars that has this day."""
    written = day.isoformat()
    return next((each for each in calendars if any(days.first <= written <= days.last for days in each.days)), None)


def instant_of(written: str, zone: ZoneInfo) -> datetime:
    """`2026-12-24` (its first instant) or `2026-12-24T18:00:00`, by the clocks of the zone unless it has an offset.

    A time that comes twice is the first; one that does not exist is the first instant after the gap.
    """
    moment = datetime.fromisoformat(written)
    return first_instant(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)


def _last_instant(written: str, zone: ZoneInfo) -> datetime:
    if len(written) > _DATE_CHARACTERS:
        return instant_of(written, zone)
    return _midnight(date.fromisoformat(written) + _DAY, zone) - _TICK


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return first_instant(datetime.combine(day, time()), zone)


def _wanted(timetable: Timetable, zone: ZoneInfo) -> Iterator[Stretch]:
    if not timetable.only_in:
        yield _BEGIN, _END
        return
    until = _BEGIN
    for low, high in sorted((days.first, days.last) for calendar in timetable.only_in for days in calendar.days):
        begin = max(until, _midnight(date.fromisoformat(low), zone))
        end = _midnight(date.fromisoformat(high) + _DAY, zone)
        if begin < end:
            # Calendars may overlap: each instant belongs to one stretch.
            yield begin, end - _TICK
            until = end
