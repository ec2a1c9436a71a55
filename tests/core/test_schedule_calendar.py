"""How often a schedule is due on each day: the same as by walking through every instant."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from orchestra.clock import Instant, from_datetime, to_datetime
from orchestra.cron.calendar import daily_counts
from orchestra.cron.occurrences import next_after
from orchestra.cron.wall_clock import zone_of
from orchestra.timetable import Timetable
from tests.support.timetables import by_cron, every

FIRST = date(2026, 11, 1)


def walked(specification: Timetable, first: date, days: int) -> list[int]:
    """Counts every instant of every day."""
    zone = zone_of(specification.zone)
    counts = [0] * days
    begin = datetime.combine(first, time(), zone).astimezone(UTC)
    end = datetime.combine(first + timedelta(days=days), time(), zone).astimezone(UTC)
    instant = next_after(specification, Instant(from_datetime(begin) - 1))
    while instant is not None and to_datetime(instant) < end:
        counts[(to_datetime(instant).astimezone(zone).date() - first).days] += 1
        instant = next_after(specification, instant)
    return counts


@pytest.mark.parametrize(
    "cron",
    [
        *("30 2 * * *", "@hourly", "*/15 9-17 * * 1-5", "0 0 L * *", "0 9 13 * 5", "0 12 * * fri#2", "0 0 * * 5L"),
        *("5/20 0,12 1-10/3 * *", "0 0 29 2 *", "0 9 */2 * 5", "*/30 0 0 * * 7", "1,2,3 4 5 11 *"),
    ],
)
def test_days_have_the_counts_of_their_instants(cron: str) -> None:
    specification = by_cron(cron, zone="Asia/Kolkata")

    assert daily_counts(specification, FIRST, 30) == walked(specification, FIRST, 30)


def test_elapsed_time_counts_an_hour_more_on_the_long_day() -> None:
    specification = every(900, zone="Europe/Paris")
    first = date(2026, 10, 24)

    assert daily_counts(specification, first, 3) == walked(specification, first, 3) == [96, 100, 96]
