"""What 1,000 schedules cost while none is due, and how late they fire: `python -m benchmarks.schedules [--quick]`.

An instance without any stands beside it, and rests at the same time. There are no workers: a tick and its run are all.
"""

import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from benchmarks.gates import Gate, Section
from benchmarks.processes import percentile
from benchmarks.quiet import wait_quiet
from benchmarks.rest import exact_cpu_seconds
from benchmarks.rows import Place, Row, run_alone
from benchmarks.startup import start_seconds
from benchmarks.table import plain_table
from orchestra.definition.reader import read_definition
from orchestra.network.client import API
from tests.support.journey import Orchestra, started
from tests.support.timetables import by_cron

NEVER_SOON = "0 3 29 2 *"
SETTLE_SECONDS = 10
MICROSECONDS = 1e6
JOBS_EACH = 500
"""Of one project."""


def measure(place: Place) -> Section:
    """At rest, at the start, and in a minute in which each of them is due once."""
    count = place.size(1000, 60)
    with_none, with_all = (_instance(place.folder / name) for name in ("none", "all"))
    with started(with_none), started(with_all):
        apply_schedules(with_all, [NEVER_SOON] * count)
        time.sleep(place.size(SETTLE_SECONDS, 1))
        wait_quiet([with_none.program.pid, with_all.program.pid])
        idle = _rest([with_none, with_all], place.size(60, 2))
    starts = [(start_seconds(with_none), start_seconds(with_all)) for _ in range(place.size(7, 2))]
    none_start, all_start = (statistics.median(each[which] for each in starts) for which in (0, 1))
    with started(with_all):
        began = time.time()
        apply_schedules(with_all, [f"{number % 60} * * * * *" for number in range(count)])
        applied = time.time()
        time.sleep(place.size(65, 5))
        late = lateness(with_all, since=applied + 1)
    p99 = percentile(late, 0.99)
    lines = [
        ("CPU at rest, % of a core", f"{idle[0]:.3f}", f"{idle[1]:.3f}"),
        ("start until ready, p50 s", f"{none_start:.2f}", f"{all_start:.2f}"),
        ("another definition of all, s", "", f"{applied - began:.1f}"),
        ("decisions in a minute", "", f"{len(late):,}"),
        ("decided late, p50 / p99 / most ms", "", f"{percentile(late, 0.5):.1f} / {p99:.1f} / {max(late):.1f}"),
    ]
    what = "1,000 schedules defined"
    return Section(
        gates=(
            Gate(what=f"{what}: idle CPU more", limit=0.05, measured=idle[1] - idle[0], unit="points"),
            Gate(what=f"{what}: start-up longer", limit=0.5, measured=all_start - none_start, unit="s"),
            Gate(what=f"{what}: firing late, p99", limit=50, measured=p99, unit="ms"),
        ),
        tables=(plain_table(("", "no schedules", f"{count:,} schedules"), lines),),
    )


def apply_schedules(up: Orchestra, expressions: Sequence[str]) -> None:
    """A job for each, named by its number; the same numbers again change their schedules."""
    read = read_definition(
        f'orchestra: 1\nproject: team\njobs: {{ job: {{ run: "true", schedule: "{NEVER_SOON}" }} }}\n', ""
    )
    (job,) = read.jobs
    assert job.schedule is not None, "it has one"
    # Reading so many from text would take longer than all that is measured.
    for first in range(0, len(expressions), JOBS_EACH):
        jobs = tuple(
            replace(job, name=f"job-{number}", schedule=replace(job.schedule, timetable=by_cron(expression)))
            for number, expression in enumerate(expressions[first : first + JOBS_EACH], start=first)
        )
        team = replace(read, name=f"team-{first // JOBS_EACH}", jobs=jobs)
        up.api.put(f"{API}/projects/{team.name}/definition", team)


def lateness(up: Orchestra, *, since: float) -> list[float]:
    """By how many milliseconds each instant was decided after it was due."""
    query = "select (decided_at - due_at) / 1000.0 from schedule_ticks where due_at >= ?"
    with closing(sqlite3.connect(f"file:{up.data}/orchestra.db?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(query, (since * MICROSECONDS,))]


def _instance(folder: Path) -> Orchestra:
    folder.mkdir()
    return Orchestra(folder, slots=0)


def _rest(instances: Sequence[Orchestra], seconds: float) -> list[float]:
    roots = [[each.program.pid] for each in instances]
    before, began = [exact_cpu_seconds(each) for each in roots], time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [100 * (exact_cpu_seconds(each) - used) / passed for each, used in zip(roots, before, strict=True)]


ROW = Row(name="schedules", title="1,000 schedules", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
