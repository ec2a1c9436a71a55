"""The Python form says the same as the file."""

import pytest

from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.project import Cron, Every, Project, Retry
from orchestra.definition.reader import read_definition
from tests.core.definition.examples import BACKUP
from tests.support.timetables import every


def test_the_python_form_makes_the_definition_of_the_file() -> None:
    ops = Project("ops").job(
        "backup-db",
        description="Dump the main database. If it fails twice, call Ana.",
        run="./backup.sh --to /mnt/backup",
        worker={"role": "db"},
        timeout="45m",
        retry=Retry(max_attempts=3, wait="1m", factor=2, on=["exit", "lost"]),
        schedule=Cron("30 2 * * *", zone="Europe/Paris"),
    )

    assert ops.definition() == read_definition(BACKUP, "orchestra.yaml")


def test_keys_of_the_file_are_written_with_underscores() -> None:
    definition = Project("ops").job("a", command=["sleep", 5], lost_after="2h", schedule=Every("15m")).definition()

    [job] = definition.jobs
    assert job.specification.lost_after_seconds == 7200
    assert job.specification.execution.steps[0].command == ("sleep", "5")
    assert job.schedule is not None
    assert job.schedule.timetable == every(900)


def test_mistakes_are_told_as_for_a_file_but_without_a_place() -> None:
    ops = Project("ops").job("a", rnu="x").job("b", run="x", timeout="soon")

    with pytest.raises(DefinitionErrors) as caught:
        ops.definition()

    assert caught.value.report().splitlines()[:2] == [
        "error: project 'ops': jobs.a has the unknown key `rnu`",
        "help: did you mean `run`?",
    ]
    assert len(caught.value.problems) == 3


def test_a_name_that_is_there_already_is_refused() -> None:
    with pytest.raises(ValueError, match="already in the project 'ops'"):
        Project("ops").job("a", run="x").job("a", run="y")
