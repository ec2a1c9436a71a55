"""Whole frames come twice, in another order, again much later, or late: nothing is executed twice, nothing is lost."""

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.faults.checker import check
from tests.faults.crowd import Crowd
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.own_connection import own_connection
from tests.faults.witness import Witness
from tests.support.frame_proxy import DELAYED, DOUBLED, REPLAYED, SWAPPED, FrameProxy, Mischief
from tests.support.journey import Orchestra, running, wait_until

ALL = Mischief(double=0.02, swap=0.02, replay=0.02, delay=0.02)
ALL_KINDS = [DOUBLED, SWAPPED, REPLAYED, DELAYED]
FEW, MANY = 30, 400


def long(mischief: Mischief, *kinds: str, name: str) -> ParameterSet:
    return pytest.param(mischief, list(kinds), MANY, id=name, marks=[pytest.mark.long, pytest.mark.timeout(1800)])


@pytest.mark.parametrize(
    ("mischief", "kinds", "runs"),
    [
        pytest.param(ALL, ALL_KINDS, FEW, id="all, few"),
        long(Mischief(double=0.1), DOUBLED, name="doubled"),
        long(Mischief(swap=0.1), SWAPPED, name="swapped"),
        long(Mischief(replay=0.1), REPLAYED, name="replayed"),
        long(Mischief(delay=0.05), DELAYED, name="delayed up to 5 s"),
        long(ALL, *ALL_KINDS, name="all"),
    ],
)
def test_frames_that_are_not_delivered_as_they_were_sent_do_no_harm(
    up: Orchestra,
    tmp_path: Path,
    witness: Witness,
    seed: int,
    fired: Fired,
    mischief: Mischief,
    kinds: list[str],
    runs: int,
) -> None:
    fired.want(*kinds)
    with FrameProxy(up.port, mischief, seed=seed) as proxy, own_connection(up) as own:
        worker = up.worker(tmp_path, "atlas", slots=8, port=proxy.port)
        load = Load(own, witness)
        with running(worker):
            with Crowd(load, witness=witness, seed=seed, waiting=8) as crowd:
                wait_until(
                    lambda: crowd.triggered >= runs and all(proxy.counts[kind] for kind in kinds),
                    seconds=runs * 3 + 60,
                    what="the load to go on",
                )
            proxy.calm()
            load.await_over(seconds=90)
            for kind in kinds:
                fired(kind, proxy.counts[kind])

            print(f"{crowd.triggered} runs, {dict(proxy.counts)}, {worker.output.count('link_welcome')} sessions")
            check(up, witness, load.expected).assert_none()
