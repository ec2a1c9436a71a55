"""The jobs of a simulated world, of every shape that changes how a run may end."""

import random

from orchestra.specification import (
    Execution,
    JobDefinition,
    JobSpecification,
    Matching,
    Parameter,
    ParameterType,
    ProjectDefinition,
    RetryPolicy,
    ScheduleSpecification,
    Step,
)
from tests.support.timetables import by_cron, every

PROJECT = "sim"
OF_SILENCE = ("stopping", "impatient", "abandoned")
"""What differs from the others when a worker is out of contact for long."""
SECRETIVE = "secretive"
SECRET = "what-nobody-may-read"


def project(chance: random.Random, *, has_schedules: bool) -> ProjectDefinition:
    """Some jobs, and perhaps schedules."""
    jobs = [
        _job("plain"),
        _job("steps", steps=2, setup=chance.random() < 0.5, teardown=chance.random() < 0.5),
        _job("retried", retry=RetryPolicy(max_attempts=3, wait_seconds=2.0, on=("exit", "lost", "exception"))),
        _job("hasty", timeout_seconds=4.0, step_timeout_seconds=3.0, silence_seconds=2.5, grace_seconds=1.0),
        _job(
            "stopping",
            disconnect_stop_seconds=15.0,
            lost_after_seconds=20.0,
            retry=RetryPolicy(max_attempts=2, wait_seconds=1.0, on=("lost",)),
        ),
        _job("wide", slots=2),
        _job("impatient", lost_after_seconds=60.0, retry=RetryPolicy(max_attempts=2, wait_seconds=1.0, on=("lost",))),
        _job("abandoned", lost_after_seconds=30.0),
        _job("fleeting", expire_after_seconds=20.0),
        _job(SECRETIVE, parameters=(Parameter(name="token", type=ParameterType.SECRET, required=True),)),
    ]
    if has_schedules:
        ticking, minute = every(chance.choice((7.0, 15.0, 30.0))), by_cron("*/20 * * * * *", zone="Europe/Berlin")
        jobs.append(_job("ticking", schedule=ScheduleSpecification(timetable=ticking)))
        jobs.append(_job("cron", schedule=ScheduleSpecification(timetable=minute)))
    return ProjectDefinition(name=PROJECT, jobs=tuple(jobs))


def _job(
    name: str,
    *,
    steps: int = 1,
    setup: bool = False,
    teardown: bool = False,
    slots: int = 1,
    retry: RetryPolicy | None = None,
    timeout_seconds: float | None = None,
    step_timeout_seconds: float | None = None,
    silence_seconds: float | None = None,
    grace_seconds: float = 3.0,
    disconnect_stop_seconds: float | None = None,
    lost_after_seconds: float = 7 * 86_400.0,
    expire_after_seconds: float = 86_400.0,
    schedule: ScheduleSpecification | None = None,
    parameters: tuple[Parameter, ...] = (),
) -> JobDefinition:
    execution = Execution(
        steps=tuple(
            Step(name=f"step-{number}", run="true", timeout_seconds=step_timeout_seconds) for number in range(steps)
        ),
        setup=(Step(name="set-up", run="true"),) if setup else (),
        teardown=(Step(name="teardown", run="true"),) if teardown else (),
        timeout_seconds=timeout_seconds,
        silence_seconds=silence_seconds,
        grace_seconds=grace_seconds,
        disconnect_stop_seconds=disconnect_stop_seconds,
    )
    specification = JobSpecification(
        execution=execution,
        parameters=parameters,
        matching=Matching(slots=slots),
        retry=retry or RetryPolicy(),
        lost_after_seconds=lost_after_seconds,
        expire_after_seconds=expire_after_seconds,
    )
    return JobDefinition(name=name, specification=specification, schedule=schedule)
