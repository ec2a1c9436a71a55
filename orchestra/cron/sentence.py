"""A schedule as a sentence: "At 02:30, Monday through Friday (Europe/Paris)"."""

from orchestra.cron.expression import parse_cron
from orchestra.durations import duration_in_words
from orchestra.specification import ScheduleSpecification


def sentence(specification: ScheduleSpecification) -> str:
    """What people read instead of the expression; without the library for it, the expression itself. Raises BadCron."""
    if specification.every_seconds is not None:
        return f"Every {duration_in_words(specification.every_seconds)}"
    text = parse_cron(specification.cron or "").text
    return f"{_described(text)} ({specification.zone})"


def _described(text: str) -> str:
    try:
        from cron_descriptor import FormatError, Options, get_description
    except ImportError:
        return text
    options = Options()
    options.use_24hour_time_format = True
    # It knows the last weekday as `5L`, the engine as `l5`.
    seconds, *others, weekday = text.split(" ")
    if weekday.startswith("l"):
        weekday = f"{weekday[1:]}L"
    described = " ".join(([] if seconds == "0" else [seconds]) + [part.upper() for part in others] + [weekday])
    try:
        return str(get_description(described, options))
    except FormatError:
        return text
