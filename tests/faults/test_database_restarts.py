"""PostgreSQL ends at once, as in a crash, and comes back, again and again: no run is lost and none runs twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.asking import read
from tests.faults.checker import check
from tests.faults.crashing_server import CrashingServer, crashing_server
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.witness import Witness
from tests.support.distributed import Distributed
from tests.support.figures import figure
from tests.support.journey import running, wait_until

ANSWER_SECONDS_MAX = figure(5.0)
RUNS_EACH_TIME = 3


@pytest.fixture
def durable() -> Iterator[tuple[CrashingServer, str]]:
    """A server of its own, and the address of a database."""
    with crashing_server() as made:
        yield made


@pytest.mark.parametrize("crashes", [3, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_database_that_crashes_again_and_again_loses_no_run(
    durable: tuple[CrashingServer, str], tmp_path: Path, witness: Witness, fired: Fired, crashes: int
) -> None:
    server, address = durable
    with Distributed(tmp_path, address, masters=1) as instance, running(instance.worker("atlas", slots=4)):
        load = Load(instance, witness)
        wait_until(lambda: instance.connected("atlas"), what="atlas")
        for _ in range(crashes):
            for _ in range(RUNS_EACH_TIME):
                load.trigger(lines=10, pause=0.1)
            server.crash()
            asked = read(instance, "/runs")
            assert asked.status in (200, 503)
            assert asked.seconds <= ANSWER_SECONDS_MAX
            fired("crash")
            wait_until(lambda: read(instance, "/runs").status == 200, what="the API to be back")

        load.await_over(seconds=60)
        check(instance, witness, load.expected).assert_none()
