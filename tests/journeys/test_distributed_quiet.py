"""Notifications are hints: with none of them, everything happens all the same, at the latest by the slow poll."""

import time
from pathlib import Path

from orchestra.limits import POLL_SECONDS
from orchestra.network.client import API
from tests.support.distributed import Distributed, notifications
from tests.support.figures import figure
from tests.support.journey import Run, running, wait_until

WAITING = """
orchestra: 1
project: ops
jobs:
  wait:
    grace: 1s
    run: |
      echo "first"
      while [ ! -e {gate} ]; do sleep 0.1; done
      echo "second"
      sleep 300
"""
ALL_ELSE_SECONDS = 4.0
"""For everything beside the poll."""


def test_without_notifications_only_time_is_lost(tmp_path: Path, postgres_url: str) -> None:
    gate = tmp_path / "gate"
    with (
        notifications(postgres_url) as heard,
        Distributed(tmp_path, postgres_url, is_quiet=True) as instance,
        running(instance.worker("atlas")),
    ):
        wait_until(lambda: instance.connected("atlas"), what="the worker")
        instance.apply(WAITING.format(gate=gate))
        lasted = {}
        began_at = time.monotonic()
        run = instance.trigger("ops/wait")
        instance.reach(run, "running")
        lasted["trigger"] = time.monotonic() - began_at

        with instance.api.events(f"{API}/runs/{run}/log/stream", seconds_max=60) as events:
            assert any("first" in event.text for event in events)
            began_at = time.monotonic()
            gate.touch()
            assert any("second" in event.text for event in events)
            lasted["live log"] = time.monotonic() - began_at

        began_at = time.monotonic()
        instance.api.post(f"{API}/runs/{run}/abort", {"reason": "seen enough"}).read(Run)
        assert instance.finish(run).state == "aborted"
        lasted["abort"] = time.monotonic() - began_at

        assert heard == []
        assert max(lasted.values()) < figure(POLL_SECONDS + ALL_ELSE_SECONDS), lasted
