"""Limits of steps and of silence through the whole worker: how the attempt ends, and what it says."""

from pathlib import Path

import pytest

from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import CheckIn, Final, StepEnded
from orchestra.specification import Execution, Step
from orchestra_worker.keeper_files import read_exit
from orchestra_worker.plan import SILENT, STEP_TIMED_OUT
from tests.worker import given
from tests.worker.fake_master import FakeMaster, StoredAttempt

TIDY = (Step(name="tidy", run="echo tidy"),)


def final_of(stored: StoredAttempt) -> Final:
    """The last event."""
    assert stored.final is not None
    return stored.final


def step_ends(stored: StoredAttempt) -> list[str]:
    """What was said of each step at its end."""
    return [event.happening.reason for event in stored.events if isinstance(event.happening, StepEnded)]


def limited(run: str, **limits: object) -> Execution:
    """A quick first step, a limited second one, and a teardown."""
    steps = (Step(name="fetch", run="echo fetched"), Step(name="build", run=run, timeout_seconds=0.5))
    return Execution(steps=steps, teardown=TIDY, grace_seconds=1.0, **limits)  # type: ignore[arg-type]  # by name


async def test_a_step_that_is_too_slow_ends_the_run_with_its_name_and_the_teardown_runs(
    master: FakeMaster, folder: Path
) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(limited("echo building; sleep 600", timeout_seconds=300.0)))
        await master.until(lambda: stored.final)

    final = final_of(stored)
    assert (final.outcome, final.cause) == (AttemptState.FAILED, "timeout")
    assert final.reason == "timed out: the step 'build' took longer than 500 ms"
    assert step_ends(stored) == ["", STEP_TIMED_OUT, ""]
    assert bytes(stored.log) == b"fetched\nbuilding\ntidy\n"


async def test_a_silent_run_is_ended_and_says_so(master: FakeMaster, folder: Path) -> None:
    what = given.execution("echo begun; sleep 600", teardown=TIDY, silence_seconds=1.0, grace_seconds=1.0)
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: stored.final)

    final = final_of(stored)
    assert (final.outcome, final.cause) == (AttemptState.FAILED, "timeout")
    assert final.reason == "timed out: nothing was printed and nothing checked in for 1 s"
    assert step_ends(stored) == [SILENT, ""]
    assert bytes(stored.log) == b"begun\ntidy\n"


async def test_a_job_that_checks_in_is_not_silent_and_the_teardown_may_be(master: FakeMaster, folder: Path) -> None:
    checks_in = 'for i in 1 2 3 4 5 6; do sleep 0.4; echo \'{"progress": 0.5}\' >> "$ORCHESTRA_CHECKINS"; done'
    quiet = (Step(name="tidy", run="sleep 1.5"),)
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(given.execution(checks_in, teardown=quiet, silence_seconds=1.0)))
        await master.until(lambda: stored.final)

    assert (final_of(stored).outcome, final_of(stored).reason) == (AttemptState.SUCCEEDED, "")
    assert any(isinstance(event.happening, CheckIn) for event in stored.events)


async def test_a_teardown_step_has_a_timeout_of_its_own(master: FakeMaster, folder: Path) -> None:
    slow = (Step(name="tidy", run="sleep 600", timeout_seconds=0.3), Step(name="report", run="echo reported"))
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(given.execution("exit 3", teardown=slow, grace_seconds=1.0)))
        await master.until(lambda: stored.final)

    final = final_of(stored)
    assert (final.outcome, final.exit_code, final.cause) == (AttemptState.FAILED, 3, "exit:3")
    assert final.reason == "exit code 3; teardown 'tidy': timed out after 300 ms"
    assert bytes(stored.log) == b"reported\n"


@pytest.mark.parametrize("step", [Step(name="fetch", run="exit 4"), Step(name="fetch", command=("no-such-command",))])
async def test_a_failed_set_up_has_a_cause_of_its_own_that_is_an_exception_too(
    master: FakeMaster, folder: Path, step: Step
) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(given.execution("true", setup=(step,))))
        await master.until(lambda: stored.final)

    assert (final_of(stored).outcome, final_of(stored).cause) == (AttemptState.EXCEPTION, "exception:setup")


async def test_a_limit_is_held_while_no_agent_lives_and_told_by_the_next(master: FakeMaster, folder: Path) -> None:
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(limited("echo $$; sleep 600")))
        await master.until(lambda: b"fetched\n" in stored.log and stored.log.count(b"\n") == 2)
        pid = int(stored.log.split()[1])
        master.leave()
    await given.until(lambda: read_exit(str(folder / "attempts/1-1"), 1) is not None)
    assert not given.is_alive(pid)
    master.is_away = False

    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)

    assert final_of(stored).reason == "timed out: the step 'build' took longer than 500 ms"
    assert bytes(stored.log) == b"fetched\n%d\ntidy\n" % pid


async def test_a_new_agent_does_not_begin_a_steps_timeout_anew(master: FakeMaster, folder: Path) -> None:
    what = Execution(steps=(Step(name="one", run="echo $$; sleep 600", timeout_seconds=3.0),), grace_seconds=1.0)
    async with given.agent_on(folder, master):
        stored = master.offer(given.offer(what))
        await master.until(lambda: stored.log.endswith(b"\n"))
        began = (folder / "attempts/1-1/0.claim").stat().st_mtime
    # The keeper's own clock: the first agent is gone, and the second comes when half of the time is over.
    await given.until(lambda: _age(folder) > 1.5)

    async with given.agent_on(folder, master):
        await master.until(lambda: stored.final)
        ended = next(event.at for event in stored.events if isinstance(event.happening, StepEnded)) / 1e6

    assert final_of(stored).reason == "timed out: the step 'one' took longer than 3 s"
    assert 2.5 < ended - began < 4.4


def _age(folder: Path) -> float:
    """For how long the step has run, by the clock of the file system."""
    probe = folder / "probe"
    probe.touch()
    return probe.stat().st_mtime - (folder / "attempts/1-1/0.claim").stat().st_mtime
