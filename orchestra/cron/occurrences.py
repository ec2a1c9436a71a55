"""The instants at which a schedule is due, with a declared policy for the nights when clocks change.

The cron library computes over plain wall-clock time only; its own ideas about time zones never come into play.

- An expression whose minute and hour are fixed fires once a day: if the time does not exist that night, at the first
  instant that does; if it comes twice, in the first pass.
- An expression that begins with `*` in minute or hour follows the clock: what does not exist does not fire, what comes
  twice fires twice.
- `every` counts elapsed time from 1970-01-01 00:00 UTC and knows no clock change.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import count as count_from
from itertools import groupby, islice
from zoneinfo import ZoneInfo

from orchestra.clock import MICROSECONDS_PER_SECOND, Instant, from_datetime, to_datetime
from orchestra.cron.expression import CronExpression, parse_cron
from orchestra.errors import OrchestraError
from orchestra.specification import ScheduleSpecification

_SECOND = timedelta(seconds=1)
# No overlap of a clock change is longer: further ahead, no wall-clock time comes back that was passed already.
_NEAR = timedelta(hours=26)
_LAST_YEAR = 2200


class CronEngineMissing(OrchestraError):
    """The package that computes cron occurrences is not installed."""

    def __str__(self) -> str:
        return "computing cron times needs the package croniter: install this program with its 'server' extra"


class UnknownZone(OrchestraError):
    """A name is no time zone."""

    def __init__(self, zone: str) -> None:
        super().__init__(zone)
        self.zone = zone

    def __str__(self) -> str:
        return f"{self.zone[:60]!r} is no time zone: write one such as Europe/Paris or UTC"


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # ValueError: a name such as "../passwd"; OSError: a folder of the zone database, such as "Europe".
        raise UnknownZone(name) from None


def next_after(specification: ScheduleSpecification, instant: Instant) -> Instant | None:
    """The first instant after this one at which the schedule is due, or None if there is none.

    Raises BadCron, UnknownZone, and CronEngineMissing if the expression needs the engine and it is not installed.
    """
    return next(dues_after(specification, instant), None)


def upcoming(specification: ScheduleSpecification, instant: Instant, count: int) -> list[Instant]:
    """The next so many instants at which the schedule is due."""
    return list(islice(dues_after(specification, instant), count))


def dues_after(specification: ScheduleSpecification, instant: Instant) -> Iterator[Instant]:
    """The instants after this one at which the schedule is due, in order, without end unless there is a last one.

    Raises what `next_after` raises, when it is asked for the first of them.
    """
    # One engine for all of them: to make it costs more than to ask it.
    if specification.every_seconds is not None:
        step = max(1, round(specification.every_seconds * MICROSECONDS_PER_SECOND))
        yield from map(Instant, count_from(instant // step * step + step, step))
        return
    expression = parse_cron(specification.cron or "")
    moments = _following_clock if expression.follows_clock else _fixed
    with suppress(OverflowError):
        yield from map(from_datetime, moments(expression, zone_of(specification.zone), to_datetime(instant)))


def _fixed(expression: CronExpression, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    last = start
    for wall in _walls(expression, start.astimezone(zone).replace(tzinfo=None)):
        moment = _first_instant(wall, zone)
        # In the second pass of a repeated hour the walls of the first are behind us already; and several walls that
        # do not exist that night are all due at the one instant that follows.
        if moment > last:
            yield moment
            last = moment


def _first_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When this wall-clock time is (for the first time), or the first instant after the gap that swallowed it."""
    before = _offset(wall.replace(tzinfo=zone, fold=0))
    later = _offset(wall.replace(tzinfo=zone, fold=1))
    moment = wall.replace(tzinfo=UTC) - before
    if later <= before:
        return moment
    return change_between(zone, wall.replace(tzinfo=UTC) - later, moment)


def _following_clock(expression: CronExpression, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """Goes through stretches of constant offset, in each of which wall-clock time is plain arithmetic."""
    position = start
    walls = _walls(expression, start.astimezone(zone).replace(tzinfo=None))
    wall = next(walls, None)
    while True:
        offset = _offset(position.astimezone(zone))
        moment = None if wall is None else wall.replace(tzinfo=UTC) - offset
        near = position + _NEAR if moment is None else min(position + _NEAR, moment)
        if _offset(near.astimezone(zone)) != offset:
            # The first wall-clock second of the new stretch counts as well.
            position = change_between(zone, position, near)
            walls = _walls(expression, position.astimezone(zone).replace(tzinfo=None) - _SECOND)
            wall = next(walls, None)
        elif moment is None:
            return
        elif moment == near:
            yield moment
            position, wall = moment, next(walls, None)
        else:
            # Until then the offset may change and change back. Nothing matches on the way, so look again from close by.
            position = max(near, moment - _NEAR)


def change_between(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """When clocks change: the first instant of the offset that holds at `high` but not at `low`, to the second."""
    low = low.replace(microsecond=0)
    target = _offset(low.astimezone(zone))
    while high - low > _SECOND:
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if _offset(middle.astimezone(zone)) == target:
            low = middle
        else:
            high = middle
    return high


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def _walls(expression: CronExpression, after: datetime) -> Iterator[datetime]:
    """Wall-clock times that match, later than this one, in order."""
    return (wall for wall, _ in groupby(merge(*(_engine(text, after) for text in _texts(expression)))))


def _texts(expression: CronExpression) -> tuple[str, ...]:
    """What the engine is asked: two texts where it would not see that a day of the month is enough as well.

    It takes `1 * 6#1` and `1 * l6` for the first of the month only if that is such a Saturday.
    """
    *time, days, months, weekdays = expression.text.split(" ")
    has_place = "#" in weekdays or "l" in weekdays
    if not has_place or days.startswith("*") or weekdays.startswith("*"):
        return (expression.text,)
    return " ".join((*time, days, months, "*")), " ".join((*time, "*", months, weekdays))


def _engine(text: str, after: datetime) -> Iterator[datetime]:
    try:
        from croniter import CroniterBadDateError, croniter
    except ImportError:
        raise CronEngineMissing from None
    engine = croniter(text, after.replace(microsecond=0), implement_cron_bug=True, second_at_beginning=True)
    while True:
        try:
            wall: datetime = engine.get_next(datetime)
        except CroniterBadDateError:
            return
        if wall.year > _LAST_YEAR:
            return
        yield wall
