"""Cron expressions and their instants on ordinary days, and the sentence that says them."""

import sys

import pytest

from orchestra.clock import Instant, from_datetime, rfc3339
from orchestra.cron.expression import BadCron, parse_cron
from orchestra.cron.occurrences import next_after, upcoming
from orchestra.cron.sentence import sentence
from orchestra.cron.wall_clock import UnknownZone, zone_of
from orchestra.cron.walls import CronEngineMissing
from orchestra.timetable import Timetable
from tests.core.cron_cases import at
from tests.support.timetables import by_cron, every

ERRORS = [
    ("61 * * * *", "'61' is no minute (0 to 59)", 0, 2),
    ("* 25 * * *", "'25' is no hour (0 to 23)", 2, 2),
    ("0 0 1,32 * *", "'32' is no day of month (1 to 31)", 6, 2),
    ("0 0 * jam *", "'jam' is no month (1 to 12 or jan to dec)", 6, 3),
    ("0 0 * * 8", "'8' is no weekday (0 to 7 or sun to sat)", 8, 1),
    ("*/0 * * * *", "the step '0' is no number from 1 to 59", 0, 3),
    ("0 22-6 * * *", "the range 22-6 runs backwards", 2, 4),
    ("0 0 30 2 *", "no year has such a day", 0, 10),
    ("* * *", "it has 3 fields", 0, 5),
    ("", "it has 0 fields", 0, 0),
    ("@reboot", "a schedule knows no reboot", 0, 7),
    ("@dayly", "'@dayly' is not known", 0, 6),
    ("H 2 * * *", "`H` is chosen by the name of a job, and here is none", 0, 1),
    ("０ 2 * * *", "'０' is no minute (0 to 59)", 0, 1),
    ("-5 * * * *", "'' is no minute (0 to 59)", 0, 2),
]
SAME = [
    ("@daily", "0 0 0 * * *"),
    ("  30 2 * * mon-FRI ", "0 30 2 * * 1-5"),
    ("*/10 * * * * *", "*/10 * * * * *"),
    ("5/15 * * * *", "0 5-59/15 * * * *"),
    ("0 0 ? * 5L", "0 0 0 * * l5"),
    ("0 0 L * ?", "0 0 0 l * *"),
    ("0 0 * * fri#2", "0 0 0 * * 5#2"),
    ("0 0 * * fri-sun", "0 0 0 * * 0,5,6"),
    ("0 0 * * 0-0", "0 0 0 * * 0"),
    ("0 0 * * 7", "0 0 0 * * 0"),
    ("9-9 * * * *", "0 9 * * * *"),
]


@pytest.mark.parametrize(("text", "words", "offset", "length"), ERRORS)
def test_what_is_no_expression_is_refused_with_its_place(text: str, words: str, offset: int, length: int) -> None:
    with pytest.raises(BadCron) as caught:
        parse_cron(text)

    assert (caught.value.sentence, caught.value.offset, caught.value.length) == (words, offset, length)
    assert caught.value.remedy


@pytest.mark.parametrize(("text", "canonical"), SAME)
def test_every_notation_becomes_six_fields(text: str, canonical: str) -> None:
    assert parse_cron(text).text == canonical


@pytest.mark.parametrize(
    ("cron", "zone", "start", "expected"),
    [
        ("30 2 * * *", "Europe/Paris", "2026-07-01T00:00:00+00:00", "2026-07-01T00:30:00.000Z"),
        ("30 2 * * *", "Europe/Paris", "2026-07-01T00:30:00+00:00", "2026-07-02T00:30:00.000Z"),
        ("30 2 * * *", "Europe/Paris", "2026-07-01T00:29:59.999999+00:00", "2026-07-01T00:30:00.000Z"),
        ("*/20 * * * * *", "UTC", "2026-07-01T00:00:20.5+00:00", "2026-07-01T00:00:40.000Z"),
        ("0 0 L * *", "UTC", "2028-02-01T00:00:00+00:00", "2028-02-29T00:00:00.000Z"),
        ("0 0 * * 5L", "UTC", "2026-07-01T00:00:00+00:00", "2026-07-31T00:00:00.000Z"),
        ("0 0 * * mon#2", "UTC", "2026-07-01T00:00:00+00:00", "2026-07-13T00:00:00.000Z"),
        # Day of month and weekday together: either, unless one of them begins with a star.
        ("0 0 13 * 5", "UTC", "2026-07-11T00:00:00+00:00", "2026-07-13T00:00:00.000Z"),
        ("0 0 */2 * 5", "UTC", "2026-07-01T00:00:00+00:00", "2026-07-03T00:00:00.000Z"),
        ("0 0 29 2 *", "UTC", "2026-07-01T00:00:00+00:00", "2028-02-29T00:00:00.000Z"),
    ],
)
def test_an_expression_is_due_at_its_next_instant(cron: str, zone: str, start: str, expected: str) -> None:
    found = next_after(by_cron(cron, zone=zone), at(start))

    assert found is not None
    assert rfc3339(found) == expected


def test_every_counts_from_the_epoch_so_that_a_restart_does_not_shift_it() -> None:
    quarter = every(900)

    found = upcoming(quarter, at("2026-07-01T00:07:13+00:00"), 2)

    assert [rfc3339(instant) for instant in found] == ["2026-07-01T00:15:00.000Z", "2026-07-01T00:30:00.000Z"]


def test_a_day_that_never_comes_is_no_instant() -> None:
    # Not refused as an expression, because ranges are not looked at: the end of February.
    assert next_after(by_cron("0 0 30-31 2 *"), Instant(0)) is None


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe", "a\0b"])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(UnknownZone, match="is no time zone"):
        zone_of(zone)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (
            by_cron("30 2 * * 1-5", zone="Europe/Paris"),
            "At 02:30, Monday through Friday (Europe/Paris)",
        ),
        (by_cron("@daily"), "At 00:00 (UTC)"),
        (by_cron("0 0 * * 5L"), "At 00:00, on the last Friday of the month (UTC)"),
        (by_cron("*/10 * * * * *"), "Every 10 seconds (UTC)"),
        (every(900), "Every 15 min"),
    ],
)
def test_a_schedule_is_said_as_a_sentence(schedule: Timetable, words: str) -> None:
    assert sentence(schedule) == words


def test_an_instant_of_the_far_future_is_still_computed() -> None:
    assert next_after(by_cron("@yearly"), from_datetime_of_2190()) is not None


def from_datetime_of_2190() -> Instant:
    """Beyond 32 bits."""
    from datetime import UTC, datetime

    return from_datetime(datetime(2190, 6, 1, tzinfo=UTC))


def test_without_the_engine_an_expression_is_still_checked_and_the_remedy_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "croniter", None)
    monkeypatch.setitem(sys.modules, "cron_descriptor", None)
    schedule = by_cron("30 2 * * *")

    assert sentence(schedule) == "0 30 2 * * * (UTC)"
    with pytest.raises(CronEngineMissing, match="install this program with its 'server' extra"):
        next_after(schedule, Instant(0))
