"""The wall clocks of master and worker jump by hours and days: each due instant is decided once, no lease ends."""

import os
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestra.network.client import API
from tests.faults.checker import TicksSeen, check, check_ticks, ticks_of
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.wall_clock import WallClock
from tests.faults.witness import Witness
from tests.support.journey import Orchestra, Program, running, started, wait_until

HOUR, DAYS = 3600, 30 * 86_400
LATE_SECONDS_MAX = 5.0
JOB = """
orchestra: 1
project: ticks
jobs:
  job: {{ schedule: "{schedule}", run: ". {script}; begins; ends" }}
"""
LEASES = """\
    disconnect: stop 60s
    lost-after: 10m
    timeout: 5m
"""


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    """Of master and worker."""
    return WallClock(tmp_path)


@pytest.fixture
def instance(tmp_path: Path, clock: WallClock) -> Iterator[Orchestra]:
    """`orchestra up` that goes by this clock."""
    orchestra = Orchestra(tmp_path, slots=0)
    orchestra.program = clock.rule(orchestra.program)
    with started(orchestra):
        yield orchestra


@pytest.fixture
def atlas(instance: Orchestra, tmp_path: Path, clock: WallClock) -> Program:
    """A worker that goes by the same clock."""
    return clock.rule(instance.worker(tmp_path, "atlas", slots=4))


@pytest.mark.parametrize(
    ("schedule", "step", "jumps"),
    [
        ("*/2 * * * * *", timedelta(seconds=2), (HOUR, 0, HOUR + 60)),
        ("0 * * * *", timedelta(hours=1), (DAYS, -DAYS, DAYS + 2 * HOUR)),
    ],
)
def test_a_clock_that_jumps_costs_no_tick_and_makes_none_twice(
    instance: Orchestra,
    atlas: Program,
    clock: WallClock,
    witness: Witness,
    fired: Fired,
    schedule: str,
    step: timedelta,
    jumps: Sequence[int],
) -> None:
    fired.want("ahead", "behind")
    began_at = clock.now()
    instance.apply(JOB.format(schedule=schedule, script=witness.script))
    applied_at = clock.now()
    with running(atlas):
        wait_until(lambda: instance.connected("atlas"), what="atlas")
        newest = began_at
        for jump in jumps:
            clock.set(jump)
            if clock.now() > newest + step:
                newest = await_tick(instance, clock.now() - step)
                fired("ahead")
            else:
                wait_until(lambda: sees(instance, clock.now()), what="the master to see the earlier date")
                newest = newest_tick(instance)
                assert newest > clock.now() + step  # the cursor never goes back
                fired("behind")

        clock.set(0)  # no instant is due any more
        wait_until(lambda: sees(instance, clock.now()), what="the master to see the earlier date")
        wait_until(lambda: nothing_is_open(instance), seconds=30, what="the last runs to be over")
        first = ticks_of(instance, "ticks/job")[-1].due_at
        assert began_at < first <= applied_at + step
        due = instants(first - step, newest_tick(instance), step)
        assert len(due) > 700
        check_ticks(instance, "ticks/job", due, witness).assert_none()
        assert atlas.output.count("link_welcome") == 1, "the link did not survive"


@pytest.mark.parametrize(
    "jump_seconds",
    [HOUR, *(pytest.param(jump, marks=pytest.mark.long) for jump in (-HOUR, DAYS, -DAYS))],
)
def test_a_clock_that_jumps_ends_no_lease_and_no_timeout(
    instance: Orchestra, atlas: Program, clock: WallClock, witness: Witness, fired: Fired, jump_seconds: int
) -> None:
    load = Load(instance, witness, more=LEASES)
    with running(atlas):
        first = load.trigger(lines=60, pause=0.1)
        wait_until(lambda: instance.run(first).log_length > 0, what="the first output")
        clock.set(jump_seconds)
        fired("jump")
        second = load.trigger(lines=10, pause=0.1)
        load.await_over(seconds=60)

        check(instance, witness, load.expected).assert_none()
        assert instance.run(second).attempts_counted == 1
        assert atlas.output.count("link_welcome") == 1


@pytest.mark.long
def test_a_worker_that_slept_and_woke_under_another_date_goes_on(
    instance: Orchestra, atlas: Program, clock: WallClock, witness: Witness, fired: Fired
) -> None:
    load = Load(instance, witness)
    with running(atlas):
        number = load.trigger(lines=60, pause=0.1)
        wait_until(lambda: instance.run(number).log_length > 0, what="the first output")
        os.kill(atlas.pid, signal.SIGSTOP)
        clock.set(DAYS)
        wait_until(lambda: not instance.connected("atlas"), seconds=30, what="the link to be given up")
        fired("asleep")
        assert instance.run(number).state == "running"
        os.kill(atlas.pid, signal.SIGCONT)
        load.await_over(seconds=60)

        check(instance, witness, load.expected).assert_none()


def await_tick(instance: Orchestra, instant: datetime) -> datetime:
    """Waits for a decision about this instant, or a later one, and gives the newest."""
    limit = instant - timedelta(seconds=LATE_SECONDS_MAX)
    return wait_until(
        lambda: found if (found := newest_tick(instance)) >= limit else None, seconds=60, what=f"a tick at {instant}"
    )


def newest_tick(instance: Orchestra) -> datetime:
    """The last instant that was decided about."""
    path = f"{API}/projects/ticks/jobs/job/schedule/ticks"
    newest = instance.api.get(path, {"limit": 1}).read(TicksSeen).items
    return newest[0].due_at if newest else datetime.fromtimestamp(0, UTC)


def sees(instance: Orchestra, now: datetime) -> bool:
    """Whether the worker's last contact is written by the clock as it is now."""
    contact = instance.fleet()["atlas"].last_contact_at
    return contact is not None and abs(datetime.fromisoformat(contact) - now) < timedelta(minutes=10)


def nothing_is_open(instance: Orchestra) -> bool:
    """Whether the runs of the newest ticks are over."""
    runs = [tick.run for tick in ticks_of(instance, "ticks/job")[:5] if tick.run]
    return all(instance.run(run).is_over for run in runs)


def instants(after: datetime, until: datetime, step: timedelta) -> list[datetime]:
    """All multiples of the step in between."""
    first = datetime.fromtimestamp((after.timestamp() // step.total_seconds() + 1) * step.total_seconds(), UTC)
    return [first + number * step for number in range(int((until - first) / step) + 1)]
