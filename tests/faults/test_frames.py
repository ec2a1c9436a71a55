"""Whole frames come twice, in another order, again much later, or late: nothing is executed twice, nothing is lost."""

from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.crowd import Crowd
from tests.faults.fired import Fired
from tests.faults.load import Load
from tests.faults.own_connection import own_connection
from tests.faults.witness import Witness
from tests.support.frame_proxy import DELAYED, DOUBLED, REPLAYED, SWAPPED, FrameProxy, Mischief
from tests.support.journey import Orchestra, running, wait_until

ALL = Mischief(double=0.02, swap=0.02, replay=0.02, delay=0.02)


@pytest.mark.parametrize(
    ("mischief", "kinds"),
    [
        pytest.param(Mischief(double=0.1), [DOUBLED], id="doubled"),
        pytest.param(Mischief(swap=0.1), [SWAPPED], id="swapped"),
        pytest.param(Mischief(replay=0.1), [REPLAYED], id="replayed"),
        pytest.param(Mischief(delay=0.05), [DELAYED], id="delayed up to 5 s"),
        pytest.param(ALL, [DOUBLED, SWAPPED, REPLAYED, DELAYED], id="all"),
    ],
)
@pytest.mark.parametrize(
    "runs", [30, pytest.param(500, marks=[pytest.mark.long, pytest.mark.timeout(1800)])], ids=["some", "many"]
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
