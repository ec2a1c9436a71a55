"""The link breaks after every number of bytes, in the middle of whatever is being said: nothing is lost or doubled."""

import os
import random
import time
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.crowd import Crowd
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.own_connection import own_connection
from tests.faults.witness import Witness
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.journey import PYTHON, Orchestra, Program, running, wait_until
from tests.support.proxy import Direction

SLOTS = 4
WAITING = 4
EACH_BYTES, ALL_BYTES = 2048, 64 << 10
STRIDE = int(os.environ.get("ORCHESTRA_FAULT_STRIDE", "31"))
"""Between two cuts beyond the first bytes; 1 is every byte, and takes an hour."""
LINES = [0, 3, 40, 400, 3000]


def eager_worker(up: Orchestra, folder: Path, port: int) -> Program:
    """A worker that comes back at once."""
    words = [PYTHON, "-m", "tests.faults.eager_worker", "--name", "atlas", "--folder", str(folder / "atlas")]
    words += ["--token-file", str(up.data / "worker.token"), "--slots", str(SLOTS)]
    return Program([*words, "--master", f"ws://127.0.0.1:{port}"], log=folder / "atlas.log")


def sweep(stride: int, chance: random.Random) -> list[Cut]:
    """Every byte at first, in which all of a session's kinds of words are; then one in so many, up to 64 KiB."""
    shift = chance.randrange(stride)
    later = range(EACH_BYTES + shift, ALL_BYTES + 1, stride)
    answers = range(EACH_BYTES + shift, 4 * EACH_BYTES, stride)  # the master says much less than its worker
    return [
        *(Cut(direction=way, after_bytes=count) for count in range(EACH_BYTES) for way in Direction),
        *(Cut(direction=Direction.TO_TARGET, after_bytes=count) for count in later),
        *(Cut(direction=Direction.FROM_TARGET, after_bytes=count) for count in answers),
    ]


@pytest.mark.parametrize(
    "count", [60, pytest.param(None, marks=[pytest.mark.long, pytest.mark.timeout(7200)])], ids=["some", "all"]
)
def test_a_link_that_breaks_after_any_number_of_bytes_loses_and_doubles_nothing(
    up: Orchestra, tmp_path: Path, witness: Witness, chance: random.Random, seed: int, fired: Fired, count: int | None
) -> None:
    cuts = sweep(STRIDE, chance)
    if count is not None:
        cuts = sorted(chance.sample(cuts, count), key=lambda cut: cut.after_bytes)
    with (
        CuttingProxy(("127.0.0.1", up.port), cuts, chance=chance) as proxy,
        own_connection(up) as own,
        running(eager_worker(up, tmp_path, proxy.port)),
    ):
        load = Load(own, witness)
        with Crowd(load, witness=witness, seed=seed, waiting=WAITING, lines=LINES, pauses=[0.0]) as crowd:
            started_at = time.monotonic()
            wait_until(lambda: proxy.fired + proxy.ended_before >= len(cuts), seconds=len(cuts) + 30, what="all cuts")
        load.await_over(seconds=60)
        fired("cut", proxy.fired)

        seconds = time.monotonic() - started_at
        print(f"{proxy.fired} of {len(cuts)} cuts in {seconds:.0f} s, {crowd.triggered} runs")
        check(up, witness, load.expected).assert_none()
        assert proxy.fired >= 0.9 * len(cuts), "too many connections ended by themselves"
