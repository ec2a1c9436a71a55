"""What a schedule will do: its sentence, its next instants, the clock changes, and what is probably not meant."""

from datetime import datetime

import msgspec

from orchestra.clock import Instant, to_datetime
from orchestra.cron.clock_changes import ClockChangeDay, clock_change_days
from orchestra.cron.expression import parse_cron
from orchestra.cron.occurrences import upcoming
from orchestra.cron.sentence import expression_of, sentence
from orchestra.timetable import Timetable

PREVIEW_INSTANTS = 10


class SchedulePreview(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule before it is in force."""

    expression: str
    zone: str
    sentence: str
    next: tuple[datetime, ...]
    clock_changes: tuple[ClockChangeDay, ...]
    warnings: tuple[str, ...]


def preview(timetable: Timetable, now: Instant) -> SchedulePreview:
    """Everything that can be told of a checked schedule. Raises BadCron, UnknownZone, CronEngineMissing."""
    following = upcoming(timetable, now, PREVIEW_INSTANTS)
    return SchedulePreview(
        expression=expression_of(timetable),
        zone=timetable.zone,
        sentence=sentence(timetable),
        next=tuple(to_datetime(instant) for instant in following),
        clock_changes=clock_change_days(timetable, now) if following else (),
        warnings=tuple(_warnings(timetable, never=not following)),
    )


def _warnings(timetable: Timetable, *, never: bool) -> list[str]:
    if never:
        return ["it is never due: no day fits all that is asked"] if timetable.triggers else []
    return [
        warning
        for trigger in timetable.triggers
        if trigger.cron is not None
        for warning in _cron_warnings(parse_cron(trigger.cron, timetable.spread_by).text)
    ]


def _cron_warnings(text: str) -> list[str]:
    found = []
    seconds, minutes, hours, days, _, weekdays, *_ = text.split(" ")
    if seconds == "*" and minutes != "*":
        found.append("it is due every second of each of its minutes: write 0 as the first field for once a minute")
    if minutes == "*" and not hours.startswith("*"):
        found.append("it is due every minute of each of its hours: write a number as the minute for once an hour")
    if days != "*" and weekdays != "*":
        # The old rule of cron, which the engine keeps.
        if days.startswith("*") or weekdays.startswith("*"):
            found.append("day of the month and weekday must both fit, not one of them, because one begins with *")
        else:
            found.append(
                "it is due on its days of the month and also on its weekdays: either is enough, as in any cron"
            )
    return found
