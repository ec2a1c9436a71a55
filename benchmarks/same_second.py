"""10,000 schedules that are due in the same second: `python -m benchmarks.same_second [--quick]`."""

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

from benchmarks.gates import Gate, Section
from benchmarks.gentleness import Probe
from benchmarks.processes import wait_until
from benchmarks.product import ApiConnection
from benchmarks.quiet import wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.schedules import NEVER_SOON, apply_schedules
from benchmarks.table import plain_table
from orchestra.configuration import read_token_file
from tests.support.journey import Orchestra, started

DECIDED_SECONDS_MAX = 120.0
AHEAD_SECONDS = 5.0


def measure(place: Place) -> Section:
    """All are defined twice, so that it is known how long that takes before the second is chosen."""
    count = place.size(10_000, 500)
    with started(Orchestra(place.folder, slots=0)) as up:
        began = time.time()
        apply_schedules(up, [NEVER_SOON] * count)
        wait_quiet([up.program.pid])
        due = datetime.now(UTC) + timedelta(seconds=1.5 * (time.time() - began) + AHEAD_SECONDS)
        due = due.replace(microsecond=0)
        apply_schedules(up, [f"{due.second} {due.minute} {due.hour} {due.day} {due.month} *"] * count)
        assert datetime.now(UTC) < due, "the second had come before all were defined"
        probe = Probe(ApiConnection(up.port, read_token_file(up.data / "admin.token")))
        time.sleep(max(0.0, due.timestamp() - time.time() - 0.5))
        lag = probe.lag(
            "all of them", lambda: wait_until(lambda: _decided(up) >= count, seconds=DECIDED_SECONDS_MAX, what="ticks")
        )
        runs, jobs, last = _created(up)
    seconds = last - due.timestamp()
    line = (
        f"{count:,}",
        f"{runs:,}",
        f"{runs - jobs:,}",
        f"{seconds:.2f}",
        f"{lag.p50:.0f}",
        f"{lag.p99:.0f}",
        f"{lag.most:.0f}",
    )
    head = (
        "due",
        "runs created",
        "of these double",
        "s until the last",
        "a small request waits, p50 ms",
        "p99 ms",
        "most ms",
    )
    what = "10,000 schedules due in one second"
    return Section(
        gates=(
            Gate(what=f"{what}: all created after", limit=3, measured=seconds, unit="s"),
            Gate(what=f"{what}: double or missing", limit=0, measured=(runs - jobs) + (count - jobs)),
            Gate(what=f"{what}: event loop's lag", limit=100, measured=lag.most, unit="ms"),
        ),
        tables=(plain_table(head, [line]),),
    )


def _decided(up: Orchestra) -> int:
    return _one(up, "select count(*) from schedule_ticks")[0]


def _created(up: Orchestra) -> tuple[int, int, float]:
    """Runs, different jobs among them, and when the last one was created."""
    runs, jobs, last = _one(up, "select count(*), count(distinct job_id), max(created_at) from runs")
    return runs, jobs, last / 1e6


def _one(up: Orchestra, query: str) -> tuple[int, ...]:
    with closing(sqlite3.connect(f"file:{up.data}/orchestra.db?mode=ro", uri=True)) as connection:
        found: tuple[int, ...] = connection.execute(query).fetchone()
        return found


ROW = Row(name="same_second", title="10,000 schedules in the same second", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
