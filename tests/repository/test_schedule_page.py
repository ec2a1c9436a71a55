"""What the page of schedules says of instants and decisions is what the code does."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from orchestra.clock import Instant, from_datetime, to_datetime
from orchestra.cron.occurrences import upcoming
from orchestra.cron.wall_clock import zone_of
from orchestra.definition.reader import read_definition
from orchestra.specification import ScheduleSpecification
from orchestra_master.passed_instants import PastPause, Verdict, judge
from orchestra_master.ticking import DISABLED

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
CALENDARS = "calendars:\n  holidays: [2026-12-25, 2026-12-28..2027-01-01]\n"
WORDS = {Verdict.FIRE: "fired", Verdict.CATCH_UP: "caught up", Verdict.MISS: "missed", Verdict.PAUSED: "paused"}
POLICIES = ("none", "latest", "all", "{ all: 2 }")


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the table that begins with this."""
    table = PAGE[PAGE.index(heading) :].split("\n\n")[0]
    for line in table.split("\n")[2:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def schedule(text: str) -> ScheduleSpecification:
    """Of a job that has it."""
    (job,) = read_definition(
        f"orchestra: 1\nproject: ops\n{CALENDARS}jobs:\n  nightly:\n    run: x\n    schedule: {text}\n", "page"
    ).jobs
    assert job.schedule is not None
    return job.schedule


def test_the_example_is_a_definition() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert read_definition(block, "docs/schedules.md").jobs[0].schedule is not None


@pytest.mark.parametrize(("text", "instants"), list(rows("| `schedule:` | due at |")))
def test_a_schedule_is_due_at_the_instants_of_the_table(text: str, instants: str) -> None:
    wanted = instants.split(", ")
    begin = from_datetime(datetime.fromisoformat("2026-12-24T00:00:00+00:00"))

    found = [to_datetime(each) for each in upcoming(schedule(text.strip("`")).timetable, begin, len(wanted))]

    assert [f"{each:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for each in found] == wanted


@pytest.mark.parametrize(("text", "day", "instants"), list(rows("| `schedule:`, zone Europe/Paris")))
def test_on_days_of_clock_changes_it_is_due_as_the_table_says(text: str, day: str, instants: str) -> None:
    wanted, zone = instants.split(", "), zone_of("Europe/Paris")
    timetable = schedule(f"{{ {text.strip('`')}, zone: Europe/Paris }}").timetable

    found = upcoming(timetable, from_datetime(datetime.fromisoformat(day).replace(tzinfo=zone)), len(wanted))

    assert [to_datetime(each).astimezone(zone).isoformat(" ", "minutes") for each in found] == wanted


def that_day(text: str) -> Instant:
    """The instant of a time in the tables of late ones."""
    return from_datetime(datetime.fromisoformat(f"2026-12-24T{text}+00:00"))


@pytest.mark.parametrize("row", list(rows("| again at |")))
def test_what_is_late_is_decided_as_the_table_says(row: list[str]) -> None:
    moment, *columns = row
    now, ten = that_day(moment), that_day("10:00")

    for policy, wanted in zip(POLICIES, columns, strict=True):
        judged = judge(schedule(f"{{ every: 1h, catch-up: {policy} }}"), ten, now)

        assert ", ".join(WORDS[verdict] for _, verdict in judged.verdicts) == wanted, policy


@pytest.mark.parametrize("row", list(rows("| at | `none` |")))
def test_what_was_due_in_a_pause_is_decided_as_the_table_says(row: list[str]) -> None:
    moment, *columns = row
    now, ten = that_day(moment), that_day("10:00")
    pause = PastPause(begin=that_day("09:30"), end=that_day("12:15"))

    for policy, wanted in zip(POLICIES, columns, strict=True):
        judged = judge(schedule(f"{{ every: 1h, catch-up: {policy} }}"), ten, now, pause=pause)

        assert ", ".join(WORDS[verdict] for _, verdict in judged.verdicts) == wanted, policy


def test_every_decision_is_in_the_table() -> None:
    told = [decision.strip("`") for decision, _, _ in rows("| decision |")]

    for decision in (Verdict.FIRE, Verdict.CATCH_UP, Verdict.MISS, Verdict.PAUSED, DISABLED, "skipped: overlap with #"):
        assert any(each.startswith(decision) for each in told), decision
    assert "skipped: holidays" in told  # The name of a calendar stands where `Verdict.EXCLUDED` was.
