"""A log as large as a disk: every byte of it stored, in little memory, while the worker's own disk stays free."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.faults.process_figures import forget_peak, processor_seconds, resident_peak_bytes
from tests.faults.written_log import WRITER, assert_stored, used_bytes
from tests.support.journey import PYTHON, Orchestra, Program, keeper_of, running, wait_until

MEBIBYTE = 1 << 20
RESIDENT_BYTES_MAX = 200 * MEBIBYTE
STORED_SECONDS_MAX = 120.0
SMALL_FILES_BYTES_MAX = MEBIBYTE
"""What an attempt keeps beside its log: its orders, its report, its folders."""
JOBS = """\
orchestra: 1
project: ops
jobs:
  large:
    command: [{python}, {folder}/writer.py, '{seed}', '{mebibytes}', '0a']
"""


@pytest.fixture
def atlas(up: Orchestra, tmp_path: Path) -> Iterator[Program]:
    """The worker that executes it."""
    worker = up.worker(tmp_path, "atlas")
    with running(worker):
        wait_until(lambda: up.connected("atlas"), what="the worker")
        yield worker


@pytest.mark.parametrize(
    ("mebibytes", "seconds", "disk"),
    [
        (100, STORED_SECONDS_MAX, 100 * MEBIBYTE + SMALL_FILES_BYTES_MAX),
        pytest.param(10_240, STORED_SECONDS_MAX, 1024 * MEBIBYTE, marks=[pytest.mark.long, pytest.mark.timeout(1200)]),
    ],
)
def test_a_large_log_is_stored_whole_in_bounded_memory_and_disk(
    up: Orchestra, atlas: Program, tmp_path: Path, fired: Fired, seed: int, mebibytes: int, seconds: float, disk: int
) -> None:
    (tmp_path / "writer.py").write_text(WRITER)
    up.apply(JOBS.format(python=PYTHON, folder=tmp_path, seed=seed, mebibytes=mebibytes))
    ours = {"up": up.program.pid, "agent": atlas.pid, "keeper": keeper_of(tmp_path / "atlas")}
    for pid in ours.values():
        forget_peak(pid)
    used = [0]

    def is_over() -> bool:
        used.append(used_bytes(tmp_path / "atlas" / "attempts"))
        return up.run(number).is_over

    began_at = time.monotonic()
    number = up.trigger("ops/large")
    wait_until(is_over, seconds=10 * seconds, what="the end of the large log")
    took = time.monotonic() - began_at
    run = up.run(number)
    peaks = {name: resident_peak_bytes(pid) >> 20 for name, pid in ours.items()}
    spent = {name: round(processor_seconds(pid), 1) for name, pid in ours.items()}
    print(f"{mebibytes} MiB in {took:.1f} s, peaks {peaks} MiB, disk {max(used) >> 20} MiB, processor {spent} s")
    fired("log bytes", run.log_length)

    assert run.state == "succeeded", run.reason
    assert_stored(up, run, seed, mebibytes, b"\n")
    assert max(peaks.values()) <= RESIDENT_BYTES_MAX >> 20
    assert max(used) <= disk
    assert took <= seconds
