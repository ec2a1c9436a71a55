"""What a good definition file becomes."""

import pytest

from orchestra.definition.canonical import decode_definition, definition_digest, encode_definition
from orchestra.definition.checks import require_usable
from orchestra.definition.reader import examine_definition, read_definition
from orchestra.errors import InvalidFields
from orchestra.specification import (
    Execution,
    JobDefinition,
    JobSpecification,
    Matching,
    Operator,
    Overlap,
    Parameter,
    ParameterType,
    Requirement,
    RetryPolicy,
    ScheduleSpecification,
    Step,
)
from tests.core.definition.examples import BACKUP, RENDER, RESIZE
from tests.support.timetables import by_cron, every


def job(text: str, name: str) -> JobDefinition:
    """One job of a file."""
    return next(job for job in read_definition(text, "orchestra.yaml").jobs if job.name == name)


def test_the_backup_example_is_read_whole() -> None:
    definition = read_definition(BACKUP, "orchestra.yaml")

    assert definition.name == "ops"
    assert definition.jobs == (
        JobDefinition(
            name="backup-db",
            specification=JobSpecification(
                description="Dump the main database. If it fails twice, call Ana.",
                execution=Execution(
                    steps=(Step(name="run", run="./backup.sh --to /mnt/backup"),), timeout_seconds=2700.0
                ),
                matching=Matching(requirements=(Requirement(name="role", operator=Operator.IN, values=("db",)),)),
                retry=RetryPolicy(max_attempts=3, wait_seconds=60, factor=2, on=("exit", "lost")),
            ),
            schedule=ScheduleSpecification(timetable=by_cron("30 2 * * *", zone="Europe/Paris"), overlap=Overlap.SKIP),
        ),
    )


def test_parameters_keep_their_types_bounds_and_order() -> None:
    parameters = {each.name: each for each in job(RESIZE, "resize").specification.parameters}

    assert list(parameters) == ["version", "replicas", "share", "notify", "drain-for", "env", "api-key", "notes"]
    assert parameters["replicas"] == Parameter(
        name="replicas", type=ParameterType.INTEGER, minimum=1, maximum=20, default=2
    )
    assert parameters["version"].pattern == r"v\d+\.\d+\.\d+"
    assert (parameters["drain-for"].minimum, parameters["drain-for"].default) == (10.0, "10m")
    assert parameters["env"] == Parameter(name="env", type=ParameterType.CHOICE, options=("staging", "production"))


def test_values_that_look_like_something_else_stay_the_text_that_was_written() -> None:
    execution = job(RENDER, "render").specification.execution

    assert execution.steps[0].command is not None
    assert execution.steps[0].command[-2:] == ("5", "no")
    assert execution.environment == {"LEVEL": "9", "DEBUG": "no", "VERSION": "1.10"}


def test_the_bounds_of_a_job_are_read() -> None:
    read = job(RENDER, "render")
    specification, execution = read.specification, read.specification.execution

    assert (execution.grace_seconds, execution.disconnect_stop_seconds, execution.directory) == (30.0, 300.0, "work")
    assert (specification.lost_after_seconds, specification.expire_after_seconds) == (7200.0, 86_400.0)
    assert (specification.priority, specification.matching.slots, read.enabled) == (-5, 2, False)
    assert specification.retry.on == ("lost", "exit:75", "exit:3", "exit:9")
    assert [step.name for step in execution.setup + execution.teardown] == ["setup 1", "Clean"]


def test_every_form_of_a_requirement_is_read() -> None:
    matching = job(RENDER, "render").specification.matching

    assert [(each.name, each.operator, each.values) for each in matching.requirements] == [
        ("os", Operator.IN, ("linux",)),
        ("gpu", Operator.AT_LEAST, ("1",)),
        ("ram", Operator.AT_LEAST, ("32GB",)),
        ("pool", Operator.NOT_IN, ("quarantine",)),
        ("zone", Operator.IN, ("a", "b")),
    ]
    assert [wish.name for wish in matching.prefer] == ["cache"]


def test_steps_may_be_texts_or_mappings_and_get_names() -> None:
    steps = job(RENDER, "steps").specification.execution.steps

    assert [(step.name, step.run, step.command) for step in steps] == [
        ("Compile", "make", None),
        ("step 2", "make test", None),
        ("step 3", None, ("make", "install")),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("render", ScheduleSpecification(timetable=every(900))),
        ("steps", ScheduleSpecification(timetable=every(3600), overlap=Overlap.ALLOW)),
        ("nightly", ScheduleSpecification(timetable=by_cron("@daily"))),
    ],
)
def test_a_schedule_has_short_forms(name: str, expected: ScheduleSpecification) -> None:
    assert job(RENDER, name).schedule == expected


def test_a_job_without_timeout_is_a_hint_and_no_problem() -> None:
    reading = examine_definition(RESIZE, "orchestra.yaml")

    assert reading.problems == ()
    assert [hint.path for hint in reading.hints] == [("jobs", "resize")]
    assert "hint: orchestra.yaml:5:3: jobs.resize has no timeout" in reading.report()


def test_the_canonical_text_depends_on_what_is_said_and_not_on_how() -> None:
    reordered = BACKUP.replace("max-attempts: 3, wait: 1m", "wait: 60s, max-attempts: 3").replace("45m", "2700s")
    first, second = read_definition(BACKUP, "a"), read_definition(reordered, "b")

    assert encode_definition(first) == encode_definition(second)
    assert definition_digest(first) == definition_digest(second)
    assert decode_definition(encode_definition(first)) == first


def test_a_definition_that_a_program_sends_goes_through_the_same_checks() -> None:
    text = '{"name":"ops","jobs":[{"name":"a","specification":{"execution":{"steps":[]},"priority":500}}]}'

    with pytest.raises(InvalidFields) as caught:
        require_usable(decode_definition(text))

    assert [pointer for pointer, _ in caught.value.problems] == ["/jobs/a/steps", "/jobs/a/priority"]


def test_a_body_of_another_form_is_refused_with_a_pointer() -> None:
    with pytest.raises(InvalidFields) as caught:
        decode_definition('{"name":"ops","jobs":[{"name":7}]}')

    assert caught.value.problems == (("/jobs/0/name", "expected `str`, got `int`"),)


def test_two_jobs_of_one_name_from_a_program_are_refused() -> None:
    definition = read_definition(BACKUP, "a")
    twice = type(definition)(name="ops", jobs=definition.jobs * 2)

    with pytest.raises(InvalidFields, match="is there twice"):
        require_usable(twice)
