"""`kill -9` of the worker agent at every moment of a run: steps are not disturbed, and each is executed once."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.support.gated import GatedJob
from tests.support.journey import Orchestra, Program, keeper_of, lines_of, running, wait_until


@pytest.fixture
def atlas(up: Orchestra, tmp_path: Path) -> Program:
    """A worker, not yet started."""
    return up.worker(tmp_path, "atlas")


def begin(up: Orchestra, job: GatedJob) -> int:
    """A run whose first step has begun, by the master's knowledge too."""
    up.apply(job.definition)
    run = up.trigger("ops/gated")
    job.await_begin(1)
    up.reach(run, "running")
    return run


def again(worker: Program) -> None:
    worker.kill()
    worker.start()


def test_an_agent_killed_in_every_step_again_and_again_disturbs_none(
    up: Orchestra, atlas: Program, tmp_path: Path
) -> None:
    job = GatedJob(tmp_path, steps=3)
    with running(atlas):
        run = begin(up, job)
        again(atlas)
        wait_until(lambda: up.connected("atlas"), what="the second agent")
        again(atlas)  # while it is taking up the step
        again(atlas)
        job.open(1)
        job.await_begin(2)
        again(atlas)
        job.open(2)
        job.await_begin(3)
        atlas.kill()
        job.open(3)
        job.await_end(3)  # nobody is there to hear of it
        atlas.start()

        job.assert_whole(up, run)


def test_an_agent_killed_between_two_steps_goes_on_with_the_next(up: Orchestra, atlas: Program, tmp_path: Path) -> None:
    job = GatedJob(tmp_path, steps=3)
    with running(atlas):
        run = begin(up, job)
        for number in (1, 2):
            os.kill(atlas.pid, signal.SIGSTOP)  # so that it never hears of the step's end
            job.open(number)
            job.await_end(number)
            atlas.kill()
            assert not job.has_begun(number + 1)
            atlas.start()
            job.await_begin(number + 1)
        job.open(3)

        job.assert_whole(up, run)


def test_an_agent_killed_at_random_while_steps_fly_by_executes_each_once(
    up: Orchestra, atlas: Program, tmp_path: Path
) -> None:
    job = GatedJob(tmp_path, steps=40)
    job.open(*range(1, 41))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown if it fails
    with running(atlas):
        up.apply(job.definition)
        run = up.trigger("ops/gated")
        for number in sorted(random.Random(seed).sample(range(2, 80), 6)):
            await_lines(job, number)
            atlas.kill()
            atlas.start()

        job.assert_whole(up, run)


@pytest.mark.parametrize("first", ["master", "agent"])
def test_agent_and_master_both_killed_come_back_in_any_order(
    up: Orchestra, atlas: Program, tmp_path: Path, first: str
) -> None:
    job = GatedJob(tmp_path, steps=3)
    with running(atlas):
        run = begin(up, job)
        up.program.kill()
        atlas.kill()
        job.open(1)
        job.await_end(1)
        assert not job.has_begun(2)
        if first == "master":
            up.start()
            job.open(2)
            atlas.start()
        else:
            atlas.start()
            job.open(2)
            job.await_begin(3)  # it needs no master for the next step
            atlas.kill()
            atlas.start()
            up.start()
        job.open(3)

        job.assert_whole(up, run)


def test_an_agent_that_is_stopped_and_upgraded_leaves_its_steps_alone(
    up: Orchestra, atlas: Program, tmp_path: Path
) -> None:
    job = GatedJob(tmp_path, steps=3)
    with running(atlas):
        run = begin(up, job)
        keeper = keeper_of(tmp_path / "atlas")
        assert atlas.stop() == 0, atlas.output
        assert keeper_of(tmp_path / "atlas") == keeper
        job.open(1)
        job.await_end(1)
        atlas.start()
        job.await_begin(2)
        assert atlas.stop() == 0, atlas.output
        atlas.start()
        job.open(2, 3)

        job.assert_whole(up, run)


@pytest.mark.parametrize("order", ["keeper then agent", "agent then keeper", "both killed", "keeper killed"])
def test_an_agent_killed_between_the_journal_and_the_spawn_starts_the_step_once(
    up: Orchestra, atlas: Program, tmp_path: Path, order: str
) -> None:
    job = GatedJob(tmp_path, steps=2)
    job.open(1, 2)
    with running(atlas):
        wait_until(lambda: up.connected("atlas"), what="the worker")
        keeper = keeper_of(tmp_path / "atlas")
        os.kill(keeper, signal.SIGSTOP)
        up.apply(job.definition)
        run = up.trigger("ops/gated")
        up.reach(run, "running")  # so the start is journalled
        assert not job.has_begun(1)  # and nothing was spawned
        match order:
            case "keeper then agent":
                atlas.kill()
                os.kill(keeper, signal.SIGCONT)
                atlas.start()
            case "agent then keeper":
                again(atlas)
                wait_until(lambda: is_asking(atlas, tmp_path / "atlas"), what="the new agent at the keeper's door")
                os.kill(keeper, signal.SIGCONT)
            case "both killed":
                atlas.kill()
                os.kill(keeper, signal.SIGKILL)
                atlas.start()
            case _:
                os.kill(keeper, signal.SIGKILL)

        job.assert_whole(up, run)


def await_lines(job: GatedJob, count: int) -> None:
    wait_until(lambda: len(lines_of(job.witness)) >= count, what=f"{count} lines of witness")


def is_asking(agent: Program, folder: Path) -> bool:
    """Whether the agent holds the folder, so that it is about to connect to the keeper or has done so."""
    return (folder / "lock").read_text().split()[:1] == [str(agent.pid)] and (folder / "hint.sock").exists()
