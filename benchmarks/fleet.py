"""1,000 idle workers on one master, which is then killed: `python -m benchmarks.fleet [--quick]`.

The workers are fakes in one process, with the product's own link; the floor are bare connections that say nothing.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.floor import START_SECONDS_MAX, free_port, is_open
from benchmarks.gates import Gate, Section
from benchmarks.processes import Processes, memory, percentile
from benchmarks.quiet import wait_quiet
from benchmarks.rest import exact_cpu_seconds
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table
from tests.faults.test_storm import Welcomed, stored, welcomes
from tests.support.journey import PYTHON, Orchestra, Program, running, started, wait_until

ALL_SECONDS_MAX = 120.0
SETTLE_SECONDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """What so many idle workers cost their master, and how they came back to the next one."""

    kibibytes_each: float
    cpu_percent: float
    back_seconds: float
    handshakes: tuple[float, ...]
    is_unchanged: bool


def measure(place: Place) -> Section:
    """The product, then the bare connections."""
    count = place.size(1000, 50)
    crowd = _product(place, count)
    floor = _floor(place, count)
    handshake = f"{percentile(crowd.handshakes, 0.5):.2f} / {percentile(crowd.handshakes, 0.99):.2f}"
    lines = [
        (
            "orchestra",
            f"{crowd.kibibytes_each:.1f}",
            f"{crowd.cpu_percent:.2f}",
            f"{crowd.back_seconds:.1f}",
            handshake,
        ),
        ("floor, bare connections", f"{floor:.1f}", "", "", ""),
    ]
    head = (f"{count:,} workers", "KiB each", "CPU % of a core", "all back after kill -9, s", "handshake p50 / p99 s")
    what = "1,000 idle workers"
    ratio = crowd.kibibytes_each / floor
    return Section(
        gates=(
            Gate(what=f"{what}: memory of the master, each", limit=46, measured=crowd.kibibytes_each, unit="KiB"),
            Gate(what=f"{what}: memory, to bare connections", limit=3, measured=ratio, unit="×"),
            Gate(what=f"{what}: CPU of the master", limit=0.5, measured=crowd.cpu_percent, unit="% of a core"),
            Gate(what=f"{what}: all back after kill -9", limit=20, measured=crowd.back_seconds, unit="s"),
            Gate(what=f"{what}: anything changed by that", limit=0, measured=float(not crowd.is_unchanged)),
        ),
        tables=(plain_table(head, lines),),
    )


def _product(place: Place, count: int) -> Crowd:
    told = place.folder / "told"
    with started(Orchestra(place.folder, slots=0)) as up, _fakes(up, count, told):
        roots = [up.program.pid]
        time.sleep(place.size(SETTLE_SECONDS, 1))
        wait_quiet(roots)
        used, began = exact_cpu_seconds(roots), time.monotonic()
        time.sleep(place.size(60, 2))
        cpu_percent = 100 * (exact_cpu_seconds(roots) - used) / (time.monotonic() - began)
        with_all, before = _mebibytes(up.program.pid), stored(up)
        back, killed_at = _kill(up, told, count)
        is_unchanged = stored(up) == before
    # The same instance without anybody, so that what its first minutes brought into memory is not charged to workers.
    with started(up):
        time.sleep(place.size(SETTLE_SECONDS, 1))
        with_none = _mebibytes(up.program.pid)
    return Crowd(
        kibibytes_each=1024 * (with_all - with_none) / count,
        cpu_percent=cpu_percent,
        back_seconds=max(one.at for one in back) - killed_at,
        handshakes=tuple(one.handshake_seconds for one in back),
        is_unchanged=is_unchanged,
    )


@contextmanager
def _fakes(up: Orchestra, count: int, told: Path) -> Iterator[None]:
    """They live until the end of the block, and are all connected when it begins."""
    arguments = [PYTHON, "-m", "tests.faults.fleet", "--master", up.address, "--count", str(count)]
    arguments += ["--token-file", str(up.data / "worker.token"), "--told", str(told)]
    with running(Program(arguments, log=told.with_suffix(".log"))):
        wait_until(lambda: _are_here(told, count), seconds=ALL_SECONDS_MAX, what="all workers")
        yield


def _kill(up: Orchestra, told: Path, count: int) -> tuple[list[Welcomed], float]:
    """Kills the master, starts the next one, and gives every welcome since then."""
    killed_at = time.monotonic()
    up.program.kill()
    up.start()
    wait_until(lambda: _are_here(told, count, killed_at), seconds=ALL_SECONDS_MAX, what="all to come back")
    return list(welcomes(told, killed_at)), killed_at


def _are_here(told: Path, count: int, since: float = 0.0) -> bool:
    return len({one.worker for one in welcomes(told, since)}) == count


def _floor(place: Place, count: int) -> float:
    """KiB of the server for each connection."""
    with Processes(place.folder) as processes:
        port = free_port()
        module = [sys.executable, "-m", "benchmarks.floor_connections"]
        server = processes.start([*module, "serve", str(port)])
        wait_until(lambda: is_open(port), seconds=START_SECONDS_MAX, what="the floor")
        with_none = _mebibytes(server)
        processes.start([*module, "connect", str(port), str(count)])
        said = place.folder / "output-1.log"
        wait_until(lambda: said.read_text().strip() == str(count), seconds=ALL_SECONDS_MAX, what="the connections")
        return 1024 * (_mebibytes(server) - with_none) / count


def _mebibytes(pid: int) -> float:
    return memory([pid])[0].resident_mib


ROW = Row(name="fleet", title="1,000 idle workers", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
