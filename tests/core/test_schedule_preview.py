"""What a schedule will do, told before it is in force: clock changes, warnings, and where a typed one is wrong."""

import pytest

from orchestra.clock import to_datetime
from orchestra.cron.policies import policies
from orchestra.cron.preview import SchedulePreview, preview
from orchestra.definition.schedule_text import ScheduleRefused, read_schedule_text
from orchestra.specification import Overlap, ScheduleSpecification
from tests.core.cron_cases import at
from tests.support.timetables import by_cron

NOW = at("2026-03-01T12:00:00+00:00")
EVERY_MINUTE = "it is due every minute of each of its hours: write a number as the minute for once an hour"
EITHER = "it is due on its days of the month and also on its weekdays: either is enough, as in any cron"
BOTH = "day of the month and weekday must both fit, not one of them, because one begins with *"
NEVER = "it is never due: no day fits all that is asked"
EVERY_SECOND = "it is due every second of each of its minutes: write 0 as the first field for once a minute"


def of(text: str, zone: str = "Europe/Paris") -> SchedulePreview:
    return preview(read_schedule_text(text, zone), NOW)


def test_a_preview_has_the_sentence_and_the_next_ten_instants() -> None:
    found = of(" 30 2 * * * ")

    assert found.sentence == "At 02:30 (Europe/Paris)"
    assert (len(found.next), found.next[0].isoformat()) == (10, "2026-03-02T01:30:00+00:00")
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("text", "forward", "back"),
    [
        (
            "30 2 * * *",
            "no time between 02:00 and 03:00 exists that day: it is due at 03:00 instead",
            "every time between 02:00 and 03:00 comes twice that day: it is due the first time only",
        ),
        (
            "*/20 * * * *",
            "what is due between 02:00 and 03:00 does not happen that day",
            "what is due between 02:00 and 03:00 happens twice that day",
        ),
        ("0 9 * * *", *["it is not due in that time, so nothing changes"] * 2),
        ("every 30m", *["it counts elapsed time, so nothing changes"] * 2),
    ],
)
def test_both_clock_changes_of_the_next_year_say_what_they_do(text: str, forward: str, back: str) -> None:
    spring, autumn = of(text).clock_changes

    assert (spring.sentence, spring.effect) == ("clocks go forward from 02:00 to 03:00", forward)
    assert (autumn.sentence, autumn.effect) == ("clocks go back from 03:00 to 02:00", back)
    assert spring.at == to_datetime(at("2026-03-29T01:00:00+00:00"))


def test_the_day_of_the_change_lists_when_it_is_due() -> None:
    spring, autumn = of("30 2,5 * * *").clock_changes

    assert [each.isoformat() for each in spring.instants] == ["2026-03-29T01:00:00+00:00", "2026-03-29T03:30:00+00:00"]
    assert [each.isoformat() for each in autumn.instants] == ["2026-10-25T00:30:00+00:00", "2026-10-25T04:30:00+00:00"]
    assert not spring.has_more


def test_a_frequent_schedule_lists_only_what_is_near_the_change() -> None:
    spring, _ = of("*/5 * * * *").clock_changes

    assert spring.has_more
    assert (len(spring.instants), spring.instants[0]) == (12, to_datetime(at("2026-03-29T00:00:00+00:00")))


def test_a_zone_without_clock_changes_has_none() -> None:
    assert of("30 2 * * *", "UTC").clock_changes == ()


def test_clocks_that_change_by_half_an_hour_are_said_so() -> None:
    assert of("0 9 * * *", "Australia/Lord_Howe").clock_changes[0].sentence == "clocks go back from 02:00 to 01:30"


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("* 2 * * *", (EVERY_MINUTE,)),
        ("* 30 2 * * *", (EVERY_SECOND,)),
        ("* * * * *", ()),
        ("0 9 13 * 5", (EITHER,)),
        ("0 9 */2 * 5", (BOTH,)),
        ("0 0 30-31 2 *", (NEVER,)),
        ("every 5s", ()),
    ],
)
def test_what_is_probably_not_meant_is_said(text: str, warnings: tuple[str, ...]) -> None:
    assert of(text).warnings == warnings


@pytest.mark.parametrize(
    ("text", "zone", "problems", "mark"),
    [
        ("0 61 * * *", "UTC", ["/cron is no cron expression: '61' is no hour (0 to 23); write five fields"], (2, 2)),
        ("0 9 * * *", "Europe/Pari", ['/zone is no time zone: "Europe/Pari"; did you mean `Europe/Paris`?'], None),
        ("* * *", "CET2", ["/cron is no cron expression: it has 3 fields", "/zone is no time zone"], (0, 5)),
        ("every 15", "UTC", ["/cron '15' is no duration"], None),
        ("every 1ms", "UTC", ["/cron must be"], None),
        ("", "UTC", ["/cron is no cron expression: it has 0 fields"], None),
    ],
)
def test_a_typed_schedule_that_means_nothing_is_refused_with_its_place(
    text: str, zone: str, problems: list[str], mark: tuple[int, int] | None
) -> None:
    with pytest.raises(ScheduleRefused) as caught:
        read_schedule_text(text, zone)

    found = [f"{pointer} {sentence}" for pointer, sentence in caught.value.problems]
    assert [each[: len(wanted)] for each, wanted in zip(found, problems, strict=True)] == problems
    assert caught.value.mark == mark


def test_an_empty_zone_is_utc() -> None:
    assert read_schedule_text("0 9 * * *", " ").zone == "UTC"


def test_policies_are_sentences() -> None:
    skip = policies(ScheduleSpecification(timetable=by_cron("@daily")))
    allow = policies(ScheduleSpecification(timetable=by_cron("@daily"), overlap=Overlap.ALLOW))

    assert skip[0] == "While a run of the job is not over, a due instant is skipped."
    assert allow[0] == "A due instant makes a run even while others of the job are not over."
    assert skip[1] == allow[1]
