"""A rate on real processes: in any period of its length no more attempts are given out than it says, and no fewer."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from orchestra.network.client import API
from tests.support.journey import Orchestra, started, wait_until

DEFINITION = """
orchestra: 1
project: ops
jobs:
  scan: { rate: 5 per 2s, run: "true" }
"""
STARTS = 5
WINDOW = timedelta(seconds=2)
RUNS = 22


class Attempt(msgspec.Struct, frozen=True):
    """When a run was given to a worker."""

    offered_at: datetime


class Attempts(msgspec.Struct, frozen=True):
    """Of one run."""

    attempts: tuple[Attempt, ...]


def test_a_rate_keeps_its_windows_across_a_restart(tmp_path: Path) -> None:
    with started(Orchestra(tmp_path, slots=8)) as up:
        up.apply(DEFINITION)
        wait_until(lambda: up.connected("local"), what="the worker")
        numbers = [up.trigger("ops/scan") for _ in range(RUNS)]
        up.finish(numbers[STARTS])
        up.program.kill()
        up.start()
        ended = [up.finish(number) for number in numbers]
        offered = [up.api.get(f"{API}/runs/{number}").read(Attempts).attempts for number in numbers]

    begun = sorted(attempt.offered_at for attempts in offered for attempt in attempts)
    print([(each - begun[0]).total_seconds() for each in begun])
    assert {(run.state, run.attempts_counted) for run in ended} == {("succeeded", 1)}
    # The one after so many others begins a whole period after the first of those.
    assert all(later - first >= WINDOW for first, later in zip(begun, begun[STARTS:], strict=False))
    # Nobody waits for nothing: the whole takes the periods that it needs, and a moment for the restart.
    assert begun[-1] - begun[0] < (RUNS // STARTS) * WINDOW + timedelta(seconds=20)
