"""What becomes of instants that have passed: a table of policies, outages, pauses and calendars."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestra.clock import Instant, from_datetime
from orchestra.limits import TICKS_PER_PASS_MAX
from orchestra.specification import CatchUp, ScheduleSpecification
from orchestra.timetable import Calendar, Days, Timetable, Trigger
from orchestra_master.passed_instants import PastPause, Verdict, judge
from tests.support.timetables import every

NOON = datetime(2026, 12, 24, 12, tzinfo=UTC)
LETTER = {
    Verdict.FIRE: "F",
    Verdict.CATCH_UP: "C",
    Verdict.MISS: "m",
    Verdict.PAUSED: "p",
    Verdict.EXCLUDED: "x",
}


def at(minutes: float) -> Instant:
    """So many minutes after noon."""
    return from_datetime(NOON + timedelta(minutes=minutes))


def each_minute(catch_up: CatchUp, limit: int = 100, *, grace: float = 60.0) -> ScheduleSpecification:
    return ScheduleSpecification(timetable=every(60), catch_up=catch_up, catch_up_limit=limit, grace_seconds=grace)


def letters(specification: ScheduleSpecification, now: Instant, pause: PastPause | None = None) -> str:
    """The verdicts about the instants from noon on."""
    return "".join(LETTER[verdict] for _, verdict in judge(specification, at(0), now, pause=pause).verdicts)


@pytest.mark.parametrize(
    ("catch_up", "limit", "now", "expected"),
    [
        # In time: within the grace of a minute each fires, whatever the policy.
        (CatchUp.NONE, 1, 0, "F"),
        (CatchUp.LATEST, 1, 0.5, "F"),
        (CatchUp.ALL, 1, 1, "FF"),
        (CatchUp.NONE, 1, 1, "FF"),
        # Late by half a minute: the newest is in time, so that nothing is caught up unless all is.
        (CatchUp.NONE, 1, 1.5, "mF"),
        (CatchUp.LATEST, 1, 1.5, "mF"),
        (CatchUp.ALL, 100, 1.5, "CF"),
        # After an outage.
        (CatchUp.NONE, 1, 5, "mmmmFF"),
        (CatchUp.LATEST, 1, 5, "mmmmFF"),
        (CatchUp.ALL, 100, 5, "CCCCFF"),
        (CatchUp.ALL, 2, 5, "mmCCFF"),
        (CatchUp.ALL, 1, 5.5, "mmmmCF"),
    ],
)
def test_what_is_late_is_what_the_catch_up_is_about(catch_up: CatchUp, limit: int, now: float, expected: str) -> None:
    assert letters(each_minute(catch_up, limit), at(now)) == expected


@pytest.mark.parametrize(("catch_up", "expected"), [(CatchUp.NONE, "mm"), (CatchUp.LATEST, "mC"), (CatchUp.ALL, "CC")])
def test_if_no_newer_one_fires_the_newest_late_one_is_the_latest(catch_up: CatchUp, expected: str) -> None:
    hourly = ScheduleSpecification(timetable=every(3600), catch_up=catch_up)

    assert letters(hourly, at(90)) == expected


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    # Paused from 12:01:30 until 12:04:30, decided at 12:04:30: what is due then is late, however short the pause was.
    [(CatchUp.NONE, "mmppp"), (CatchUp.LATEST, "mmppC"), (CatchUp.ALL, "CCCCC")],
)
def test_what_was_due_in_a_pause_is_late_and_says_so(catch_up: CatchUp, expected: str) -> None:
    pause = PastPause(begin=at(1.5), end=at(4.5))

    assert letters(each_minute(catch_up), at(4.5), pause) == expected


def test_behind_a_pause_instants_are_in_time_again() -> None:
    pause = PastPause(begin=at(1.5), end=at(3.5))

    assert letters(each_minute(CatchUp.LATEST), at(4.25), pause) == "mmppF"


@pytest.mark.parametrize(
    ("catch_up", "hours", "expected"),
    [
        (CatchUp.ALL, 0, "x"),
        (CatchUp.LATEST, 12, "xF"),
        (CatchUp.LATEST, 13, "xC"),
        (CatchUp.ALL, 37, "xCCC"),
        (CatchUp.NONE, 37, "xmmm"),
    ],
)
def test_what_a_calendar_excludes_is_neither_fired_nor_caught_up(catch_up: CatchUp, hours: int, expected: str) -> None:
    holidays = Calendar(name="holidays", days=(Days("2026-12-24", "2026-12-24"),))
    timetable = Timetable(triggers=(Trigger(every_seconds=12 * 3600),), not_in=(holidays,))

    found = letters(ScheduleSpecification(timetable=timetable, catch_up=catch_up), at(60 * hours))

    assert found == expected


@pytest.mark.parametrize("limit", [1, 3, 700])
def test_of_very_many_the_first_are_decided_and_the_newest_are_still_caught_up(limit: int) -> None:
    specification, now = each_minute(CatchUp.ALL, limit), at(2 * TICKS_PER_PASS_MAX + 500)
    found: list[Verdict] = []
    cursor: Instant | None = at(0)

    while cursor is not None and cursor <= now:
        judged = judge(specification, cursor, now)
        assert len(judged.verdicts) <= TICKS_PER_PASS_MAX + limit
        found += [verdict for _, verdict in judged.verdicts]
        cursor = judged.cursor

    assert len(found) == 2 * TICKS_PER_PASS_MAX + 501
    assert found[-2:] == [Verdict.FIRE] * 2
    assert found[-2 - limit : -2] == [Verdict.CATCH_UP] * limit
    assert set(found[: -2 - limit]) == {Verdict.MISS}


def test_a_timetable_that_ends_has_no_cursor_afterwards() -> None:
    once = ScheduleSpecification(timetable=Timetable(triggers=(Trigger(at="2026-12-24T12:00:00"),)))

    judged = judge(once, at(0), at(0.5))

    assert judged.verdicts == ((at(0), Verdict.FIRE),)
    assert judged.cursor is None
    assert not judged.are_more(at(0.5))
