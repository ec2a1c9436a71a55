"""From the command `orchestra up` until it serves: `python -m benchmarks.startup [--quick]`."""

import http.client
import statistics
import time
from functools import partial

from benchmarks.gates import Gate, Section
from benchmarks.processes import wait_until
from benchmarks.quiet import wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table
from orchestra.network.client import API
from tests.support.journey import Orchestra

READY_SECONDS_MAX = 60.0


def measure(place: Place) -> Section:
    """In an empty folder, where the database must be made, and in one that is known; the median of a few times."""
    times = place.size(7, 2)
    fresh, again, connected = [], [], []
    for number in range(times):
        folder = place.folder / f"instance-{number}"
        folder.mkdir()
        wait_quiet()
        fresh.append(start_seconds(Orchestra(folder)))
        up = Orchestra(folder)
        began = time.monotonic()
        again.append(_start(up))
        _wait_for_worker(up)
        connected.append(time.monotonic() - began)
        up.stop()
    rows = (("in an empty folder", fresh), ("again", again), ("again, until its worker is connected", connected))
    lines = [(name, f"{min(each):.2f}", f"{statistics.median(each):.2f}", f"{max(each):.2f}") for name, each in rows]
    return Section(
        gates=(
            Gate(what="start of `orchestra up` until ready", limit=2, measured=statistics.median(again), unit="s"),
            Gate(what="the same in an empty folder", limit=2, measured=statistics.median(fresh), unit="s"),
        ),
        tables=(plain_table((f"{times} times", "least s", "p50 s", "most s"), lines),),
    )


def start_seconds(up: Orchestra) -> float:
    """Starts it, waits until it says that it is ready, and ends it."""
    seconds = _start(up)
    up.stop()
    return seconds


def _start(up: Orchestra) -> float:
    began = time.monotonic()
    up.program.start()
    wait_until(lambda: _is_ready(up.port), seconds=READY_SECONDS_MAX, every=0.005, what="orchestra up")
    return time.monotonic() - began


def _wait_for_worker(up: Orchestra) -> None:
    wait_until(partial(up.connected, "local"), seconds=READY_SECONDS_MAX, every=0.01, what="the local worker")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS_MAX)
    try:
        connection.request("GET", f"{API}/health/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


ROW = Row(name="startup", title="Start", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
