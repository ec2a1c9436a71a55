"""What a schedule must hold, together with the parameters of its job."""

from collections.abc import Iterator, Sequence

from orchestra.cron.expression import BadCron, parse_cron
from orchestra.cron.occurrences import UnknownZone, zone_of
from orchestra.definition import bounds
from orchestra.definition.faults import Fault
from orchestra.definition.parameters import value_fault
from orchestra.definition.problems import Path
from orchestra.definition.values import did_you_mean
from orchestra.durations import format_duration
from orchestra.specification import Parameter, ParameterType, ScheduleSpecification

_UNUSUAL_ZONES = {
    "CET": "Europe/Paris",
    "EST": "America/New_York",
    "PST": "America/Los_Angeles",
    "BST": "Europe/London",
}


def schedule_faults(schedule: ScheduleSpecification, parameters: Sequence[Parameter], path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the schedule at this path."""
    if (schedule.cron is None) == (schedule.every_seconds is None):
        yield Fault(path, "needs either `cron` or `every`", 'write `schedule: "30 2 * * *"` or `schedule: every 15m`')
    elif schedule.every_seconds is not None and schedule.every_seconds not in bounds.EVERY:
        got = format_duration(schedule.every_seconds)
        yield Fault((*path, "every"), f"must be {bounds.EVERY}, got {got}", "write `every: 15m`")
    elif schedule.cron is not None:
        yield from _cron_faults(schedule.cron, (*path, "cron"))
    try:
        zone_of(schedule.zone)
    except UnknownZone:
        meant = _UNUSUAL_ZONES.get(schedule.zone.upper())
        remedy = f"did you mean `{meant}`?" if meant else _nearest_zone(schedule.zone)
        yield Fault((*path, "zone"), f'is no time zone: "{schedule.zone[:60]}"', remedy)
    yield from _value_faults(schedule, parameters, path)


def _cron_faults(expression: str, path: Path) -> Iterator[Fault]:
    try:
        parse_cron(expression)
    except BadCron as bad:
        yield Fault(path, f"is no cron expression: {bad.sentence}", bad.remedy, bad.offset, bad.length, len(expression))


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
