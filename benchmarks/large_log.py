"""One log of 10 GB: what each process has in memory at most, and what the worker's disk holds meanwhile.

`python -m benchmarks.large_log [--quick]`
"""

import threading
import time
from pathlib import Path

from benchmarks.gates import Gate, Section
from benchmarks.peer import Kind
from benchmarks.processes import Processes, cpu_seconds, memory, reset_peaks
from benchmarks.product import Product
from benchmarks.quiet import Foreign, wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table, role_of
from tests.faults.written_log import used_bytes

LOOK_SECONDS = 0.2
DISK_MIB_MAX = 1024


def measure(place: Place) -> Section:
    """One run; the log is counted by the product's own digest, which it proves before the run is over."""
    megabytes = place.size(10_000, 100)
    with Processes(place.folder) as processes:
        product = Product(processes, place.folder / "product", slots=1)
        product.subscribe()
        wait_quiet(product.roots)
        reset_peaks(product.roots)
        with Foreign(product.roots) as foreign, Disk(place.folder / "product") as disk:
            used, began = cpu_seconds(product.roots), time.monotonic()
            product.told_at(product.trigger(Kind.LOG, str(megabytes)))
            seconds = time.monotonic() - began
            used = cpu_seconds(product.roots) - used
        product.check(Kind.LOG, 1, log_length=megabytes * 1_000_000)
        peaks = {role_of(each): each.peak_mib for each in memory(product.roots)}
    told = ", ".join(f"{role} {peak:.0f}" for role, peak in peaks.items())
    head = ("", "MB", "MB/s", "CPU s", "most resident, MiB", "most on the worker's disk, MiB", "foreign CPU %")
    line = (
        product.name,
        f"{megabytes:,}",
        f"{megabytes / seconds:.0f}",
        f"{used:.1f}",
        told,
        f"{disk.most_mib:.0f}",
        f"{foreign.percent:.0f}",
    )
    most = max(peaks.values())
    return Section(
        gates=(
            Gate(what="10 GB of log: most resident of one process", limit=200, measured=most, unit="MiB"),
            Gate(what="10 GB of log: worker's disk", limit=DISK_MIB_MAX, measured=disk.most_mib, unit="MiB"),
        ),
        tables=(plain_table(head, [line]),),
    )


class Disk:
    """Looks again and again at what the worker's folder takes, holes not counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = _attempts_folder(folder)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="disk")
        self.most_mib = 0.0

    def __enter__(self) -> "Disk":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.most_mib = max(self.most_mib, used_bytes(self._folder) / 2**20)


def _attempts_folder(folder: Path) -> Path:
    found = [each for each in folder.rglob("attempts") if each.is_dir()]
    assert len(found) == 1, f"one worker has a folder for attempts: {found}"
    return found[0]


ROW = Row(name="large_log", title="A log of 10 GB", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
