"""What the page of runs from elsewhere says of expected runs is what the code does."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from orchestra.clock import Instant, from_datetime
from orchestra.cron.expected import Watched, look
from orchestra.definition.reader import read_definition

PAGE = (Path(__file__).parents[2] / "docs" / "outside-runs.md").read_text()
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE[PAGE.index("| runs that started |") :].split("\n\n")[0].splitlines()[2:]
]


def at(written: str) -> Instant:
    return from_datetime(datetime.fromisoformat(f"{written}+00:00"))


def test_the_example_is_a_definition_with_both_kinds() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    backup, report = read_definition(block, "docs/outside-runs.md").jobs

    assert (backup.specification.wrapped, backup.expect is not None) == (True, True)
    assert report.expect is not None
    assert report.expect.timetable is not None


@pytest.mark.parametrize(("starts", "moment", "state"), ROWS)
def test_a_run_is_expected_or_missed_as_the_table_says(starts: str, moment: str, state: str) -> None:
    text = "orchestra: 1\nproject: ops\njobs: { backup: { run: x, expect: 'every 1d, grace 2h' } }\n"
    (job,) = read_definition(text, "page").jobs
    assert job.expect is not None
    came = [at(each) for each in re.findall(r"[\d-]+ [\d:]+", starts)]
    facts = Watched(
        expectation=job.expect, since=at("2026-11-21 10:00"), last_start=max(came, default=None), look_at=at(moment)
    )

    outlook = look(facts, at(moment))

    assert state == ("expected" if outlook.missed is None else "missed")
