"""A schedule as a sentence: "At 02:30, Monday through Friday (Europe/Paris)"."""

from functools import lru_cache

from orchestra.cron.expression import parse_cron
from orchestra.durations import duration_in_words, format_duration
from orchestra.specification import Overlap, ScheduleSpecification

CATCH_UP = "After a time without a master only the newest due instant makes a run; the older ones are noted as missed."
_OVERLAP = {
    Overlap.SKIP: "While a run of the job is not over, a due instant is skipped.",
    Overlap.ALLOW: "A due instant makes a run even while others of the job are not over.",
}


def policies(specification: ScheduleSpecification) -> tuple[str, ...]:
    """What happens when instants and runs get in each other's way, as sentences."""
    return _OVERLAP[specification.overlap], CATCH_UP


def expression_of(specification: ScheduleSpecification) -> str:
    """The schedule as the definition has it: `30 2 * * *`, or `every 15m`."""
    return specification.cron or f"every {format_duration(specification.every_seconds or 0.0)}"


def sentence(specification: ScheduleSpecification) -> str:
    """What people read instead of the expression; without the library for it, the expression itself. Raises BadCron."""
    if specification.every_seconds is not None:
        return f"Every {duration_in_words(specification.every_seconds)}"
    text = parse_cron(specification.cron or "").text
    return f"{_described(text)} ({specification.zone})"


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
    seconds, *others, weekday = text.split(" ")
    if weekday.startswith("l"):
        weekday = f"{weekday[1:]}L"
    described = " ".join(([] if seconds == "0" else [seconds]) + [part.upper() for part in others] + [weekday])
    try:
        return str(get_description(described, options))
    except FormatError:
        return text
