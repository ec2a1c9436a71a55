"""What a schedule will do: its sentence, its next instants, the clock changes, and what is probably not meant."""

from datetime import datetime

import msgspec

from orchestra.clock import Instant, to_datetime
from orchestra.cron.clock_changes import ClockChangeDay, clock_change_days
from orchestra.cron.expression import parse_cron
from orchestra.cron.occurrences import upcoming
from orchestra.cron.sentence import expression_of, sentence
from orchestra.specification import ScheduleSpecification

PREVIEW_INSTANTS = 10


class SchedulePreview(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule before it is in force."""

    expression: str
    zone: str
    sentence: str
    next: tuple[datetime, ...]
    clock_changes: tuple[ClockChangeDay, ...]
    warnings: tuple[str, ...]


def preview(specification: ScheduleSpecification, now: Instant) -> SchedulePreview:
    """Everything that can be told of a checked schedule. Raises BadCron, UnknownZone, CronEngineMissing."""
    following = upcoming(specification, now, PREVIEW_INSTANTS)
    return SchedulePreview(
        expression=expression_of(specification),
        zone=specification.zone,
        sentence=sentence(specification),
        next=tuple(to_datetime(instant) for instant in following),
        clock_changes=clock_change_days(specification, now) if following else (),
        warnings=tuple(_warnings(specification, never=not following)),
    )


def _warnings(specification: ScheduleSpecification, *, never: bool) -> list[str]:
    if never:
        return ["it is never due: no day fits all of its fields"]
    if specification.cron is None:
        return []
    found = []
    seconds, minutes, hours, days, _, weekdays = parse_cron(specification.cron).text.split(" ")
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
