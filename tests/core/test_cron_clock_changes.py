"""The nights when clocks change, against the declared policy and against an independent engine."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.clock import Instant, after, from_datetime, to_datetime
from orchestra.cron.occurrences import next_after, upcoming
from orchestra.timetable import Timetable
from tests.core.cron_cases import at
from tests.support.timetables import by_cron, every

ZONES = (
    "Europe/Paris",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "UTC",
)
# The independent engine steps by whole hours: it is wrong where a clock changes by half of one, or at midnight.
WHOLE_HOUR_ZONES = tuple(zone for zone in ZONES if zone not in ("Australia/Lord_Howe", "America/Santiago"))
# Evenings before both changes of 2026 in Paris, New York, Sydney, Lord Howe, Santiago, and ordinary days.
STARTS = (
    "2026-03-28T12:00",
    "2026-10-24T12:00",
    "2026-03-07T12:00",
    "2026-10-31T12:00",
    "2026-04-04T00:00",
    "2026-10-03T00:00",
    "2026-09-05T12:00",
    "2026-02-14T12:00",
    "2026-03-21T12:00",
    "2026-07-01T00:00",
)


def local(schedule: Timetable, start: str, count: int) -> list[str]:
    """The next instants as wall-clock time with offset."""
    zone = ZoneInfo(schedule.zone)
    return [to_datetime(found).astimezone(zone).isoformat() for found in upcoming(schedule, at(start), count)]


def test_a_fixed_time_in_the_gap_fires_once_at_the_first_instant_that_exists() -> None:
    schedule = by_cron("30 2 * * *", zone="Europe/Paris")

    assert local(schedule, "2026-03-28T12:00+01:00", 2) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]


def test_two_fixed_times_in_the_gap_and_the_one_at_its_end_are_one_instant() -> None:
    schedule = by_cron("0,20,40 2,3 * * *", zone="Europe/Paris")

    assert local(schedule, "2026-03-28T12:00+01:00", 2) == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:20:00+02:00"]


def test_a_fixed_time_that_comes_twice_fires_in_the_first_pass_only() -> None:
    schedule = by_cron("30 2 * * *", zone="Europe/Paris")

    assert local(schedule, "2026-10-24T12:00+02:00", 2) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


@pytest.mark.parametrize("start", ["2026-10-25T02:10+01:00", "2026-10-25T02:45+02:00", "2026-10-25T02:59:59+01:00"])
def test_a_fixed_time_does_not_fire_again_from_within_the_repeated_hour(start: str) -> None:
    schedule = by_cron("30 2 * * *", zone="Europe/Paris")

    assert local(schedule, start, 1) == ["2026-10-26T02:30:00+01:00"]


def test_a_wildcard_follows_the_clock_through_gap_and_overlap() -> None:
    half_hours = by_cron("*/30 * * * *", zone="Europe/Paris")

    assert local(half_hours, "2026-03-29T01:20+01:00", 3) == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:30:00+02:00",
    ]
    assert local(half_hours, "2026-10-25T02:10+02:00", 4) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


def test_a_wildcard_minute_in_the_gap_does_not_fire_that_night() -> None:
    schedule = by_cron("*/30 2 * * *", zone="Europe/Paris")

    assert local(schedule, "2026-03-28T12:00+01:00", 1) == ["2026-03-30T02:00:00+02:00"]


def test_the_second_pass_is_found_even_if_the_next_match_is_a_year_away() -> None:
    schedule = by_cron("*/30 2 25 10 *", zone="Europe/Paris")

    assert local(schedule, "2026-10-25T02:40+02:00", 2) == ["2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00"]


def test_the_first_pass_is_found_from_the_winter_before() -> None:
    schedule = by_cron("* 1 * 11 *", zone="America/New_York")

    assert local(schedule, "2026-02-14T12:00-05:00", 1) == ["2026-11-01T01:00:00-04:00"]


def test_a_change_of_thirty_minutes_is_handled_like_any_other() -> None:
    fixed = by_cron("15 2 * * *", zone="Australia/Lord_Howe")
    each = by_cron("*/15 * * * *", zone="Australia/Lord_Howe")

    assert local(fixed, "2026-10-03T12:00+10:30", 2) == ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]
    assert local(each, "2026-10-04T01:50+10:30", 1) == ["2026-10-04T02:30:00+11:00"]
    assert local(each, "2026-04-05T01:50+11:00", 2) == ["2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30"]


def test_a_day_that_a_zone_skipped_fires_at_its_end() -> None:
    schedule = by_cron("0 12 30 12 *", zone="Pacific/Apia")

    assert local(schedule, "2011-12-01T00:00+00:00", 1) == ["2011-12-31T00:00:00+14:00"]


def test_every_is_elapsed_time_and_knows_no_clock_change() -> None:
    schedule = every(3600, zone="Europe/Paris")

    found = upcoming(schedule, at("2026-10-25T00:30+02:00"), 5)

    assert {later - earlier for earlier, later in pairwise(found)} == {3_600_000_000}


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """One field of an expression."""
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    lists = st.lists(number, min_size=2, max_size=3, unique=True).map(lambda each: ",".join(map(str, sorted(each))))
    return st.one_of(
        st.just("*"), number.map(str), st.integers(2, min(20, high)).map(lambda step: f"*/{step}"), spans, lists
    )


EXPRESSIONS = st.tuples(field(0, 59), field(0, 4), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(
    cron=EXPRESSIONS,
    zone=st.sampled_from(WHOLE_HOUR_ZONES),
    start=st.sampled_from(STARTS),
    minutes=st.integers(0, 2160),
)
def test_the_instants_are_those_of_an_independent_engine(cron: str, zone: str, start: str, minutes: int) -> None:
    begin = from_datetime(datetime.fromisoformat(start).replace(tzinfo=UTC) + timedelta(minutes=minutes))

    ours = upcoming(by_cron(cron, zone=zone), begin, 4)

    assert ours == oracle(cron, zone, begin, 4)


def oracle(cron: str, zone: str, begin: Instant, count: int) -> list[Instant]:
    """CronSim's instants; it gives one twice if two walls of a gap fall together, and may begin in the past."""
    found: list[Instant] = []
    for moment in CronSim(cron, to_datetime(begin).astimezone(ZoneInfo(zone))):
        instant = from_datetime(moment)
        if instant > begin and instant not in found:
            found.append(instant)
        if len(found) == count:
            break
    return found


@settings(max_examples=30, deadline=None)
@given(cron=EXPRESSIONS, zone=st.sampled_from(ZONES), start=st.sampled_from(STARTS), minutes=st.integers(0, 2160))
def test_the_instants_are_those_of_a_walk_through_every_minute(cron: str, zone: str, start: str, minutes: int) -> None:
    begin = from_datetime(datetime.fromisoformat(start).replace(tzinfo=UTC) + timedelta(minutes=minutes))
    every_day = " ".join([*cron.split()[:2], "* * *"])

    expected = walk(every_day, ZoneInfo(zone), begin, hours=48)

    assert upcoming(by_cron(every_day, zone=zone), begin, len(expected)) == expected


def walk(cron: str, zone: ZoneInfo, begin: Instant, hours: int) -> list[Instant]:
    """The policy in its plainest form: looks at every minute, and remembers how far the wall clock has come."""
    minutes, day_hours = CronSim(cron, datetime(2026, 1, 1)).minutes, CronSim(cron, datetime(2026, 1, 1)).hours
    follows = cron.split(maxsplit=1)[0].startswith("*") or cron.split()[1].startswith("*")
    minute = timedelta(minutes=1)
    found: list[Instant] = []
    farthest = to_datetime(after(begin, -4 * 3600)).astimezone(zone).replace(tzinfo=None)
    for number in range(-240, hours * 60):
        instant = after(begin, (number + 1) * 60)
        wall = to_datetime(instant).astimezone(zone).replace(tzinfo=None)
        fires = follows and wall.minute in minutes and wall.hour in day_hours
        while not follows and farthest < wall:
            farthest += minute
            fires = fires or (farthest.minute in minutes and farthest.hour in day_hours)
        if fires and instant > begin:
            found.append(instant)
    return found


def test_instants_only_ever_go_forward() -> None:
    chance = random.Random(7)
    for _ in range(200):
        cron = f"{chance.choice(['*/7', '15', '0,30'])} {chance.choice(['*', '2', '1-3'])} * * *"
        schedule = by_cron(cron, zone=chance.choice(ZONES))
        instant = after(at(chance.choice(STARTS) + "+00:00"), chance.uniform(0, 86_400))

        found = upcoming(schedule, instant, 5)

        assert found == sorted(set(found))
        assert found[0] > instant
        assert next_after(schedule, Instant(found[0] - 1)) == found[0]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", ["30 2 * * *", "5/20 1-3 * * *", "0 0 1 1 *", "10 30 2 * * *", "0 0 30-31 2 *"])
@pytest.mark.parametrize(
    "begin", ["2026-03-28T00:00:00.5+00:00", "2026-10-25T00:40:00+00:00", "2026-10-25T01:40:00+00:00"]
)
def test_many_instants_at_once_are_those_that_come_one_by_one(zone: str, cron: str, begin: str) -> None:
    specification = by_cron(cron, zone=zone)
    one_by_one: list[Instant] = []
    following = next_after(specification, at(begin))
    while following is not None and len(one_by_one) < 8:
        one_by_one.append(following)
        following = next_after(specification, following)

    assert upcoming(specification, at(begin), 8) == one_by_one
