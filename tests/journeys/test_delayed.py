"""A run that is asked for later, on real processes: it starts in time, once, whatever was restarted meanwhile."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.journey import Orchestra, lines_of, wait_until

DEFINITION = """\
orchestra: 1
project: ops
jobs:
  tick: {{ run: date +%s.%N >> {witness} }}
"""


def test_a_delayed_run_survives_a_killed_server_and_starts_once(up: Orchestra, tmp_path: Path, witness: Path) -> None:
    up.apply(DEFINITION.format(witness=witness))
    due = datetime.now(UTC) + timedelta(seconds=8)
    worker = up.worker(tmp_path, "atlas")
    worker.start()

    run = up.trigger("ops/tick", run_at=due.isoformat())
    before = up.run(run)
    up.close_clients()
    up.program.kill()
    up.start()
    again = up.run(run)
    up.reach(run, "succeeded")

    (started,) = lines_of(witness)
    assert (before.state, again.state) == ("scheduled", "scheduled")
    assert 0 <= float(started) - due.timestamp() < 20
    worker.stop()


def test_a_run_that_became_due_while_nobody_was_there_starts_when_somebody_is(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    up.apply(DEFINITION.format(witness=witness))
    run, cancelled = (up.trigger("ops/tick", delay_seconds=2) for _ in range(2))
    up.api.post(f"/api/v1/runs/{cancelled}/cancel", {})
    end = time.monotonic() + 2
    up.stop()
    wait_until(lambda: time.monotonic() > end, what="the moment to pass")
    worker = up.worker(tmp_path, "atlas")

    up.start()
    worker.start()
    up.reach(run, "succeeded")

    assert len(lines_of(witness)) == 1
    assert up.run(cancelled).state == "cancelled"
    worker.stop()
