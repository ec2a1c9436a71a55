"""When schedules are due, against an independent engine under the declared policy: ten years, seven zones, every night
on which clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from orchestra.clock import Instant, after, from_datetime, to_datetime
from orchestra.cron.calendar import daily_counts
from orchestra.cron.clock_changes import INSTANTS_SHOWN_MAX, clock_change_days
from orchestra.cron.expression import BadCron
from orchestra.cron.occurrences import next_after, upcoming
from orchestra.specification import ScheduleSpecification
from orchestra.timetable import Timetable
from orchestra_master import passed_instants
from orchestra_master.passed_instants import judge
from tests.properties.effort import effort
from tests.properties.schedule_model import FIRST_YEAR, LAST_YEAR, ZONES, changes_of, due_instants, expressions, nights
from tests.support.timetables import by_cron, every

DAY = timedelta(days=1)
INSTANTS_MAX = 40
TICKS_PER_PASS = 5
# The independent engine steps by whole hours: with its own idea of zones it is wrong where a clock changes by half of
# one, or at midnight.
WHOLE_HOUR_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC")
Night = tuple[str, datetime]


@effort(300)
@given(expressions, nights())
def test_around_every_clock_change_of_ten_years_the_instants_are_those_of_the_model(cron: str, night: Night) -> None:
    zone, begin = night
    expected = due_instants(cron, ZoneInfo(zone), begin, begin + 2 * DAY, most=INSTANTS_MAX)

    found = upcoming(by_cron(cron, zone=zone), from_datetime(begin), max(1, len(expected)))

    if expected:
        assert found == expected
    else:
        assert not found or found[0] > from_datetime(begin + 2 * DAY)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 0,3 * * 0", "59 23 L * *"])
def test_every_instant_of_ten_years_is_that_of_the_model(zone: str, cron: str) -> None:
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (FIRST_YEAR, LAST_YEAR))
    expected = due_instants(cron, ZoneInfo(zone), begin, end)

    assert upcoming(by_cron(cron, zone=zone), from_datetime(begin), len(expected)) == expected
    assert len(expected) > 100


@pytest.mark.parametrize("zone", ZONES)
def test_what_follows_the_clock_follows_it_through_every_change_of_ten_years(zone: str) -> None:
    schedule = by_cron("*/30 * * * *", zone=zone)
    for day in changes_of(zone):
        expected = due_instants("*/30 * * * *", ZoneInfo(zone), day, day + DAY)

        assert upcoming(schedule, from_datetime(day), len(expected)) == expected
        assert len(expected) == 48  # By elapsed time a day has as many as any other.


@effort(150)
@given(
    # With seconds it leaves out what a gap has swallowed, instead of having it behind the gap.
    expressions.filter(lambda cron: cron.count(" ") == 4),
    st.sampled_from(WHOLE_HOUR_ZONES),
    st.integers(0, 19),
    st.integers(-1440, 1440),
)
def test_where_clocks_change_by_whole_hours_the_engine_itself_agrees(
    cron: str, zone: str, change: int, minutes: int
) -> None:
    nights_of_zone = changes_of(zone)
    begin = nights_of_zone[change % len(nights_of_zone)] + timedelta(minutes=minutes)
    expected: list[Instant] = []
    for moment in CronSim(cron, begin.astimezone(ZoneInfo(zone))):
        # It gives an instant twice if two times of a gap fall together, and may begin in the past.
        instant = from_datetime(moment)
        if instant > from_datetime(begin) and instant not in expected:
            expected.append(instant)
        if len(expected) == 6:
            break

    assert upcoming(by_cron(cron, zone=zone), from_datetime(begin), 6) == expected


def test_where_a_clock_goes_back_by_half_an_hour_the_engine_itself_leaves_half_an_hour_out() -> None:
    """Why the model asks it for plain times only."""
    zone = ZoneInfo("Australia/Lord_Howe")
    begin = datetime(2026, 4, 5, 1, 59, tzinfo=zone, fold=1)

    engine = next(CronSim("* 2 * * *", begin))
    (ours,) = upcoming(by_cron("* 2 * * *", zone=zone.key), from_datetime(begin), 1)

    assert to_datetime(ours).astimezone(zone).isoformat() == "2026-04-05T02:00:00+10:30"
    assert engine.isoformat() == "2026-04-05T02:30:00+10:30"


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("0 9 1 * 6#1", ["01", "02"]),
        ("0 9 1,9 * 6#2", ["01", "09"]),
        ("0 9 15 * L5", ["15", "29"]),
        ("0 9 */15 * 6#1", []),
        ("0 9 * * 6#1", ["02"]),
    ],
)
def test_a_day_of_the_month_is_enough_beside_a_weekday_with_its_place_in_the_month(cron: str, days: list[str]) -> None:
    schedule = by_cron(cron)

    found = [to_datetime(each) for each in upcoming(schedule, from_datetime(datetime(2016, 1, 1, tzinfo=UTC)), 4)]

    assert [f"{each:%d}" for each in found if (each.year, each.month) == (2016, 1)] == days


# --- what the ticker makes of it ---

clocks = st.lists(st.integers(-7200, 6 * 3600), max_size=8)
"""By how many seconds the clock stands later at each look: time that went by, or a clock that was set back."""


@effort(200)
@given(expressions, nights(), clocks)
def test_every_due_instant_is_decided_once_in_order_whenever_the_ticker_looks(
    cron: str, night: Night, looks: list[int]
) -> None:
    zone, begin = night
    schedule = by_cron(cron, zone=zone)
    expected_end = begin + timedelta(seconds=max([0, *(sum(looks[: end + 1]) for end in range(len(looks)))]))
    expected = due_instants(cron, ZoneInfo(zone), begin, expected_end, most=INSTANTS_MAX)

    decided = looked_at(schedule, from_datetime(begin), looks, most=INSTANTS_MAX)

    assert decided[:INSTANTS_MAX] == expected


def looked_at(schedule: Timetable, begin: Instant, looks: list[int], *, most: int) -> list[Instant]:
    """What a ticker decides about, if it looks so often; it holds nothing but its cursor."""
    decided: list[Instant] = []
    cursor, now = next_after(schedule, begin), begin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passed_instants, "TICKS_PER_PASS_MAX", TICKS_PER_PASS)
        for seconds in looks:
            now = after(now, seconds)
            while cursor is not None and cursor <= now and len(decided) < most:
                judged = judge(ScheduleSpecification(timetable=schedule), cursor, now)
                passed = [at for at, _ in judged.verdicts]
                assert 1 <= len(passed) <= TICKS_PER_PASS + 1
                assert passed[-1] <= now
                assert judged.cursor is None or judged.cursor > passed[-1]
                decided += passed
                cursor = judged.cursor
    return decided


@effort(100)
@given(st.floats(0.001, 90_000), st.integers(0, 2 * 10**9), st.integers(0, 30))
def test_what_counts_elapsed_time_is_due_at_its_multiples(seconds: float, begin: int, count: int) -> None:
    schedule = every(seconds, zone="Europe/Berlin")
    step = max(1, round(seconds * 1_000_000))

    found = upcoming(schedule, Instant(begin * 1_000_000), count)

    first = begin * 1_000_000 // step + 1
    assert found == [Instant((first + number) * step) for number in range(count)]


# --- what people are told ---


@effort(150)
@given(expressions, nights())
def test_the_night_of_a_change_is_told_as_it_will_be(cron: str, night: Night) -> None:
    zone, begin = night
    for told in clock_change_days(by_cron(cron, zone=zone), from_datetime(begin)):
        clock = ZoneInfo(zone)
        midnight = datetime.combine(told.at.astimezone(clock).date(), time())
        first, last = ((midnight + DAY * days).replace(tzinfo=clock).astimezone(UTC) for days in (0, 1))
        expected = [to_datetime(each) for each in due_instants(cron, clock, first - DAY / 12, last)]
        that_day = [each for each in expected if first <= each < last]
        near = [each for each in expected if told.at - timedelta(hours=1) <= each < last]

        assert list(told.instants) == (near[:INSTANTS_SHOWN_MAX] if told.has_more else that_day)
        assert told.has_more == (len(that_day) > INSTANTS_SHOWN_MAX)


@effort(100)
@given(expressions, st.sampled_from(("UTC", "Asia/Kolkata")), st.dates(date(2016, 1, 1), date(2025, 12, 1)))
def test_a_day_of_the_calendar_has_the_count_of_its_instants(cron: str, zone: str, first: date) -> None:
    begin = datetime.combine(first, time(), ZoneInfo(zone))
    counts = [0] * 5
    for instant in due_instants(cron, ZoneInfo(zone), begin - timedelta(microseconds=1), begin + 5 * DAY):
        day = (to_datetime(instant) - begin) // DAY
        if day < 5:
            counts[day] += 1

    assert daily_counts(by_cron(cron, zone=zone), first, 5) == counts


@effort(300)
@given(st.lists(st.text(alphabet="0123456789*/-,L#?@hHsunJAN ", max_size=5), min_size=4, max_size=7).map(" ".join))
def test_a_made_up_expression_is_refused_in_words_or_means_something(cron: str) -> None:
    try:
        following = next_after(by_cron(cron), Instant(0))
    except BadCron as refusal:
        said, (begin, length) = str(refusal), (refusal.offset, refusal.length)
    else:
        assert following is None or following > 0
        return

    assert said.startswith(f"{cron[:80]!r} is no cron expression: ")
    assert 0 <= begin <= begin + length <= len(cron)
