"""What an expectation must hold, and what a wrapped job may not have."""

from collections.abc import Iterator

from orchestra.definition import bounds
from orchestra.definition.faults import Fault
from orchestra.definition.problems import Path
from orchestra.definition.schedule_checks import schedule_faults
from orchestra.durations import format_duration
from orchestra.specification import (
    Execution,
    ExpectationSpecification,
    JobDefinition,
    Matching,
    RetryPolicy,
    ScheduleSpecification,
)

_EXECUTION = (
    ("steps", "steps"),
    ("setup", "setup"),
    ("teardown", "teardown"),
    ("environment", "environment"),
    ("directory", "directory"),
    ("timeout", "timeout_seconds"),
    ("silence", "silence_seconds"),
    ("grace", "grace_seconds"),
    ("disconnect", "disconnect_stop_seconds"),
)


def expectation_faults(expectation: ExpectationSpecification, path: Path) -> Iterator[Fault]:
    """Everything that forbids to use the expectation at this path."""
    if (expectation.every_seconds is None) == (expectation.timetable is None):
        yield Fault(path, "needs either `every` or `cron`", "write `expect: every 1d, grace 2h`")
    for seconds, bound, key in (
        (expectation.every_seconds, bounds.EXPECT_EVERY, "every"),
        (expectation.grace_seconds, bounds.EXPECT_GRACE, "grace"),
    ):
        if seconds is not None and seconds not in bound:
            yield Fault((*path, key), f"must be {bound}, got {format_duration(seconds)}", f"write `{key}: 1h`")
    if expectation.timetable is not None:
        if any(trigger.cron is None for trigger in expectation.timetable.triggers):
            yield Fault((*path, "cron"), "must be a cron expression", "write `every: 1d` for elapsed time")
        yield from schedule_faults(ScheduleSpecification(timetable=expectation.timetable), (), path)


def wrapped_faults(job: JobDefinition, path: Path) -> Iterator[Fault]:
    """A wrapped job is started elsewhere, by `orchestra wrap`: what decides about workers means nothing for it."""
    specification, execution, none = job.specification, job.specification.execution, Execution(steps=())
    for key, is_given in (
        *((key, getattr(execution, name) != getattr(none, name)) for key, name in _EXECUTION),
        ("schedule", job.schedule is not None),
        ("parameters", bool(specification.parameters)),
        ("worker", specification.matching != Matching()),
        ("retry", specification.retry != RetryPolicy()),
    ):
        if is_given:
            yield Fault((*path, key), "means nothing for a job that is `wrapped`", f"remove `{key}`, or `wrapped`")
