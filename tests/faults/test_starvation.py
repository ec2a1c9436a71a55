"""Processors that are taken by others: a worker that gets hardly any of them is slow, and neither lost nor cut off."""

import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.witness import Witness
from tests.support.figures import is_alone
from tests.support.journey import Orchestra, running, wait_until

LOOPS_EACH = 4
"""For each processor."""
RUNS_AT_ONCE = 2


@contextmanager
def busy_loops(processors: Collection[int]) -> Iterator[None]:
    """Processes that never wait for anything, on these processors."""
    # Each in a session of its own: the kernel shares the processors out among sessions first.
    command = ["taskset", "-c", listed(processors), sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command, start_new_session=True) for _ in range(LOOPS_EACH * len(processors))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def listed(processors: Collection[int]) -> str:
    """As `taskset` takes them."""
    return ",".join(map(str, sorted(processors)))


def scheduled(pid: int) -> tuple[int, int]:
    """For how long the process ran on a processor, and for how long it waited for one, in nanoseconds."""
    ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran), int(waited)


@pytest.mark.parametrize("seconds", [20, pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(1200)])])
def test_a_starved_worker_keeps_its_session_and_its_runs(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, seconds: int
) -> None:
    load = Load(up, witness)
    processors = sorted(os.sched_getaffinity(0))
    starved = processors if is_alone() else processors[:1]  # one, so that other tests are not starved as well
    atlas = up.worker(tmp_path, "atlas", slots=RUNS_AT_ONCE).below("nice", "-n", "19", "taskset", "-c", listed(starved))
    with running(atlas):
        wait_until(lambda: up.connected("atlas"), what="atlas")
        ends_at = time.monotonic() + seconds
        ran_before, waited_before = scheduled(atlas.pid)
        with busy_loops(starved):
            while time.monotonic() < ends_at:
                for _ in range(RUNS_AT_ONCE):
                    load.trigger(lines=20, pause=0.05)
                load.await_over(seconds=120)
                assert up.connected("atlas")
            ran, waited = scheduled(atlas.pid)
            fired("starved", int(waited - waited_before > ran - ran_before))
        assert os.getpriority(os.PRIO_PROCESS, atlas.pid) == 19
        check(up, witness, load.expected).assert_none()
        assert atlas.output.count("link_welcome") == 1, atlas.output
