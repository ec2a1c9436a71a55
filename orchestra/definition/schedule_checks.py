"""What a schedule must hold, together with the parameters of its job."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from orchestra.cron.days import stretches
from orchestra.cron.expression import BadCron, parse_cron
from orchestra.cron.wall_clock import UnknownZone, zone_of
from orchestra.definition import bounds
from orchestra.definition.faults import Fault
from orchestra.definition.parameters import value_fault
from orchestra.definition.problems import Path
from orchestra.definition.values import did_you_mean
from orchestra.durations import format_duration
from orchestra.specification import Parameter, ParameterType, ScheduleSpecification
from orchestra.timetable import Calendar, Timetable, Trigger

_MOMENT = "write a day such as 2026-12-24, or a time of it such as 2026-12-24T18:00"
_UNUSUAL_ZONES = {
    "CET": "Europe/Paris",
    "EST": "America/New_York",
    "PST": "America/Los_Angeles",
    "BST": "Europe/London",
}


def schedule_faults(schedule: ScheduleSpecification, parameters: Sequence[Parameter], path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the schedule at this path."""
    timetable = schedule.timetable
    for place, trigger in _places(timetable.triggers, path):
        yield from _trigger_faults(trigger, timetable, place)
    zone_faults = list(_zone_faults(timetable.zone, (*path, "zone")))
    yield from zone_faults
    for key, written in (("start", timetable.start), ("end", timetable.end)):
        if written is not None and not _is_moment(written):
            yield Fault((*path, key), f'is no day and no time: "{written[:60]}"', _MOMENT)
    if not zone_faults:
        yield from _order_faults(timetable, path)
    for key, calendars in (("only-in", timetable.only_in), ("not-in", timetable.not_in)):
        for calendar in calendars:
            yield from _calendar_faults(calendar, (*path, key))
    yield from _bound_fault(schedule.grace_seconds, bounds.SCHEDULE_GRACE, (*path, "grace"))
    yield from _bound_fault(schedule.jitter_seconds, bounds.JITTER, (*path, "jitter"))
    if schedule.catch_up_limit not in bounds.CATCH_UP:
        sentence = f"must be a whole number {bounds.CATCH_UP}, got {schedule.catch_up_limit}"
        yield Fault((*path, "catch-up", "all"), sentence, "write `catch-up: { all: 10 }`")
    yield from _value_faults(schedule, parameters, path)


def _places(triggers: Sequence[Trigger], path: Path) -> Iterator[tuple[Path, Trigger]]:
    """Each trigger with its place in the words of a file: `cron`, or `cron.1` if there are several."""
    kinds = Counter(_kind(trigger) for trigger in triggers)
    seen: Counter[str] = Counter()
    for trigger in triggers:
        kind = _kind(trigger)
        yield ((*path, kind, str(seen[kind])) if kinds[kind] > 1 else (*path, kind)), trigger
        seen[kind] += 1


def _kind(trigger: Trigger) -> str:
    return "every" if trigger.every_seconds is not None else "at" if trigger.at is not None else "cron"


def _trigger_faults(trigger: Trigger, timetable: Timetable, path: Path) -> Iterator[Fault]:
    if sum(each is not None for each in (trigger.cron, trigger.every_seconds, trigger.at)) != 1:
        yield Fault(path, "needs one of `cron`, `every` and `at`", 'write `schedule: "30 2 * * *"`')
    elif trigger.every_seconds is not None:
        yield from _bound_fault(trigger.every_seconds, bounds.EVERY, path)
    elif trigger.at is not None:
        if not _is_moment(trigger.at):
            yield Fault(path, f'is no day and no time: "{trigger.at[:60]}"', _MOMENT)
    else:
        yield from _cron_faults(trigger.cron or "", timetable.spread_by, path)


def _cron_faults(expression: str, spread_by: str | None, path: Path) -> Iterator[Fault]:
    try:
        parse_cron(expression, spread_by)
    except BadCron as bad:
        yield Fault(path, f"is no cron expression: {bad.sentence}", bad.remedy, bad.offset, bad.length, len(expression))


def _bound_fault(seconds: float, bound: bounds.Bound, path: Path) -> Iterator[Fault]:
    if seconds not in bound:
        yield Fault(path, f"must be {bound}, got {format_duration(seconds)}", f"write `{path[-1]}: 15m`")


def _is_moment(written: str) -> bool:
    try:
        datetime.fromisoformat(written)
    except ValueError:
        return False
    return True


def _order_faults(timetable: Timetable, path: Path) -> Iterator[Fault]:
    if not all(_is_moment(each) for each in (timetable.start, timetable.end) if each):
        return
    plain = Timetable(zone=timetable.zone, start=timetable.start, end=timetable.end)
    if not list(stretches(plain, zone_of(plain.zone))):
        yield Fault((*path, "end"), f"comes before the start {timetable.start}", "write a later day")


def _calendar_faults(calendar: Calendar, path: Path) -> Iterator[Fault]:
    """A file's calendars were read day by day; this is for what comes from a program."""
    before = ""
    for first, last in ((days.first, days.last) for days in calendar.days):
        if not (_is_day(first) and _is_day(last) and before < first <= last):
            sentence = (
                f"`{calendar.name[:60]}` has the days {first[:20]} to {last[:20]}, which are none or out of order"
            )
            yield Fault(path, sentence, "write days such as 2026-12-25, in order")
            return
        before = last


def _is_day(written: str) -> bool:
    return len(written) == len("2026-12-24") and _is_moment(written)


def _zone_faults(zone: str, path: Path) -> Iterator[Fault]:
    try:
        zone_of(zone)
    except UnknownZone:
        meant = _UNUSUAL_ZONES.get(zone.upper())
        remedy = f"did you mean `{meant}`?" if meant else _nearest_zone(zone)
        yield Fault(path, f'is no time zone: "{zone[:60]}"', remedy)


def _nearest_zone(zone: str) -> str:
    from zoneinfo import available_timezones

    by_city = {name.rpartition("/")[2].lower(): name for name in sorted(available_timezones())}
    city = zone.rpartition("/")[2].lower().replace(" ", "_")
    if city in by_city:
        return f"did you mean `{by_city[city]}`?"
    return did_you_mean(zone, available_timezones()) or "write one such as Europe/Paris or UTC"


def _value_faults(schedule: ScheduleSpecification, parameters: Sequence[Parameter], path: Path) -> Iterator[Fault]:
    known = {parameter.name: parameter for parameter in parameters}
    for name, value in schedule.parameters.items():
        place = (*path, "parameters", name)
        parameter = known.get(name)
        if parameter is None:
            listed = f"known are {', '.join(known)}" if known else "the job has none"
            yield Fault(place, "is no parameter of the job", did_you_mean(name, known) or listed)
        elif parameter.type is ParameterType.SECRET:
            yield Fault(place, "would write a secret into the definition", "remove it")
        elif (fault := value_fault(parameter, value)) is not None:
            yield Fault(place, fault, "correct the value")
    for parameter in parameters:
        if parameter.required and parameter.default is None and parameter.name not in schedule.parameters:
            sentence = f"gives no value for the required parameter `{parameter.name}`, so it could never fire"
            yield Fault(path, sentence, f"add `parameters: {{ {parameter.name}: … }}` to it, or a default to the job")
