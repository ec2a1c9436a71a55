"""The instants at which a timetable is due, with a declared policy for the nights when clocks change.

The cron library computes over plain wall-clock time only; its own ideas about time zones never come into play.

- An expression whose minute and hour are fixed fires once a day: if the time does not exist that night, at the first
  instant that does; if it comes twice, in the first pass.
- An expression that begins with `*` in minute or hour follows the clock: what does not exist does not fire, what comes
  twice fires twice.
- A timetable may declare either for all its expressions.
- `every` counts elapsed time from 1970-01-01 00:00 UTC and knows no clock change.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import count as count_from
from itertools import groupby, islice, takewhile
from zoneinfo import ZoneInfo

from orchestra.clock import MICROSECONDS_PER_SECOND, Instant, from_datetime, to_datetime
from orchestra.cron.days import calendar_with, instant_of, stretches
from orchestra.cron.expression import CronExpression, parse_cron
from orchestra.cron.wall_clock import change_between, is_in_gap, offset_of, wall_of, zone_of
from orchestra.cron.walls import walls_after
from orchestra.timetable import Calendar, Gap, Repeat, Timetable, Trigger

_SECOND = timedelta(seconds=1)
# No overlap of a clock change is longer: further ahead, no wall-clock time comes back that was passed already.
_NEAR = timedelta(hours=26)


def next_after(timetable: Timetable, instant: Instant) -> Instant | None:
    """The first instant after this one at which it is due, or None if there is none.

    Raises BadCron, UnknownZone, and CronEngineMissing if an expression needs the engine and it is not installed.
    """
    return next(dues_after(timetable, instant), None)


def upcoming(timetable: Timetable, instant: Instant, count: int) -> list[Instant]:
    """The next so many instants at which it is due and no calendar excludes it."""
    return list(islice((due for due in dues_after(timetable, instant) if excluded_by(timetable, due) is None), count))


def excluded_by(timetable: Timetable, due: Instant) -> Calendar | None:
    """The calendar because of which this due instant is skipped."""
    if not timetable.not_in:
        return None
    return calendar_with(timetable.not_in, to_datetime(due).astimezone(zone_of(timetable.zone)).date())


def dues_after(timetable: Timetable, instant: Instant) -> Iterator[Instant]:
    """The instants after this one at which it is due, in order, each once; without end unless there is a last one.

    Raises what `next_after` raises, when it is asked for the first of them.
    """
    zone = zone_of(timetable.zone)
    for begin, end in stretches(timetable, zone):
        first, last = max(instant, Instant(from_datetime(begin) - 1)), from_datetime(end)
        if first < last:
            # One engine for all of them: to make it costs more than to ask it.
            found = merge(*(_triggered(trigger, timetable, zone, first) for trigger in timetable.triggers))
            yield from (due for due, _ in groupby(takewhile(last.__ge__, found)))


def _triggered(trigger: Trigger, timetable: Timetable, zone: ZoneInfo, after: Instant) -> Iterator[Instant]:
    if trigger.every_seconds is not None:
        step = max(1, round(trigger.every_seconds * MICROSECONDS_PER_SECOND))
        yield from map(Instant, count_from(after // step * step + step, step))
    elif trigger.at is not None:
        due = from_datetime(instant_of(trigger.at, zone))
        if due > after and not (timetable.gap is Gap.SKIP and _does_not_exist(trigger.at, zone)):
            yield due
    else:
        expression = parse_cron(trigger.cron or "", timetable.spread_by)
        follows = expression.follows_clock
        gap = timetable.gap or (Gap.SKIP if follows else Gap.RUN_AFTER)
        repeat = timetable.repeat or (Repeat.BOTH if follows else Repeat.FIRST)
        found = _moments(expression, zone, gap, to_datetime(after))
        with suppress(OverflowError):
            yield from (
                from_datetime(moment) for moment in found if repeat is Repeat.BOTH or not moment.astimezone(zone).fold
            )


def _does_not_exist(written: str, zone: ZoneInfo) -> bool:
    wall = datetime.fromisoformat(written)
    return wall.tzinfo is None and is_in_gap(wall, zone)


def _moments(expression: CronExpression, zone: ZoneInfo, gap: Gap, start: datetime) -> Iterator[datetime]:
    """Goes through stretches of constant offset, in each of which wall-clock time is plain arithmetic."""
    position = start
    walls = walls_after(expression, wall_of(start, zone))
    wall = next(walls, None)
    while True:
        offset = offset_of(position.astimezone(zone))
        moment = None if wall is None else wall.replace(tzinfo=UTC) - offset
        near = position + _NEAR if moment is None else min(position + _NEAR, moment)
        if offset_of(near.astimezone(zone)) != offset:
            position = change_between(zone, position, near)
            first = wall_of(position, zone)
            if gap is Gap.RUN_AFTER and wall is not None and wall < first:
                yield position
                walls = walls_after(expression, first)
            else:
                # The first wall-clock second of the new stretch counts as well.
                walls = walls_after(expression, first - _SECOND)
            wall = next(walls, None)
        elif moment is None:
            return
        elif moment == near:
            yield moment
            position, wall = moment, next(walls, None)
        else:
            # Until then the offset may change and change back. Nothing matches on the way, so look again from close by.
            position = max(near, moment - _NEAR)
