"""The instants of a schedule as plain data: what triggers it, in which zone, and on which days."""

from enum import StrEnum

import msgspec


class Trigger(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule for instants: exactly one of its fields. A timetable without any is one that only people start."""

    cron: str | None = None
    """5 fields, 6 with seconds first, 7 with the year last, or @daily and its kin."""
    every_seconds: float | None = None
    """Counted from 1970-01-01 00:00 UTC, so that a restart does not shift it."""
    at: str | None = None
    """Once: `2026-12-24T18:00:00` by the clocks of the zone, or with an offset of its own."""


class Gap(StrEnum):
    """What becomes of times that do not exist because clocks go forward."""

    RUN_AFTER = "run-after"
    """They are due, together, at the first instant that exists again."""
    SKIP = "skip"


class Repeat(StrEnum):
    """What becomes of times that come twice because clocks go back."""

    FIRST = "first"
    BOTH = "both"


class Days(msgspec.Struct, frozen=True):
    """A stretch of days: the first and the last, as `2026-12-24`."""

    first: str
    last: str


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Named days."""

    name: str
    days: tuple[Days, ...]
    """In order, no stretch beside or inside another."""


class Timetable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a schedule is due: whenever any of its triggers says so, on the days it keeps to."""

    triggers: tuple[Trigger, ...] = ()
    zone: str = "UTC"
    start: str | None = None
    """Not due before: `2026-12-01` (its first instant) or `2026-12-01T08:00:00`, by the clocks of the zone."""
    end: str | None = None
    """Not due later: `2026-12-31` (its last instant) or `2026-12-31T18:00:00` (this instant included)."""
    only_in: tuple[Calendar, ...] = ()
    """Due only on days of any of them; without one, on all days."""
    not_in: tuple[Calendar, ...] = ()
    """On days of any of them it is due, but what is due is skipped."""
    gap: Gap | None = None
    """None: fixed times run after the gap; what follows the clock (`*/15 * * * *`) skips it."""
    repeat: Repeat | None = None
    """None: fixed times run in the first pass; what follows the clock runs in both."""
    spread_by: str | None = None
    """What chooses the numbers of `H`: project and job, such as `ops/nightly`."""
