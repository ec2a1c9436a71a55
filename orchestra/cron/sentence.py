"""A timetable as a sentence: "At 02:30, Monday through Friday (Europe/Paris)"."""

from functools import lru_cache

from orchestra.cron.expression import parse_cron
from orchestra.durations import duration_in_words, format_duration
from orchestra.timetable import Timetable, Trigger

NO_TRIGGER = "Only when somebody starts it"


def expression_of(timetable: Timetable) -> str:
    """The triggers as the definition has them: `30 2 * * *`, `every 15m`, `at 2026-12-24T18:00:00`, `manual`."""
    return " + ".join(_written(trigger) for trigger in timetable.triggers) or "manual"


def sentence(timetable: Timetable) -> str:
    """What people read instead of the expression; without the library for it, the expression itself. Raises BadCron."""
    if not timetable.triggers:
        return NO_TRIGGER
    first, *more = (_told(trigger, timetable) for trigger in timetable.triggers)
    told = "; and ".join((first, *(each[:1].lower() + each[1:] for each in more)))
    needs_zone = any(trigger.every_seconds is None for trigger in timetable.triggers)
    return " ".join([told, *_bounds(timetable), *([f"({timetable.zone})"] if needs_zone else [])])


def _written(trigger: Trigger) -> str:
    if trigger.at is not None:
        return f"at {trigger.at}"
    return trigger.cron or f"every {format_duration(trigger.every_seconds or 0.0)}"


def _told(trigger: Trigger, timetable: Timetable) -> str:
    if trigger.every_seconds is not None:
        return f"Every {duration_in_words(trigger.every_seconds)}"
    if trigger.at is not None:
        return f"Once, on {trigger.at.replace('T', ' at ')}"
    return _described(parse_cron(trigger.cron or "", timetable.spread_by).text)


def _bounds(timetable: Timetable) -> list[str]:
    found = []
    if timetable.only_in:
        found.append(f"on days of {' or '.join(each.name for each in timetable.only_in)}")
    if timetable.not_in:
        found.append(f"except on days of {' or '.join(each.name for each in timetable.not_in)}")
    if timetable.start:
        found.append(f"from {timetable.start}")
    if timetable.end:
        found.append(f"until {timetable.end}")
    return found


def _described(text: str) -> str:
    try:
        import cron_descriptor  # noqa: F401 - asked each time, so that what is remembered does not outlive the package
    except ImportError:
        return text
    return _in_words(text)


@lru_cache(maxsize=1024)
def _in_words(text: str) -> str:
    from cron_descriptor import FormatError, Options, get_description

    options = Options()
    options.use_24hour_time_format = True
    # It knows the last weekday as `5L`, the engine as `l5`.
    seconds, *others, weekday = text.split(" ")[:6]
    if weekday.startswith("l"):
        weekday = f"{weekday[1:]}L"
    parts = [seconds, *(part.upper() for part in others), weekday, *text.split(" ")[6:]]
    try:
        return str(get_description(" ".join(parts[1:] if seconds == "0" and len(parts) == 6 else parts), options))
    except FormatError:
        return text
