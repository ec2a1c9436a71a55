"""When a run is expected and when it is missed: every case of the pure decision."""

from datetime import datetime

import pytest

from orchestra.clock import Instant, from_datetime
from orchestra.cron.expected import Outlook, Watched, comes_for, expectation_sentence, expected_at, look
from orchestra.specification import ExpectationSpecification
from tests.support.timetables import by_cron

DAILY = ExpectationSpecification(every_seconds=86_400, grace_seconds=7200)
AT_TWO = ExpectationSpecification(timetable=by_cron("0 2 * * *", zone="Europe/Paris"), grace_seconds=7200)
NEVER_AGAIN = ExpectationSpecification(timetable=by_cron("0 0 2 1 1 ? 2026"), grace_seconds=7200)


def at(written: str) -> Instant:
    return from_datetime(datetime.fromisoformat(f"{written}+00:00"))


def watched(
    expectation: ExpectationSpecification, since: str, last_start: str | None, look_at: str | None = None
) -> Watched:
    start = None if last_start is None else at(last_start)
    return Watched(
        expectation=expectation, since=at(since), last_start=start, look_at=at(look_at) if look_at else Instant(0)
    )


@pytest.mark.parametrize(
    ("expectation", "begin", "due"),
    [
        (DAILY, "2026-11-21 10:00", "2026-11-22 10:00"),
        (AT_TWO, "2026-11-21 10:00", "2026-11-22 01:00"),
        # Two machines' clocks differ by less than a minute: this is the run of two o'clock.
        (AT_TWO, "2026-11-22 00:59:30", "2026-11-23 01:00"),
        (AT_TWO, "2026-11-22 00:58", "2026-11-22 01:00"),
        # The night when two o'clock does not exist: at three.
        (AT_TWO, "2027-03-27 12:00", "2027-03-28 01:00"),
        (NEVER_AGAIN, "2026-11-21 10:00", None),
    ],
)
def test_the_next_run_is_expected(expectation: ExpectationSpecification, begin: str, due: str | None) -> None:
    assert expected_at(expectation, at(begin)) == (None if due is None else at(due))


@pytest.mark.parametrize(
    ("facts", "now", "outlook"),
    [
        # Never run: since it was defined.
        (watched(DAILY, "2026-11-21 10:00", None), "2026-11-22 11:59:59", Outlook(look_at=at("2026-11-22 12:00"))),
        (
            watched(DAILY, "2026-11-21 10:00", None, "2026-11-22 12:00"),
            "2026-11-22 12:00",
            Outlook(missed=at("2026-11-22 10:00")),
        ),
        # Since the last run, not since the definition.
        (
            watched(DAILY, "2026-11-21 10:00", "2026-11-22 09:00", "2026-11-22 12:00"),
            "2026-11-22 12:00",
            Outlook(look_at=at("2026-11-23 11:00")),
        ),
        # A run from before does not count: the expectation was changed, or the job enabled, later.
        (
            watched(DAILY, "2026-11-21 10:00", "2026-11-20 09:00", "2026-11-22 12:00"),
            "2026-11-22 12:00",
            Outlook(missed=at("2026-11-22 10:00")),
        ),
        (
            watched(AT_TWO, "2026-11-21 10:00", "2026-11-22 01:00:05", "2026-11-22 03:00"),
            "2026-11-22 03:00",
            Outlook(look_at=at("2026-11-23 03:00")),
        ),
        (
            watched(AT_TWO, "2026-11-21 10:00", "2026-11-21 18:00", "2026-11-22 03:00"),
            "2026-11-22 03:00:30",
            Outlook(missed=at("2026-11-22 01:00")),
        ),
        # Nobody looked when it was time: what was kept meanwhile gets five minutes to be delivered.
        (
            watched(DAILY, "2026-11-21 10:00", None, "2026-11-22 12:00"),
            "2026-11-25 08:00",
            Outlook(look_at=at("2026-11-25 08:05")),
        ),
        (
            watched(DAILY, "2026-11-21 10:00", None, "2026-11-25 08:05"),
            "2026-11-25 08:05:01",
            Outlook(missed=at("2026-11-22 10:00")),
        ),
        # A clock that was set back decides nothing.
        (
            watched(DAILY, "2026-11-21 10:00", None, "2026-11-22 12:00"),
            "2026-11-20 12:00",
            Outlook(look_at=at("2026-11-22 12:00")),
        ),
        (watched(NEVER_AGAIN, "2026-11-21 10:00", None), "2026-11-22 12:00", Outlook()),
    ],
)
def test_a_look_finds(facts: Watched, now: str, outlook: Outlook) -> None:
    assert look(facts, at(now)) == outlook


@pytest.mark.parametrize(
    ("expectation", "start", "due", "comes"),
    [
        (DAILY, "2026-11-22 10:00:01", "2026-11-23 10:00", True),
        (DAILY, "2026-11-22 10:00", "2026-11-23 10:00", False),
        (AT_TWO, "2026-11-22 00:59:30", "2026-11-22 01:00", True),
        (AT_TWO, "2026-11-21 23:00", "2026-11-22 01:00", False),
        (NEVER_AGAIN, "2026-11-21 23:00", "2026-01-01 02:00", True),
    ],
)
def test_a_run_comes_for_an_instant_or_does_not(
    expectation: ExpectationSpecification, start: str, due: str, comes: bool
) -> None:
    assert comes_for(expectation, at(start), at(due)) is comes


def test_an_expectation_is_told_in_a_sentence() -> None:
    assert expectation_sentence(DAILY) == "a run every 1 d, at most 2 h late"
    assert expectation_sentence(AT_TWO) == "a run at 02:00 (Europe/Paris), at most 2 h late"
