"""Time as a value: instants, and the port through which every part reads its clock."""

import time
from typing import TYPE_CHECKING, NewType, Protocol

if TYPE_CHECKING:
    from datetime import datetime

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01 00:00 UTC, leap seconds ignored. Stored and sent as a plain integer."""

MICROSECONDS_PER_SECOND = 1_000_000


class Clock(Protocol):
    """The port for time, so that tests and the simulator can turn the hands."""

    def now(self) -> Instant:
        """The wall clock, for what people see and for what is stored."""

    def monotonic(self) -> float:
        """Seconds that never go back and that count a suspended machine, for leases and silences."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Instant:
        """The wall clock of this machine."""
        return Instant(time.time_ns() // 1000)

    def monotonic(self) -> float:
        """Seconds since boot, suspension included (CLOCK_BOOTTIME where the system has it)."""
        return time.clock_gettime(_BOOTTIME)


_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def after(instant: Instant, seconds: float) -> Instant:
    """The instant so many seconds later (or earlier, for a negative number)."""
    return Instant(instant + round(seconds * MICROSECONDS_PER_SECOND))


def seconds_between(earlier: Instant, later: Instant) -> float:
    """Seconds from one instant to another; negative if they are in the other order."""
    return (later - earlier) / MICROSECONDS_PER_SECOND


def to_datetime(instant: Instant) -> "datetime":
    """The instant as an aware datetime in UTC."""
    from datetime import UTC, datetime  # Half a megabyte that the keeper, which tells nobody a date, does without.

    seconds, microseconds = divmod(instant, MICROSECONDS_PER_SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def from_datetime(moment: "datetime") -> Instant:
    """The instant of an aware datetime; a naive one raises ValueError, because its zone would be a guess."""
    from datetime import UTC

    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    whole = moment.astimezone(UTC)
    return Instant(int(whole.replace(microsecond=0).timestamp()) * MICROSECONDS_PER_SECOND + whole.microsecond)


def rfc3339(instant: Instant) -> str:
    """The instant as text for people and programs: RFC 3339 in UTC with milliseconds."""
    return to_datetime(instant).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant // 1000 % 1000:03d}Z"
