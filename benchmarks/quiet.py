"""The rest of the machine: waits until it is quiet, and notes what it did while something was measured."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.processes import TICKS_PER_SECOND, cpu_seconds

QUIET_PERCENT = 20.0
WINDOW_SECONDS = 3.0
PATIENCE_SECONDS = 30.0
PATIENCE_NAME = "ORCHESTRA_BENCH_PATIENCE"
"""How many seconds to wait at most; 0 asks for figures that only show that the measurement works."""


class Foreign:
    """CPU that others used meanwhile: neither the processes below the roots nor this one, in percent of one core."""

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = roots
        self.percent = 0.0

    def __enter__(self) -> Self:
        self._began, self._before = time.monotonic(), self._others()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        used = self._others() - self._before
        self.percent = max(0.0, 100 * used / max(0.01, time.monotonic() - self._began))

    def _others(self) -> float:
        return _busy_seconds() - sum(os.times()[:4]) - cpu_seconds(self._roots)


def wait_quiet(roots: Sequence[int] = ()) -> float:
    """Waits until others use little of the machine, or until the patience ends; the percentage of the last look."""
    patience_seconds = float(os.environ.get(PATIENCE_NAME, PATIENCE_SECONDS))
    deadline = time.monotonic() + patience_seconds
    while patience_seconds:
        with Foreign(roots) as foreign:
            time.sleep(WINDOW_SECONDS)
        if foreign.percent < QUIET_PERCENT or time.monotonic() > deadline:
            return foreign.percent
    return 0.0


def _busy_seconds() -> float:
    with Path("/proc/stat").open() as file:
        user, nice, system, _, _, *interrupts = (int(field) for field in file.readline().split()[1:9])
    return (user + nice + system + sum(interrupts)) / TICKS_PER_SECOND
