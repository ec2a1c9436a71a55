"""When a run that somebody asks for shall start: now, after a delay, or at a moment that is named."""

from datetime import datetime

from orchestra.clock import Instant, from_datetime, rfc3339, seconds_between
from orchestra.cron.days import instant_of
from orchestra.cron.wall_clock import UnknownZone, zone_of
from orchestra.durations import duration_in_words
from orchestra.errors import InvalidFields
from orchestra.limits import DELAY_SECONDS_MAX, RUN_AT_PAST_SECONDS_MAX

_UTC = "UTC"
_SUCH_AS = "write one such as 2026-12-24T18:00, or 2026-12-24T18:00+01:00"


def start_delay_seconds(*, delay_seconds: float, run_at: str | None, zone: str | None, now: Instant) -> float:
    """How long the run waits. `run_at` is a time by the clocks of `zone` (UTC), or has an offset; raises InvalidFields.

    A time that comes twice is the first one, one that clocks leave out is the first instant after the gap. What has
    passed within the last minute is now: clocks differ, and a form takes its time.
    """
    if not 0.0 <= delay_seconds <= DELAY_SECONDS_MAX:
        raise InvalidFields([("/delay_seconds", f"must be from 0 to {DELAY_SECONDS_MAX:.0f}")])
    if run_at is None:
        if zone is not None:
            raise InvalidFields([("/zone", "is the zone of `run_at`, which is not given")])
        return delay_seconds
    if delay_seconds:
        raise InvalidFields([("/run_at", "stands beside a delay: give one of both")])
    seconds = seconds_between(now, _instant(run_at, zone))
    if seconds < -RUN_AT_PAST_SECONDS_MAX:
        past = duration_in_words(-seconds)
        raise InvalidFields([("/run_at", f"was {past} ago, it is {rfc3339(now)} now: name a moment to come")])
    if seconds > DELAY_SECONDS_MAX:
        raise InvalidFields([("/run_at", f"must be within {DELAY_SECONDS_MAX / 86_400:.0f} days")])
    return max(0.0, seconds)


def _instant(written: str, zone: str | None) -> Instant:
    try:
        clocks = zone_of(zone or _UTC)
    except UnknownZone as error:
        raise InvalidFields([("/zone", str(error))]) from None
    try:
        if len(written.strip()) <= len("2026-12-24"):
            raise ValueError("a day alone is no moment")
        return from_datetime(instant_of(datetime.fromisoformat(written.strip()).isoformat(), clocks))
    except (ValueError, OverflowError):
        raise InvalidFields([("/run_at", f'is no moment: "{written[:60]}"; {_SUCH_AS}')]) from None
