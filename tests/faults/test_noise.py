"""Jobs that print as fast as they can: none of their lines is lost, and a quiet job beside them is read at once."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.support.figures import figure
from tests.support.journey import PYTHON, Orchestra, running, wait_until

LINES_PER_SECOND = 1_000_000
LAG_SECONDS_MAX = figure(5.0)
LATENCY_SECONDS_MAX = figure(1.0)
# In each tenth of a second a tenth of the lines, numbered, so that one that is lost, doubled or moved is found.
STEADY = """\
import sys, time
rate, seconds = int(sys.argv[1]), int(sys.argv[2])
begin, number = time.monotonic(), 0
for tenth in range(10 * seconds):
    lines = b"".join(b"%09d\\n" % each for each in range(number, number + rate // 10))
    number += rate // 10
    time.sleep(max(0.0, begin + tenth / 10 - time.monotonic()))
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
"""
QUIET = """\
import sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    print(time.monotonic(), flush=True)
    time.sleep(0.1)
"""
JOBS = """\
orchestra: 1
project: ops
jobs:
  steady:
    steps:
      - command: [{python}, {folder}/steady.py, '{rate}', '{seconds}']
      - run: cat /proc/uptime > {folder}/written
  noisy:
    run: timeout {seconds} yes 'as fast as it can' || true
  quiet:
    command: [{python}, {folder}/quiet.py, '{seconds}']
"""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """An instance with jobs that make noise for some seconds."""

    up: Orchestra
    folder: Path


def noise(up: Orchestra, folder: Path, *, seconds: int, slots: int) -> Iterator[Noise]:
    """The jobs are defined, a worker with so many slots is there."""
    (folder / "steady.py").write_text(STEADY)
    (folder / "quiet.py").write_text(QUIET)
    up.apply(JOBS.format(python=PYTHON, folder=folder, seconds=seconds, rate=LINES_PER_SECOND))
    with running(up.worker(folder, "atlas", slots=slots)):
        wait_until(lambda: up.connected("atlas"), what="the worker")
        yield Noise(up=up, folder=folder)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_million_lines_a_second_are_stored_one_and_all(
    up: Orchestra, tmp_path: Path, fired: Fired, seconds: int
) -> None:
    for place in noise(up, tmp_path, seconds=seconds, slots=1):
        number = up.trigger("ops/steady")
        run = up.finish(number, seconds=10 * seconds + 60)
        ended = float(Path("/proc/uptime").read_text().split()[0])
        lag = ended - float((place.folder / "written").read_text().split()[0])
        copy = place.folder / "copy"
        up.copy_log(number, copy)
        fired("lines", run.log_length // 10)
        print(f"{run.log_length >> 20} MiB, over {lag:.2f} s after the last line was written")

        assert run.state == "succeeded", run.reason
        with copy.open("rb") as lines:
            count = seconds * LINES_PER_SECOND
            wrong = next((each for each in range(count) if lines.readline() != b"%09d\n" % each), None)
            assert wrong is None, f"line {wrong} differs"
            assert lines.read() == b""
        assert lag <= LAG_SECONDS_MAX


@pytest.mark.parametrize(
    ("noisy", "seconds"), [(8, 4), pytest.param(50, 30, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_a_quiet_job_is_read_at_once_beside_noisy_ones(
    up: Orchestra, tmp_path: Path, fired: Fired, noisy: int, seconds: int
) -> None:
    for _ in noise(up, tmp_path, seconds=seconds, slots=noisy + 1):
        loud = [up.trigger("ops/noisy") for _ in range(noisy)]
        for number in loud:
            wait_until(partial(is_loud, up, number), seconds=60, what="the noise")
        quiet = up.trigger("ops/quiet")
        latencies = followed(up, quiet)
        fired("noise", sum(up.run(number).log_length for number in loud))
        ends = [up.finish(number, seconds=300).state for number in loud]
        latest = sorted(latencies)[int(0.99 * len(latencies))]
        print(f"{len(latencies)} lines, p50 {sorted(latencies)[len(latencies) // 2]:.3f} s, p99 {latest:.3f} s")

        assert ends == ["succeeded"] * noisy
        assert up.run(quiet).state == "succeeded"
        assert len(latencies) >= seconds
        assert latest <= LATENCY_SECONDS_MAX


def is_loud(up: Orchestra, number: int) -> bool:
    """Whether some of it is stored."""
    return up.run(number).log_length > 0


def followed(up: Orchestra, number: int) -> Sequence[float]:
    """How late each of the quiet job's lines was readable, in seconds: each tells when it was written."""
    latencies: list[float] = []
    seen = 0

    def look() -> bool:
        nonlocal seen
        over = up.run(number).is_over
        lines = re.findall(rb"([\d.]+)\n", up.log(number))
        now = time.monotonic()
        latencies.extend(now - float(line) for line in lines[seen:])
        seen = len(lines)
        return over

    wait_until(look, seconds=120, what="the end of the quiet job")
    return latencies
