"""Jobs that run by themselves, under every policy for instants that come at a bad time."""

import random

import msgspec

from orchestra.specification import (
    CatchUp,
    Execution,
    JobDefinition,
    JobSpecification,
    Overlap,
    ScheduleSpecification,
    Step,
)
from orchestra.timetable import Timetable
from tests.support.timetables import by_cron, every

_MICROSECONDS = 1_000_000


def timed_jobs(chance: random.Random) -> tuple[JobDefinition, ...]:
    """One to three of them."""
    return tuple(_job(f"timed-{number}", chance) for number in range(1, chance.randint(1, 3) + 1))


def period_of(timetable: Timetable) -> int:
    """After how many microseconds such a job is due again, counted from 1970: all zones here differ by whole hours."""
    (trigger,) = timetable.triggers
    if trigger.every_seconds is not None:
        return round(trigger.every_seconds * _MICROSECONDS)
    assert trigger.cron is not None
    return int(trigger.cron.split()[0].removeprefix("*/")) * _MICROSECONDS


def _job(name: str, chance: random.Random) -> JobDefinition:
    period = chance.choice((5, 10, 15, 30))
    is_cron = chance.random() < 0.5
    return JobDefinition(
        name=name,
        specification=JobSpecification(
            execution=Execution(steps=(Step(name="step-0", run="true"),), grace_seconds=2.0),
            # Or what waits behind a run on a machine that is gone for good would wait for a week.
            lost_after_seconds=60.0,
        ),
        schedule=ScheduleSpecification(
            timetable=by_cron(f"*/{period} * * * * *", zone="Europe/Berlin") if is_cron else every(float(period)),
            overlap=chance.choice(list(Overlap)),
            catch_up=chance.choice(list(CatchUp)),
            catch_up_limit=chance.randint(1, 3),
            grace_seconds=chance.choice((2.0, 7.0, 20.0)),
            jitter_seconds=random.Random(f"jitter of {name} {period}").choice((0.0, 0.0, 4.0, 25.0)),
        ),
    )


def policy_of(stored: str) -> ScheduleSpecification:
    """The policy in a row of the table of schedules."""
    return msgspec.json.decode(stored, type=ScheduleSpecification)
