"""What a definition file may say of runs that are expected and of wrapped jobs, and what is told of mistakes."""

import pytest

from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import read_definition
from orchestra.specification import ExpectationSpecification, JobDefinition
from orchestra.timetable import Timetable, Trigger
from tests.support.timetables import by_cron

HEAD = "orchestra: 1\nproject: ops\njobs:\n  backup:\n"


def of(body: str) -> JobDefinition:
    (job,) = read_definition(HEAD + "".join(f"    {line}\n" for line in body.splitlines()), "orchestra.yaml").jobs
    return job


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("every 1d, grace 2h", ExpectationSpecification(every_seconds=86_400, grace_seconds=7200)),
        ("every 1d", ExpectationSpecification(every_seconds=86_400, grace_seconds=3600)),
        ("{ every: 15m, grace: 5m }", ExpectationSpecification(every_seconds=900, grace_seconds=300)),
        ('"0 2,14 * * *, grace 2h"', ExpectationSpecification(timetable=by_cron("0 2,14 * * *"), grace_seconds=7200)),
        ("'@daily'", ExpectationSpecification(timetable=by_cron("@daily"))),
        (
            '{ cron: "0 2 * * *", zone: Europe/Paris, grace: 2h }',
            ExpectationSpecification(timetable=by_cron("0 2 * * *", zone="Europe/Paris"), grace_seconds=7200),
        ),
        (
            "H 2 * * *",
            ExpectationSpecification(
                timetable=Timetable(triggers=(Trigger(cron="H 2 * * *"),), spread_by="ops/backup")
            ),
        ),
    ],
)
def test_an_expectation_is_read(text: str, expected: ExpectationSpecification) -> None:
    assert of(f"run: x\nexpect: {text}").expect == expected


def test_a_wrapped_job_has_no_steps_and_may_be_expected() -> None:
    job = of("wrapped: true\nexpect: every 1d, grace 2h")

    assert (job.specification.wrapped, job.specification.execution.steps) == (True, ())
    assert job.expect is not None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("run: x\nexpect: every 1d, grace soon", "jobs.backup.expect.grace must be a duration such as 45m or 1h30m"),
        ("run: x\nexpect: { grace: 2h }", "jobs.backup.expect needs either `every` or `cron`"),
        ("run: x\nexpect: { every: 1d, cron: '@daily' }", "jobs.backup.expect needs either `every` or `cron`"),
        ("run: x\nexpect: { every: 1d, zone: UTC }", "jobs.backup.expect.zone stands beside `every`"),
        ("run: x\nexpect: { every: 5s }", "jobs.backup.expect.every must be from 1m to 3650d, got 5s"),
        ("run: x\nexpect: { every: 1d, grace: 1s }", "jobs.backup.expect.grace must be from 1m to 3650d, got 1s"),
        ("run: x\nexpect: { cron: every 5m }", "jobs.backup.expect.cron must be a cron expression"),
        ("run: x\nexpect: 99 2 * * *", "jobs.backup.expect.cron is no cron expression"),
        ("run: x\nexpect: { cron: '@daily', zone: Mars }", 'jobs.backup.expect.zone is no time zone: "Mars"'),
        ("run: x\nexpect: [every 1d]", "jobs.backup.expect is a list"),
        ("run: x\nwrapped: true", "jobs.backup.steps means nothing for a job that is `wrapped`"),
        ("wrapped: true\nschedule: '@daily'", "jobs.backup.schedule means nothing for a job that is `wrapped`"),
        ("wrapped: true\ntimeout: 5m", "jobs.backup.timeout means nothing for a job that is `wrapped`"),
        ("wrapped: true\nsilence: 5m", "jobs.backup.silence means nothing for a job that is `wrapped`"),
        ("wrapped: true\nretry: { max-attempts: 2 }", "jobs.backup.retry means nothing for a job that is `wrapped`"),
        ("wrapped: false", "jobs.backup says nothing to execute"),
        ("wrapped: perhaps\nrun: x", "jobs.backup.wrapped must be true or false"),
    ],
)
def test_a_mistake_is_told(body: str, sentence: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        of(body)

    (problem,) = caught.value.problems
    assert problem.sentence.startswith(sentence)
