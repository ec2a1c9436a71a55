"""`kill -9` of the keeper: its runs end as lost and their processes with them, the log so far stays, the next run
works."""

import os
import signal
from pathlib import Path

import pytest

from orchestra_worker.keeper_files import read_exit
from tests.support.gated import GatedJob
from tests.support.journey import (
    Orchestra,
    Program,
    Run,
    keeper_of,
    lines_of,
    marked_processes,
    running,
    wait_until,
)

LOST = "keeper lost"
COUNTING = """
orchestra: 1
project: ops
jobs:
  count:
    environment: {{ COUNT_MARK: {mark} }}
    run: |
      echo "begins $ORCHESTRA_RUN-$ORCHESTRA_ATTEMPT" >> {witness}
      (trap '' TERM; setsid sleep 300) &
      number=0
      while [ $number -lt 10000000 ]; do number=$((number+1)); echo $number; done
      echo "ends $ORCHESTRA_RUN" >> {witness}
    teardown:
      - echo "teardown $ORCHESTRA_RUN" >> {witness}
  again:
    retry: {{ max-attempts: 2, wait: 100ms, on: [lost] }}
    environment: {{ COUNT_MARK: {mark} }}
    run: |
      echo "begins $ORCHESTRA_RUN-$ORCHESTRA_ATTEMPT" >> {witness}
      echo "attempt $ORCHESTRA_ATTEMPT"
      [ $ORCHESTRA_ATTEMPT = 2 ] || sleep 300
  next:
    run: echo "next $ORCHESTRA_RUN" >> {witness}; echo works
"""


@pytest.fixture
def atlas(up: Orchestra, tmp_path: Path) -> Program:
    """A worker of four slots, not yet started."""
    return up.worker(tmp_path, "atlas", slots=4)


def kill_keeper(folder: Path) -> int:
    keeper = keeper_of(folder)
    os.kill(keeper, signal.SIGKILL)
    return keeper


def await_log(up: Orchestra, number: int) -> None:
    wait_until(lambda: up.run(number).log_length > 1000, what="some log")


def assert_lost(up: Orchestra, run: Run) -> None:
    assert run.state == "exception"
    assert LOST in run.reason
    written = up.log(run.id)
    counted = b"".join(b"%d\n" % number for number in range(1, written.count(b"\n") + 2))
    assert written
    assert counted.startswith(written)
    assert run.log_length == len(written)


def assert_next_run_works(up: Orchestra) -> None:
    number = up.trigger("ops/next")
    assert up.finish(number).state == "succeeded"
    assert up.log(number) == b"works\n"


def test_a_killed_keeper_ends_its_runs_as_lost_with_their_trees_and_keeps_the_logs(
    up: Orchestra, atlas: Program, tmp_path: Path, witness: Path
) -> None:
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    up.apply(COUNTING.format(witness=witness, mark=mark))
    with running(atlas):
        numbers = [up.trigger("ops/count") for _ in range(2)]
        for number in numbers:
            await_log(up, number)
        stored = [up.run(number).log_length for number in numbers]
        assert len(marked_processes(mark)) >= 4

        dead = kill_keeper(tmp_path / "atlas")
        runs = [up.finish(number) for number in numbers]

        for run, length in zip(runs, stored, strict=True):
            assert_lost(up, run)
            assert run.log_length >= length
        assert marked_processes(mark) == []
        assert sorted(lines_of(witness)) == [f"begins {number}-1" for number in numbers]
        assert_next_run_works(up)
        assert keeper_of(tmp_path / "atlas") != dead


def test_a_keeper_killed_while_no_agent_was_there_is_noticed_by_the_next_one(
    up: Orchestra, atlas: Program, tmp_path: Path, witness: Path
) -> None:
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    up.apply(COUNTING.format(witness=witness, mark=mark))
    with running(atlas):
        number = up.trigger("ops/count")
        await_log(up, number)
        atlas.kill()
        kill_keeper(tmp_path / "atlas")
        assert marked_processes(mark)
        atlas.start()

        assert_lost(up, up.finish(number))
        assert marked_processes(mark) == []
        assert lines_of(witness) == [f"begins {number}-1"]
        assert_next_run_works(up)


def test_a_lost_keeper_is_a_reason_for_the_second_attempt_that_the_job_allows(
    up: Orchestra, atlas: Program, tmp_path: Path, witness: Path
) -> None:
    mark = f"mark-{tmp_path.name}-{os.getpid()}"
    up.apply(COUNTING.format(witness=witness, mark=mark))
    with running(atlas):
        number = up.trigger("ops/again")
        wait_until(lambda: b"attempt 1" in up.log(number), what="the first attempt")
        kill_keeper(tmp_path / "atlas")

        run = up.finish(number)

        assert run.state == "succeeded", run.reason
        assert run.attempts_counted == 2
        assert [attempt["state"] for attempt in run.attempts] == ["exception", "succeeded"]
        assert LOST in str(run.attempts[0]["reason"])
        assert (up.log(number, 1), up.log(number, 2)) == (b"attempt 1\n", b"attempt 2\n")
        assert lines_of(witness) == [f"begins {number}-1", f"begins {number}-2"]
        assert marked_processes(mark) == []


def test_a_keeper_killed_between_two_steps_costs_nothing(up: Orchestra, atlas: Program, tmp_path: Path) -> None:
    job = GatedJob(tmp_path, steps=2)
    up.apply(job.definition)
    with running(atlas):
        run = up.trigger("ops/gated")
        job.await_begin(1)
        up.reach(run, "running")
        os.kill(atlas.pid, signal.SIGSTOP)
        job.open(1)
        job.await_end(1)
        folder = str(tmp_path / "atlas" / "attempts" / f"{run}-1")
        wait_until(lambda: read_exit(folder, 0) is not None, what="the keeper's last word")
        kill_keeper(tmp_path / "atlas")
        os.kill(atlas.pid, signal.SIGCONT)
        job.open(2)

        job.assert_whole(up, run)
