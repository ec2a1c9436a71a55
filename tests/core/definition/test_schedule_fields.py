"""What a definition file may say of a schedule, and what is told of each mistake in it."""

import pytest

from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import read_definition
from orchestra.specification import CatchUp, Overlap, ScheduleSpecification
from orchestra.timetable import Calendar, Days, Gap, Repeat, Timetable, Trigger
from tests.support.timetables import by_cron, every

HEAD = """\
orchestra: 1
project: ops
calendars:
  holidays: [2026-12-28..2026-12-31, 2026-12-25, 2026-12-26, 2027-01-01]
  audit: 2027-03-01
jobs:
  nightly:
    run: x
    schedule: """
HOLIDAYS = Calendar(name="holidays", days=(Days("2026-12-25", "2026-12-26"), Days("2026-12-28", "2027-01-01")))
AUDIT = Calendar(name="audit", days=(Days("2027-03-01", "2027-03-01"),))


def of(schedule: str) -> ScheduleSpecification:
    (job,) = read_definition(HEAD + schedule, "orchestra.yaml").jobs
    assert job.schedule is not None
    return job.schedule


def once(moment: str) -> Trigger:
    return Trigger(at=moment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"30 2 * * *"', by_cron("30 2 * * *")),
        ("every 15m", every(900)),
        ('"@every 90s"', every(90)),
        ("manual", Timetable()),
        ("{ cron: '@daily', zone: Europe/Paris }", by_cron("@daily", zone="Europe/Paris")),
        ("{ cron: ['0 6 * * 1-5', '0 9 * * 6'] }", by_cron("0 6 * * 1-5", "0 9 * * 6")),
        ("{ cron: every 5m }", every(300)),
        ("{ at: 2026-12-24T18:00 }", Timetable(triggers=(once("2026-12-24T18:00:00"),))),
        ("{ at: [2026-12-24, 2026-12-31T12:00+01:00] }", Timetable(
            triggers=(once("2026-12-24"), once("2026-12-31T12:00:00+01:00"))
        )),
        ("{ every: 1h, cron: 30 2 * * *, start: 2026-12-01, end: 2026-12-31T12:00 }", Timetable(
            triggers=(Trigger(cron="30 2 * * *"), Trigger(every_seconds=3600)),
            start="2026-12-01", end="2026-12-31T12:00:00",
        )),
        ("{ every: 1h, not-in: holidays, only-in: [audit] }", Timetable(
            triggers=(Trigger(every_seconds=3600),), not_in=(HOLIDAYS,), only_in=(AUDIT,)
        )),
        ("{ every: 1h, clock-change: { gap: skip, overlap: both } }", Timetable(
            triggers=(Trigger(every_seconds=3600),), gap=Gap.SKIP, repeat=Repeat.BOTH
        )),
        ("H 2 * * *", Timetable(triggers=(Trigger(cron="H 2 * * *"),), spread_by="ops/nightly")),
        ("0 2 * mar thu", by_cron("0 2 * mar thu")),
    ],
)  # fmt: skip
def test_a_schedule_is_due_as_it_is_written(text: str, expected: Timetable) -> None:
    assert of(text).timetable == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("overlap: queue", {"overlap": Overlap.QUEUE}),
        ("overlap: cancel-previous", {"overlap": Overlap.CANCEL_PREVIOUS}),
        ("catch-up: none", {"catch_up": CatchUp.NONE}),
        ("catch-up: all", {"catch_up": CatchUp.ALL}),
        ("catch-up: { all: 10 }", {"catch_up": CatchUp.ALL, "catch_up_limit": 10}),
        ("grace: 30m", {"grace_seconds": 1800.0}),
        ("jitter: 5m", {"jitter_seconds": 300.0}),
        ("parameters: {}", {}),
    ],
)
def test_its_policies_are_those_that_are_written(text: str, expected: dict[str, object]) -> None:
    whole = ScheduleSpecification(timetable=every(60), **expected)  # type: ignore[arg-type]  # any of its fields

    assert of(f"{{ every: 1m, {text} }}") == whole


@pytest.mark.parametrize(
    ("text", "sentence", "remedy"),
    [
        ("{ zone: UTC }", "needs `cron`, `every` or `at`", "write `schedule:"),
        ("{ at: tomorrow }", 'at is no day and no time: "tomorrow"', "write a day such as 2026-12-24"),
        ("{ at: 2026-02-30 }", 'at is no day and no time: "2026-02-30"', "write a day such as"),
        ("{ every: 1h, start: 2026-13-01 }", "start is no day and no time", "write a day such as"),
        (
            "{ every: 1h, start: 2026-12-02, end: 2026-12-01 }",
            "end comes before the start 2026-12-02",
            "write a later day",
        ),
        ("{ every: 1h, not-in: holiday }", "not-in is no calendar of this project", "did you mean `holidays`?"),
        ("{ every: 1h, only-in: [x] }", 'only-in.0 is no calendar of this project: "x"', "known are holidays, audit"),
        ("{ every: 1h, overlap: kill }", "overlap must be one of skip, queue, allow, cancel-previous", "write one of"),
        ("{ every: 1h, catch-up: { all: 0 } }", "catch-up.all must be a whole number from 1 to", "write `catch-up"),
        ("{ every: 1h, catch-up: { newest: 3 } }", "catch-up has the unknown key `newest`", "known keys are all"),
        ("{ every: 1h, grace: 100ms }", "grace must be from 1s to 3650d, got 100ms", "write `grace: 15m`"),
        ("{ every: 1h, jitter: 8d }", "jitter must be from 0s to 7d, got 8d", "write `jitter: 15m`"),
        ("{ every: 1h, clock-change: { gap: x } }", "clock-change.gap must be one of run-after, skip", "write one of"),
        ("{ cron: ['@daily', '0 25 * * *'] }", "cron.1 is no cron expression: '25' is no hour", "write five fields"),
        ("H(9-5) * * * *", "cron is no cron expression: 'h(9-5)' leaves no minute to choose", "write H, H/15"),
        ("0 0 * * * 1 H", "cron is no cron expression: 'h' is no year", "write H, H/15"),
        ("{ cron: '@daily', misfire: all }", "has the unknown key `misfire`", "did you mean `catch-up`?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_repair(text: str, sentence: str, remedy: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        of(text)

    told = [(problem.sentence.removeprefix("jobs.nightly.schedule"), problem.help) for problem in caught.value.problems]
    assert any(said.strip(" .").startswith(sentence) and repair.startswith(remedy) for said, repair in told), told


@pytest.mark.parametrize(
    ("calendars", "sentence"),
    [
        ("{ a: [2026-02-30] }", 'is no day or range of days: "2026-02-30"'),
        ("{ a: [2026-12-31..2026-12-01] }", 'ends before it begins: "2026-12-31..2026-12-01"'),
        ("{ a: [every day] }", 'is no day or range of days: "every day"'),
        ("[a]", "must be a mapping of names to lists of days, got a list"),
    ],
)
def test_a_calendar_that_is_none_is_told(calendars: str, sentence: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        read_definition(f"orchestra: 1\nproject: ops\ncalendars: {calendars}\n", "orchestra.yaml")

    assert sentence in caught.value.problems[0].sentence
