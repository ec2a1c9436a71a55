"""What a schedule does on the days when clocks change, told before such a night surprises anybody."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from orchestra.clock import Instant, from_datetime, to_datetime
from orchestra.cron.expression import parse_cron
from orchestra.cron.occurrences import next_after
from orchestra.cron.wall_clock import change_between, wall_of, zone_of
from orchestra.timetable import Gap, Repeat, Timetable

INSTANTS_SHOWN_MAX = 12
_AHEAD = timedelta(days=366)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)


class ClockChangeDay(msgspec.Struct, frozen=True, kw_only=True):
    """One day on which the clocks of the schedule's zone change."""

    at: datetime
    """The instant of the change."""
    sentence: str
    """What the clocks do."""
    effect: str
    """What the schedule makes of it."""
    instants: tuple[datetime, ...]
    """When it is due that day; if that is often, only from an hour before the change."""
    has_more: bool
    """It is due more often that day than is listed."""


def clock_change_days(timetable: Timetable, now: Instant) -> tuple[ClockChangeDay, ...]:
    """The days within a year from now on which the clocks of the schedule's zone change, at most the next two.

    Raises UnknownZone, BadCron, CronEngineMissing.
    """
    zone = zone_of(timetable.zone)
    found: list[ClockChangeDay] = []
    for at in _changes(zone, to_datetime(now)):
        found.append(_day_of(timetable, zone, at))
        if len(found) == 2:
            break
    return tuple(found)


def _changes(zone: ZoneInfo, begin: datetime) -> Iterator[datetime]:
    low, end = begin.astimezone(UTC), begin + _AHEAD
    while low < end:
        high = low + _DAY
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            yield change_between(zone, low, high)
        low = high


def _day_of(timetable: Timetable, zone: ZoneInfo, at: datetime) -> ClockChangeDay:
    before, later = wall_of(at - _SECOND, zone) + _SECOND, wall_of(at, zone)
    way = "forward" if later > before else "back"
    instants, has_more = _instants(timetable, zone, at)
    return ClockChangeDay(
        at=at,
        sentence=f"clocks go {way} from {before:%H:%M} to {later:%H:%M}",
        effect=_effect(timetable, before, later),
        instants=instants,
        has_more=has_more,
    )


def _instants(timetable: Timetable, zone: ZoneInfo, at: datetime) -> tuple[tuple[datetime, ...], bool]:
    midnight = wall_of(at, zone).replace(hour=0, minute=0, second=0)
    begin = midnight.replace(tzinfo=zone).astimezone(UTC)
    end = (midnight + _DAY).replace(tzinfo=zone).astimezone(UTC)
    found = _between(timetable, begin, end)
    if len(found) <= INSTANTS_SHOWN_MAX:
        return found, False
    return _between(timetable, at - _HOUR, end)[:INSTANTS_SHOWN_MAX], True


def _between(timetable: Timetable, begin: datetime, end: datetime) -> tuple[datetime, ...]:
    """The due instants from `begin` until before `end`, at most one more than are shown."""
    found: list[datetime] = []
    following = next_after(timetable, from_datetime(begin - _TICK))
    while following is not None and len(found) <= INSTANTS_SHOWN_MAX:
        moment = to_datetime(following)
        if moment >= end:
            break
        found.append(moment)
        following = next_after(timetable, following)
    return tuple(found)


def _effect(timetable: Timetable, before: datetime, later: datetime) -> str:
    low, high = sorted((before, later))
    if not any(trigger.cron for trigger in timetable.triggers):
        return "it counts elapsed time, so nothing changes"
    if not _is_due_between(timetable, low, high):
        # What counts elapsed time may be due then, as on any day.
        subject = "it is" if all(trigger.cron for trigger in timetable.triggers) else "its expressions are"
        return f"{subject} not due in that time, so nothing changes"
    hours = f"between {low:%H:%M} and {high:%H:%M}"
    follows = all(parse_cron(each.cron, timetable.spread_by).follows_clock for each in timetable.triggers if each.cron)
    if later > before:
        gap = timetable.gap or (Gap.SKIP if follows else Gap.RUN_AFTER)
        if gap is Gap.SKIP:
            return f"what is due {hours} does not happen that day"
        return f"no time {hours} exists that day: it is due at {later:%H:%M} instead"
    repeat = timetable.repeat or (Repeat.BOTH if follows else Repeat.FIRST)
    if repeat is Repeat.BOTH:
        return f"what is due {hours} happens twice that day"
    return f"every time {hours} comes twice that day: it is due the first time only"


def _is_due_between(timetable: Timetable, low: datetime, high: datetime) -> bool:
    """Whether an expression names a wall-clock time there. In UTC every wall-clock time comes once."""
    plain = msgspec.structs.replace(
        timetable, triggers=tuple(each for each in timetable.triggers if each.cron), zone="UTC"
    )
    following = next_after(plain, from_datetime(low.replace(tzinfo=UTC) - _TICK))
    return following is not None and to_datetime(following) < high.replace(tzinfo=UTC)
