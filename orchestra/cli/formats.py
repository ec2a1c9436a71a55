"""Times, lengths and sizes as people read and type them on the command line."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

import click

from orchestra.durations import BadDuration, duration_in_words, parse_duration


def local_time(text: str | None, zone: tzinfo | None) -> str:
    """An RFC 3339 instant in this zone (None: this machine's) with the zone's name; "-" if there is none."""
    moment = moment_of(text)
    if moment is None:
        return "-"
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def moment_of(text: str | None) -> datetime | None:
    """The instant in an answer, aware; None if there is none or it is unreadable."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def length_in_words(seconds: float | None) -> str:
    """A length of time in words, "-" if there is none."""
    return "-" if seconds is None else duration_in_words(seconds)


def elapsed(started: str | None, ended: str | None, now: datetime) -> float | None:
    """Seconds from one instant of an answer to another, or until now; None if it has not begun."""
    begin = moment_of(started)
    if begin is None:
        return None
    return max(0.0, ((moment_of(ended) or now) - begin).total_seconds())


def duration_option(_context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """What `--timeout 30m` means in seconds: a callback for options."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except BadDuration as error:
        raise click.BadParameter(str(error), param=parameter) from None


def instant_option(text: str, now: datetime) -> str:
    """`2d` (so long ago), or an ISO date or time (local unless it names a zone), as RFC 3339 in UTC."""
    try:
        if re.fullmatch(r"[\d.]+[a-z][\da-z.]*", text):
            moment = now - timedelta(seconds=parse_duration(text))
        else:
            moment = datetime.fromisoformat(text).astimezone()
    except (BadDuration, ValueError):
        raise click.BadParameter(f"{text!r} is neither a duration such as 2d nor a date such as 2026-03-01") from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def byte_size(count: float | None) -> str:
    """A number of bytes in the largest fitting binary unit."""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
