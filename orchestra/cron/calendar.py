"""How often a schedule is due on each day of a stretch, counted without walking through every instant."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from orchestra.clock import MICROSECONDS_PER_SECOND, from_datetime, to_datetime
from orchestra.cron.days import instant_of, open_days_of
from orchestra.cron.expression import parse_cron
from orchestra.cron.occurrences import next_after
from orchestra.cron.wall_clock import zone_of
from orchestra.timetable import Timetable, Trigger

_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_SIXTY, _HOURS = 60, 24


def daily_counts(timetable: Timetable, first: date, days: int) -> list[int]:
    """For each day by the clocks of the timetable's zone, how often it is due and not skipped for a calendar.

    By the plain clock: on a day on which clocks change, an expression may be due a little less or more often; and
    triggers that meet in one instant count for each. Raises BadCron, UnknownZone, CronEngineMissing.
    """
    zone = zone_of(timetable.zone)
    counts = [0] * days
    for trigger in timetable.triggers:
        for index, count in enumerate(_counts(trigger, timetable, zone, first, days)):
            counts[index] += count
    open_days = open_days_of(timetable, first, days)
    return [count if first + _DAY * index in open_days else 0 for index, count in enumerate(counts)]


def _counts(trigger: Trigger, timetable: Timetable, zone: ZoneInfo, first: date, days: int) -> list[int]:
    if trigger.every_seconds is not None:
        return [_elapsed(trigger.every_seconds, zone, first + _DAY * index) for index in range(days)]
    if trigger.at is not None:
        index = (instant_of(trigger.at, zone).astimezone(zone).date() - first).days
        return [int(index == each) for each in range(days)]
    parts = parse_cron(trigger.cron or "", timetable.spread_by).text.split(" ")
    each = _size(parts[0], _SIXTY) * _size(parts[1], _SIXTY) * _size(parts[2], _HOURS)
    fitting = _days(" ".join(parts[3:]), first, days)
    return [each if first + _DAY * index in fitting else 0 for index in range(days)]


def _elapsed(every_seconds: float, zone: ZoneInfo, day: date) -> int:
    begin, end = (from_datetime(datetime.combine(each, time(), zone)) for each in (day, day + _DAY))
    step = max(1, round(every_seconds * MICROSECONDS_PER_SECOND))
    return (end - 1) // step - (begin - 1) // step


def _size(field: str, limit: int) -> int:
    """How many of 0 to limit - 1 the field names; in the form that `parse_cron` gives."""
    found: set[int] = set()
    for term in field.split(","):
        base, _, step = term.partition("/")
        low, dash, high = base.partition("-")
        if base == "*":
            found.update(range(0, limit, int(step or 1)))
        else:
            found.update(range(int(low), int(high if dash else low) + 1, int(step or 1)))
    return len(found)


@lru_cache(maxsize=1024)
def _days(fields: str, first: date, days: int) -> frozenset[date]:
    """The days that fit day, month and weekday: the instants of midnight, in a zone without clock changes."""
    end = first + _DAY * days
    if fields == "* * *":
        return frozenset(first + _DAY * index for index in range(days))
    midnights = Timetable(triggers=(Trigger(cron=f"0 0 0 {fields}"),))
    found: set[date] = set()
    following = next_after(midnights, from_datetime(datetime.combine(first, time(), UTC) - _TICK))
    while following is not None and (day := to_datetime(following).date()) < end:
        found.add(day)
        following = next_after(midnights, following)
    return frozenset(found)
