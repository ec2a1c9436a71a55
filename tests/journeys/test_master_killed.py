"""`kill -9` of the master: runs go on, and everything of them is there once it is back."""

import os
import signal
import time
from pathlib import Path

from tests.support.journey import Orchestra, arguments_of, keeper_of, marked_processes, started, wait_until

COUNTING = """
orchestra: 1
project: ops
jobs:
  count:
    run: |
      echo "begin $ORCHESTRA_RUN $ORCHESTRA_ATTEMPT" >> {witness}
      for number in $(seq 1 40); do echo "line $number"; sleep 0.1; done
      while [ -e {witness}.hold ]; do sleep 0.1; done
      orchestra result set lines 40 --parse
      echo "end $ORCHESTRA_RUN" >> {witness}
"""
WHOLE_LOG = b"".join(b"line %d\n" % number for number in range(1, 41))


def lines_of(witness: Path) -> list[str]:
    return witness.read_text().splitlines() if witness.exists() else []


def test_a_run_goes_on_while_the_master_is_dead(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    worker = up.worker(tmp_path, "atlas")
    worker.start()
    try:
        up.apply(COUNTING.format(witness=witness))
        number = up.trigger("ops/count")
        up.reach(number, "running")
        wait_until(lambda: up.run(number).log_length or b"line 3" in up.log(number), what="the first output")

        up.program.kill()
        wait_until(lambda: "end 1" in lines_of(witness), what="the run to end without a master")
        up.start()
        run = up.finish(number)

        assert run.state == "succeeded", run.reason
        assert up.log(number) == WHOLE_LOG
        assert run.results == {"lines": 40}
        assert lines_of(witness) == ["begin 1 1", "end 1"]
        assert run.attempts_counted == 1
    finally:
        worker.stop()


def test_the_workers_of_up_are_adopted_by_the_next_up(tmp_path: Path, witness: Path) -> None:
    hold = tmp_path / "witness.hold"
    hold.touch()
    with started(Orchestra(tmp_path, slots=2)) as up:
        up.apply(COUNTING.format(witness=witness))
        number = up.trigger("ops/count")
        up.reach(number, "running")
        keeper = keeper_of(up.data / "workers" / "local")

        up.program.kill()
        wait_until(lambda: not agents(up.data), what="the agents to end with their parent")
        was_running = lines_of(witness) == ["begin 1 1"]
        hold.unlink()
        up.start()
        run = up.finish(number)

        assert was_running
        assert run.state == "succeeded", run.reason
        assert up.log(number) == WHOLE_LOG
        assert lines_of(witness) == ["begin 1 1", "end 1"]
        assert keeper_of(up.data / "workers" / "local") == keeper


def test_what_was_triggered_just_before_the_kill_is_there_and_runs_once(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(f"orchestra: 1\nproject: ops\njobs:\n  note:\n    run: echo $ORCHESTRA_RUN >> {witness}\n")
    numbers = [up.trigger("ops/note") for _ in range(20)]
    worker = up.worker(tmp_path, "atlas", slots=4)
    worker.start()
    try:
        wait_until(lambda: len(lines_of(witness)) >= 3, what="some runs to be over")
        for _ in range(3):
            up.program.kill()
            up.start()
        runs = [up.finish(number) for number in numbers]

        assert {run.state for run in runs} == {"succeeded"}
        assert sorted(map(int, lines_of(witness))) == numbers
    finally:
        worker.stop()


def test_a_frozen_master_is_no_reason_to_fail(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    worker = up.worker(tmp_path, "atlas")
    worker.start()
    try:
        up.apply(COUNTING.format(witness=witness))
        number = up.trigger("ops/count")
        up.reach(number, "running")

        os.kill(up.program.pid, signal.SIGSTOP)
        time.sleep(17)  # longer than either side's silence bound
        os.kill(up.program.pid, signal.SIGCONT)
        run = up.finish(number)

        assert run.state == "succeeded", run.reason
        assert up.log(number) == WHOLE_LOG
        assert lines_of(witness) == ["begin 1 1", "end 1"]
    finally:
        worker.stop()


def agents(data: Path) -> list[int]:
    """The worker agents of this data folder."""
    found = []
    for pid in marked_processes(str(data)):
        arguments = arguments_of(pid)
        if b"orchestra_worker" in arguments and b"keeper" not in arguments:
            found.append(pid)
    return found


def test_up_can_be_stopped_and_says_nothing_is_left(tmp_path: Path) -> None:
    up = Orchestra(tmp_path, slots=1)
    up.start()
    wait_until(lambda: up.connected("local"), what="the local worker")

    status = up.stop()

    assert status == 0, up.program.output
    assert not agents(up.data)
