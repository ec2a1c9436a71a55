"""A hundred runs through a lock of one while what gives it out is killed: no two overlap, and none is left behind."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from orchestra.network.client import API
from tests.support.distributed import Distributed
from tests.support.journey import Instance, Orchestra, Run, await_lines, lines_of, running, started, wait_until

PROJECTS = ("ops", "shop")
LOCKED = """
orchestra: 1
project: {project}
jobs:
  pass:
    locks: gate
    run: |
      echo "begin $ORCHESTRA_RUN" >> {witness}
      sleep 0.02
      while [ -e {witness}.hold ]; do echo "$ORCHESTRA_RUN" > {witness}.inside; sleep 0.05; done
      echo "end $ORCHESTRA_RUN" >> {witness}
"""
RUNS = 100
KILLS = 3
SLOTS = 4


class Runs(msgspec.Struct, frozen=True):
    """A page of runs."""

    items: tuple[Run, ...]


class Gate:
    """What the runs write down when they pass, and how one of them is kept inside."""

    def __init__(self, instance: Instance, witness: Path) -> None:
        self._instance = instance
        self._witness = witness
        self._hold = witness.with_name(f"{witness.name}.hold")
        self._inside = witness.with_name(f"{witness.name}.inside")
        self._numbers: list[int] = []

    @property
    def last_line(self) -> str:
        """What happened last."""
        return lines_of(self._witness)[-1]

    def trigger_all(self) -> None:
        """Of two projects by turns: they share the lock."""
        for project in PROJECTS:
            self._instance.apply(LOCKED.format(project=project, witness=self._witness))
        self._numbers = [self._instance.trigger(f"{PROJECTS[number % 2]}/pass") for number in range(RUNS)]

    def kill_while_one_is_inside(self, through: int, kill: Callable[[], None]) -> int:
        """When at least so many runs are through; which one is inside, and stays there until it is let out."""
        await_lines(self._witness, 2 * through)
        self._inside.unlink(missing_ok=True)
        self._hold.touch()
        (inside,) = wait_until(lambda: lines_of(self._inside), what="a run inside")
        kill()
        return int(inside)

    def let_out(self, inside: int) -> None:
        """Waits until it has ended."""
        self._hold.unlink()
        wait_until(lambda: f"end {inside}" in lines_of(self._witness), what="the end of the run inside")

    def assert_each_passed_alone(self) -> set[str | None]:
        """And once, and nothing waits any more, and the lock is free; the workers that had them."""
        runs = [self._instance.finish(number) for number in self._numbers]
        lines = lines_of(self._witness)
        order = [int(line.split()[1]) for line in lines[::2]]
        assert lines == [f"{word} {number}" for number in order for word in ("begin", "end")]
        assert sorted(order) == self._numbers
        assert {(run.state, run.attempts_counted) for run in runs} == {("succeeded", 1)}
        for state in ("pending", "assigned", "running"):
            assert self._instance.api.get(f"{API}/runs", {"status": state}).read(Runs).items == ()
        assert self._instance.finish(self._instance.trigger("ops/pass")).state == "succeeded"
        return {run.worker for run in runs}


def test_a_hundred_runs_pass_a_lock_of_one_though_the_server_is_killed(tmp_path: Path, witness: Path) -> None:
    with started(Orchestra(tmp_path, slots=SLOTS)) as up:
        gate = Gate(up, witness)
        gate.trigger_all()
        for kill in range(1, KILLS + 1):
            inside = gate.kill_while_one_is_inside(kill * RUNS // (KILLS + 2), up.program.kill)
            if kill % 2:
                gate.let_out(inside)  # nobody is there to be told
                up.start()
            else:
                up.start()
                wait_until(lambda: up.connected("local"), what="the worker to be back")
                assert gate.last_line == f"begin {inside}"
                gate.let_out(inside)

        gate.assert_each_passed_alone()


@pytest.fixture
def instance(tmp_path: Path, postgres_url: str) -> Iterator[Distributed]:
    """Two masters and a service."""
    with Distributed(tmp_path, postgres_url) as distributed:
        yield distributed


def test_two_masters_that_are_killed_by_turns_keep_a_lock_of_one(instance: Distributed, witness: Path) -> None:
    # Each has a worker that only it can give runs to, so that both want the lock all the time.
    workers = [
        instance.worker(f"worker-{number}", slots=SLOTS, ports=[master.port])
        for number, master in enumerate(instance.masters)
    ]
    with running(*workers):
        wait_until(lambda: sum(each.connected for each in instance.fleet().values()) == 2, what="the workers")
        gate = Gate(instance, witness)
        gate.trigger_all()
        for kill in range(1, KILLS + 1):
            victim = instance.masters[kill % 2]
            gate.let_out(gate.kill_while_one_is_inside(kill * RUNS // (KILLS + 2), victim.kill))
            victim.start()

        assert gate.assert_each_passed_alone() == {"worker-0", "worker-1"}
