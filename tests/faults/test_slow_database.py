"""A database that is slow, locked by somebody else, or restarted at once again and again: late, and never wrong."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.asking import read, trigger
from tests.faults.checker import Expected, check
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.strace import injected
from tests.faults.witness import ENDS, Witness
from tests.support.figures import figure
from tests.support.journey import Orchestra, running, wait_until

RUNS = 4
ANSWER_SECONDS_MAX = figure(6.0)


@contextmanager
def write_lock(database: Path) -> Iterator[None]:
    """Somebody opens the file with a program of their own, and begins to write."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=30)
    connection.execute("begin immediate")
    try:
        yield
    finally:
        connection.execute("rollback")
        connection.close()


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
def test_a_database_that_somebody_else_holds_costs_time_and_no_run(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, seconds: int
) -> None:
    load, gate = Load(up, witness), tmp_path / "gate"
    with running(up.worker(tmp_path, "atlas", slots=RUNS)):
        first, *_ = [load.trigger(lines=40, pause=0.05) for _ in range(RUNS // 2)]
        held = [load.trigger(gate=gate) for _ in range(RUNS // 2)]
        wait_until(lambda: up.run(first).log_length > 0, what="the first output")
        wait_until(lambda: all(up.run(number).state == "running" for number in held), what="those who wait")
        with write_lock(up.data / "orchestra.db"):
            held_until = time.monotonic() + seconds
            gate.touch()
            refused = trigger(up, "ops/witnessed", {})
            fired("refused", int(refused.status == 503))
            assert refused.seconds <= ANSWER_SECONDS_MAX
            while time.monotonic() < held_until:
                asked = read(up, f"/runs/{first}")
                assert asked.status in (200, 503)
                assert asked.seconds <= ANSWER_SECONDS_MAX
                threading.Event().wait(0.2)
            witness.await_count(ENDS, RUNS)
            fired("not stored", int(not any(up.run(number).is_over for number in held)))

        again = trigger(up, "ops/witnessed", {}, key=refused.key)
        assert again.status == 201
        assert again.run is not None
        load.expected[again.run] = Expected()
        load.await_over(seconds=60)
        check(up, witness, load.expected).assert_none()


@pytest.mark.parametrize("seconds", [0.5, pytest.param(2.0, marks=pytest.mark.long)])
def test_commits_that_take_seconds_lose_nothing(
    up: Orchestra, tmp_path: Path, witness: Witness, fired: Fired, seconds: float
) -> None:
    load = Load(up, witness)
    with running(up.worker(tmp_path, "atlas", slots=RUNS)):
        wait_until(lambda: up.connected("atlas"), what="atlas")
        delay = f"delay_enter={seconds * 1e6:.0f}"
        with injected(up.program.pid, tmp_path / "strace", calls="fdatasync", what=delay) as injection:
            for _ in range(RUNS):
                load.trigger()
            load.await_over(seconds=90)
            fired("slow commit", injection.count)
        assert up.connected("atlas")
        check(up, witness, load.expected).assert_none()
