"""An offer that cannot be accepted is taken back, and the run goes elsewhere: once, whatever comes late."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.figures import figure
from tests.support.journey import Orchestra, Run, lines_of, wait_until
from tests.support.proxy import Proxy

BACK_SECONDS_MAX = figure(5.0)
NOTING = """
orchestra: 1
project: ops
jobs:
  note:
    run: echo "$ORCHESTRA_RUN $ORCHESTRA_ATTEMPT $ORCHESTRA_WORKER" >> {witness}
    worker: {{ prefer: {{ zone: far }} }}
"""


@contextmanager
def far_and_near(up: Orchestra, folder: Path) -> Iterator[Proxy]:
    """Two workers: runs prefer `far`, whose link can be broken; both are connected."""
    with Proxy(("127.0.0.1", up.port)) as proxy:
        far = up.worker(folder, "far", port=proxy.port, zone="far")
        near = up.worker(folder, "near", zone="near")
        for worker in (far, near):
            worker.start()
        try:
            wait_until(lambda: up.connected("far") and up.connected("near"), what="both workers")
            yield proxy
        finally:
            far.stop()
            near.stop()


def test_an_offer_into_a_dead_link_comes_back_and_the_run_goes_elsewhere(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(NOTING.format(witness=witness))
    with far_and_near(up, tmp_path) as proxy:
        proxy.freeze()
        offered_at = time.monotonic()
        number = up.trigger("ops/note")
        offered = up.reach(number, "assigned")
        up.reach(number, "pending", "running", "succeeded", seconds=BACK_SECONDS_MAX)
        back_after = time.monotonic() - offered_at
        run = up.finish(number, seconds=BACK_SECONDS_MAX)
        proxy.mend()
        wait_until(lambda: up.connected("far") and proxy.accepted > 1, what="the far worker to be back")
        afterwards = up.finish(up.trigger("ops/note"))

        assert offered.worker == "far"
        assert back_after < BACK_SECONDS_MAX
        assert (run.state, run.worker, run.attempts_counted) == ("succeeded", "near", 1)
        assert (afterwards.state, afterwards.worker) == ("succeeded", "far")
        assert [line.split()[0] for line in lines_of(witness)] == [str(number), str(afterwards.id)]


def test_an_offer_that_arrives_late_runs_nothing(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(NOTING.format(witness=witness))
    with far_and_near(up, tmp_path) as proxy:
        proxy.stall()
        number = up.trigger("ops/note")
        offered = up.reach(number, "assigned")
        run = up.finish(number, seconds=2 * BACK_SECONDS_MAX)
        was_connected = up.connected("far")
        proxy.mend()
        # The far worker is offered nothing for a while: the run that it takes comes after the late offer.
        later = wait_until(lambda: next_of(up, "far"), what="the far worker to take runs again")

        assert offered.worker == "far"
        assert (run.state, run.worker, run.attempts_counted) == ("succeeded", "near", 1)
        assert was_connected
        assert proxy.accepted == 1, "the late offer went down with its connection"
        assert later.state == "succeeded"
        assert lines_of(witness)[0].startswith(f"{number} ")
        assert [line.split()[0] for line in lines_of(witness)] == [str(each) for each in range(number, later.id + 1)]


def next_of(up: Orchestra, worker: str) -> Run | None:
    """Another run, if it is this worker that took it."""
    run = up.finish(up.trigger("ops/note"))
    return run if run.worker == worker else None
