"""Jobs that harm what executes them: out of memory, crash after crash, the keeper killed. Their neighbours go on.

Without a word about poison in its definition each run is tried as often as its own policy says; `tests/journeys` has a
job that is put into quarantine.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.faults.witness import BEGINS, ENDS, Witness
from tests.support.figures import figure
from tests.support.journey import PYTHON, Orchestra, keeper_of, running, wait_until

MEMORY = Path("/sys/fs/cgroup/memory")
LIMIT_BYTES = 64 << 20
JOBS = """\
orchestra: 1
project: ops
jobs:
  neighbour:
    run: |
      . {script}
      begins
      while [ ! -e {folder}/release ]; do sleep 0.05; done
      ends
  hungry:
    worker: {{place: here}}
    retry: {{max-attempts: 3, wait: 100ms, on: [exit]}}
    run: |
      . {script}
      begins
      echo $$ > {group}/cgroup.procs
      {python} -c 'b = bytearray(1 << 30); b[::4096] = b"x" * len(b[::4096])'
      ends
  crashing:
    worker: {{place: here}}
    retry: {{max-attempts: 10, wait: 10ms, on: [exit]}}
    run: |
      . {script}
      begins
      kill -SEGV $$
  murderous:
    worker: {{place: here}}
    retry: {{max-attempts: 3, wait: 100ms, on: [lost]}}
    run: |
      . {script}
      begins
      kill -9 $PPID
      sleep 100
  short:
    worker: {{place: here}}
    run: |
      . {script}
      begins
      ends
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with little memory, where this machine lets us make one."""
    path = MEMORY / f"poison-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    (path / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    with suppress(OSError):
        (path / "memory.memsw.limit_in_bytes").write_text(str(LIMIT_BYTES))
    yield path
    wait_until(lambda: not (path / "cgroup.procs").read_text(), what="the group to be empty")
    path.rmdir()


@pytest.fixture
def fleet(up: Orchestra, tmp_path: Path) -> Iterator[Orchestra]:
    """Two workers; the poisonous jobs go to the one that is `here`."""
    with running(up.worker(tmp_path, "atlas", place="here"), up.worker(tmp_path, "borea", place="there")):
        wait_until(lambda: up.connected("atlas") and up.connected("borea"), what="the workers")
        yield up


def define(up: Orchestra, witness: Witness, folder: Path, group: Path | str = "/dev/null") -> None:
    """Puts the jobs in force."""
    up.apply(JOBS.format(script=witness.script, folder=folder, python=PYTHON, group=group))


def begin_neighbours(up: Orchestra, witness: Witness) -> dict[str, int]:
    """One run on each worker, under way."""
    numbers = [up.trigger("ops/neighbour") for _ in range(2)]
    witness.await_count(BEGINS, 2)
    found = {str(up.reach(number, "running").worker): number for number in numbers}
    assert set(found) == {"atlas", "borea"}
    return found


def oom_kills(group: Path) -> int:
    """How often the kernel has killed for want of memory in this group."""
    words = (group / "memory.oom_control").read_text().split()
    return int(words[words.index("oom_kill") + 1])


def test_a_job_that_eats_all_memory_ends_alone(
    fleet: Orchestra, witness: Witness, tmp_path: Path, group: Path, fired: Fired
) -> None:
    define(fleet, witness, tmp_path, group)
    neighbours = begin_neighbours(fleet, witness)
    keeper = keeper_of(tmp_path / "atlas")

    run = fleet.finish(fleet.trigger("ops/hungry"), seconds=60)
    fired("out of memory", oom_kills(group))
    (tmp_path / "release").touch()
    ends = [fleet.finish(number) for number in neighbours.values()]

    assert (run.state, run.attempts_counted) == ("failed", 3), run.reason
    assert run.exit_code in (-9, 137)
    assert [end.state for end in ends] == ["succeeded", "succeeded"]
    assert keeper_of(tmp_path / "atlas") == keeper
    assert witness.count(BEGINS) == 2 + 3


def test_a_job_that_crashes_again_and_again_ends_as_often_as_its_policy_says(
    fleet: Orchestra, witness: Witness, tmp_path: Path, fired: Fired
) -> None:
    define(fleet, witness, tmp_path)
    neighbours = begin_neighbours(fleet, witness)

    crashing = [fleet.trigger("ops/crashing") for _ in range(3)]
    begun = time.monotonic()
    short = fleet.finish(fleet.trigger("ops/short"))
    waited = time.monotonic() - begun
    runs = [fleet.finish(number, seconds=60) for number in crashing]
    fired("crash", sum(run.attempts_counted for run in runs))
    (tmp_path / "release").touch()
    ends = [fleet.finish(number) for number in neighbours.values()]

    assert [(run.state, run.exit_code, run.attempts_counted) for run in runs] == [("failed", -11, 10)] * 3
    assert (short.state, waited < figure(10)) == ("succeeded", True), waited
    assert [end.state for end in ends] == ["succeeded", "succeeded"]
    assert witness.count(BEGINS) == 2 + 30 + 1


def test_a_job_that_kills_its_keeper_harms_no_other_worker_and_the_next_run_works(
    fleet: Orchestra, witness: Witness, tmp_path: Path, fired: Fired
) -> None:
    define(fleet, witness, tmp_path)
    neighbours = begin_neighbours(fleet, witness)
    keeper = keeper_of(tmp_path / "atlas")

    run = fleet.finish(fleet.trigger("ops/murderous"), seconds=60)
    fired("keeper killed", run.attempts_counted)
    beside = fleet.finish(neighbours["atlas"])
    short = fleet.finish(fleet.trigger("ops/short"))
    (tmp_path / "release").touch()
    elsewhere = fleet.finish(neighbours["borea"])

    assert (run.state, run.attempts_counted) == ("exception", 3)
    assert "keeper lost" in run.reason
    assert (beside.state, beside.attempts_counted) == ("exception", 1), "what a keeper held ends with it, and says so"
    assert "keeper lost" in beside.reason
    assert (short.state, elsewhere.state) == ("succeeded", "succeeded")
    assert keeper_of(tmp_path / "atlas") != keeper
    assert witness.count(BEGINS) == 2 + 3 + 1
    assert witness.runs(ENDS) == {short.id, elsewhere.id}
