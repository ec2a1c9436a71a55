"""The corners of timetables and of what becomes of their instants, one by one."""

from datetime import UTC, date, datetime

import pytest

from orchestra.clock import Instant, from_datetime, to_datetime
from orchestra.cron.calendar import daily_counts
from orchestra.cron.clock_changes import clock_change_days
from orchestra.cron.expression import BadCron, parse_cron
from orchestra.cron.occurrences import upcoming
from orchestra.cron.policies import policies
from orchestra.cron.sentence import expression_of, sentence
from orchestra.specification import CatchUp, Overlap, ScheduleSpecification
from orchestra.timetable import Calendar, Days, Gap, Timetable, Trigger
from orchestra_master.passed_instants import Verdict, judge
from tests.support.timetables import by_cron, every

HOLIDAYS = Calendar(name="holidays", days=(Days("2026-12-25", "2026-12-26"),))
WINTER = Calendar(name="winter", days=(Days("2026-12-20", "2027-01-10"), Days("2026-12-24", "2026-12-25")))
AT = "2026-12-24T18:00:00"


def instant(text: str) -> Instant:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def due(timetable: Timetable, count: int = 3, *, since: str = "2026-12-24") -> list[str]:
    """The next instants, without what is the same in all."""
    return [f"{to_datetime(each):%Y-%m-%d %H:%M}" for each in upcoming(timetable, instant(since), count)]


@pytest.mark.parametrize(
    ("timetable", "expression", "told"),
    [
        (Timetable(), "manual", "Only when somebody starts it"),
        (every(90), "every 1m30s", "Every 1 min 30 s"),
        (Timetable(triggers=(Trigger(at=AT),)), f"at {AT}", "Once, on 2026-12-24 at 18:00:00 (UTC)"),
        (
            Timetable(
                triggers=(Trigger(cron="0 9 * * *"), Trigger(every_seconds=3600)),
                only_in=(WINTER,),
                not_in=(HOLIDAYS,),
                start="2026-12-01",
                end="2027-01-31",
            ),
            "0 9 * * * + every 1h",
            "At 09:00; and every 1 h on days of winter except on days of holidays from 2026-12-01 until 2027-01-31 "
            "(UTC)",
        ),
    ],
)
def test_every_kind_of_timetable_is_told_in_words(timetable: Timetable, expression: str, told: str) -> None:
    assert (expression_of(timetable), sentence(timetable)) == (expression, told)


@pytest.mark.parametrize(
    ("specification", "told"),
    [
        (
            ScheduleSpecification(timetable=every(60), catch_up=CatchUp.NONE, jitter_seconds=300),
            (
                "While a run of the job is not over, a due instant is skipped.",
                "What is decided more than 1 min late is noted as missed.",
                "Each run begins up to 5 min after its instant.",
            ),
        ),
        (
            ScheduleSpecification(
                timetable=every(60), overlap=Overlap.QUEUE, catch_up=CatchUp.ALL, catch_up_limit=7, grace_seconds=3600
            ),
            (
                "While a run of the job is not over, the run of a due instant waits until it is.",
                "What is decided more than 1 h late is caught up, the newest 7 instants at most; older ones are "
                "missed.",
            ),
        ),
    ],
)
def test_every_policy_is_told_in_words(specification: ScheduleSpecification, told: tuple[str, ...]) -> None:
    assert policies(specification) == told


def test_stretches_of_days_that_lie_within_each_other_count_once() -> None:
    timetable = Timetable(triggers=(Trigger(every_seconds=12 * 3600),), only_in=(WINTER,), start="2027-01-10")

    assert due(timetable) == ["2027-01-10 00:00", "2027-01-10 12:00"]


def test_a_day_of_the_calendar_counts_what_is_due_once_and_leaves_out_closed_days() -> None:
    once = Timetable(triggers=(Trigger(at=AT),))
    closed = Timetable(triggers=(Trigger(every_seconds=12 * 3600),), not_in=(HOLIDAYS,))

    assert daily_counts(once, date(2026, 12, 23), 3) == [0, 1, 0]
    assert daily_counts(closed, date(2026, 12, 24), 4) == [2, 0, 0, 2]


@pytest.mark.parametrize(("gap", "expected"), [(None, ["2027-03-28 01:00"]), (Gap.SKIP, [])])
def test_one_moment_that_no_clock_shows_is_due_behind_the_gap_or_not_at_all(
    gap: Gap | None, expected: list[str]
) -> None:
    once = Timetable(triggers=(Trigger(at="2027-03-28T02:30:00"),), zone="Europe/Paris", gap=gap)

    assert due(once) == expected


def test_the_last_workday_is_enough_beside_a_weekday() -> None:
    assert due(by_cron("0 8 LW * fri#2"), 4) == [
        "2026-12-31 08:00",
        "2027-01-08 08:00",
        "2027-01-29 08:00",
        "2027-02-12 08:00",
    ]


def test_beside_what_counts_elapsed_time_only_expressions_are_said_not_to_be_due_in_the_changed_hour() -> None:
    twice = Timetable(triggers=(Trigger(cron="0 9 * * *"), Trigger(every_seconds=12 * 3600)), zone="Europe/Paris")

    _, autumn = clock_change_days(twice, instant("2026-12-24"))

    assert autumn.effect == "its expressions are not due in that time, so nothing changes"
    assert [f"{moment:%H:%M}" for moment in autumn.instants] == ["00:00", "08:00", "12:00"]


def test_after_the_last_year_nothing_is_due() -> None:
    # The next leap year is one that no schedule lives to see.
    assert due(by_cron("0 8 29 2 *"), since="2196-02-28") == ["2196-02-29 08:00"]


@pytest.mark.parametrize(
    ("text", "form"),
    [("0 0 12 1 1 ? *", "0 0 12 1 1 *"), ("0 0 12 29 2 ? 2028", "0 0 12 29 2 * 2028")],
)
def test_a_year_is_kept_only_if_it_says_something(text: str, form: str) -> None:
    assert parse_cron(text).text == form


def test_a_day_that_its_year_does_not_have_is_refused() -> None:
    with pytest.raises(BadCron, match="no year has such a day"):
        parse_cron("0 0 12 29 2 ? 2027")


def test_when_the_last_of_several_has_passed_there_is_no_cursor() -> None:
    twice = Timetable(triggers=(Trigger(at="2026-12-24T18:00:00"), Trigger(at="2026-12-24T19:00:00")))

    judged = judge(ScheduleSpecification(timetable=twice), instant(AT), instant("2026-12-24T19:00:30"))

    assert [verdict for _, verdict in judged.verdicts] == [Verdict.MISS, Verdict.FIRE]
    assert judged.cursor is None
