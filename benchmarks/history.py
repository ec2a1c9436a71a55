"""Pages and lists over a long history: `python -m benchmarks.history [--quick]`.

The history is written straight into the database of an instance that is not running: its shape is that of a team with
50 jobs and 8 workers, nearly all runs succeeded, the newest ones with everything that a run page shows.
"""

import random
import shutil
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gates import Gate, Section
from benchmarks.processes import Processes, percentile
from benchmarks.product import ApiConnection, Product
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table

PROJECTS, JOBS_EACH, WORKERS = 5, 10, 8
DAY = 86_400_000_000
OUTCOMES = ("succeeded",) * 93 + ("failed",) * 4 + ("exception", "aborted", "cancelled")
LISTS = (
    "/runs",
    "/runs?status=failed&job=team-1/job-3",
    "/runs?status=exception&worker=build-4",
    "/runs?project=team-2&param.env=production",
    "/runs?worker=build-1&source=schedule",
    "/runs?job=team-4/job-9&param.env=staging",
    "/runs?status=aborted&project=team-3",
    "/runs?status=failed&sort=id",
)
PAGES = ("/", "/projects", "/projects/team-1", "/projects/team-1/jobs/job-3", "/schedules", "/workers/build-1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """How long one request took, over and over."""

    request: str
    p50: float
    p95: float
    kilobytes: float


def fill(database: Path, count: int) -> None:
    """Writes so many runs that are over, with attempts and steps; results for some, events for the newest."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous=OFF")
    user, now = connection.execute("SELECT min(id) FROM users").fetchone()[0], time.time_ns() // 1000
    connection.executemany(
        "INSERT INTO workers (name, user_id, state, reason, session_epoch, instance, boot_id, version, properties,"
        " slots, load, free_disk_bytes, registered_at) VALUES (?, ?, 'online', '', 1, '', '', '', '{}', 8, 0, 0, ?)",
        [(f"build-{number}", user, now) for number in range(WORKERS)],
    )
    workers = [row[0] for row in connection.execute("SELECT id FROM workers WHERE name LIKE 'build-%'")]
    jobs = connection.execute(
        "SELECT jobs.id, project_id, version_id, signature FROM jobs JOIN job_versions ON version_id = job_versions.id"
        " JOIN projects ON projects.id = project_id WHERE projects.name LIKE 'team-%'"
    ).fetchall()
    first = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM runs").fetchone()[0]
    rows = list(_history(random.Random(5), jobs, workers, first, count, now))
    connection.executemany(
        "INSERT INTO runs (id, creation_key, project_id, job_id, job_version_id, signature, slots, priority,"
        " parameters, source, state, reason, attempt, attempts_counted, worker_id, created_at, started_at, ended_at,"
        " exit_code, log_length) VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, ?, ?, '', 1, 1, ?, ?, ?, ?, ?, 1000)",
        rows,
    )
    connection.execute(
        "INSERT INTO attempts (run_id, number, worker_id, epoch, state, reason, offered_at, started_at, ended_at,"
        " sequence, log_length, lost_bytes, exit_code) SELECT id, 1, worker_id, 1, CASE state WHEN 'cancelled' THEN"
        " 'withdrawn' ELSE state END, '', created_at, started_at, ended_at, 4, log_length, 0, exit_code FROM runs"
        " WHERE id >= ?",
        (first,),
    )
    connection.execute(
        "INSERT INTO run_steps (run_id, attempt, number, name, started_at, ended_at, exit_code, reason, log_start,"
        " log_end) SELECT id, 1, 1, 'main', started_at, ended_at, exit_code, '', 0, log_length FROM runs WHERE id >= ?",
        (first,),
    )
    connection.execute(
        "INSERT INTO run_results (run_id, name, value, text) SELECT id, 'version', '\"1.' || (id % 90) || '\"', '1.' ||"
        " (id % 90) FROM runs WHERE id >= ? AND id % 10 = 0",
        (first,),
    )
    connection.execute(
        "INSERT INTO run_events (run_id, attempt, at, kind, actor, detail) SELECT id, 1, ended_at, 'started', 'worker',"
        " '' FROM runs WHERE id >= ?",
        (first + count - min(count, 50_000),),
    )
    connection.commit()
    connection.execute("ANALYZE")
    connection.commit()
    connection.close()


def prepared_history(place: Place, count: int) -> Path:
    """The folder of an instance with so many runs that is not running: a copy of its own for the row.

    It is made once for all rows, since that takes longer than what they measure.
    """
    made = place.shared / f"history-{count}"
    if not made.exists():
        with Processes(place.folder) as processes:
            _apply_teams(Product(processes, place.folder / "made", slots=1))
        shutil.rmtree(place.folder / "made" / "workers", ignore_errors=True)
        (place.folder / "made" / "connection.toml").unlink()
        fill(place.folder / "made" / "orchestra.db", count)
        (place.folder / "made").rename(made)
    subprocess.run(["cp", "-a", "--reflink=auto", made, place.folder / "product"], check=True)
    return place.folder / "product"


def measure(place: Place) -> Section:
    """What the slowest list and the slowest page of a run take."""
    count, samples = place.size(1_000_000, 2000), place.size(120, 3)
    answers = _answers(place, count, samples)
    lists = max(each.p95 for each in answers if "/runs" in each.request and "N" not in each.request)
    page = next(each.p95 for each in answers if each.request == "page /runs/N")
    return Section(
        gates=(
            Gate(what="run list with two filters at 1,000,000 runs, p95", limit=50, measured=lists, unit="ms"),
            Gate(what="run page at 1,000,000 runs, p95", limit=80, measured=page, unit="ms"),
        ),
        tables=(history_table(answers),),
    )


def _answers(place: Place, count: int, samples: int) -> list[Answers]:
    """Of an instance with so many runs: as JSON, and as pages."""
    data = prepared_history(place, count)
    with Processes(place.folder) as processes:
        product = Product(processes, data, slots=1)
        runs = [random.Random(7).randrange(1, count) for _ in range(samples)]
        found = []
        for api, words in ((product.connection(), "JSON"), (product.connection(prefix=""), "page")):
            for path in LISTS:
                found.append(_measure(api, f"{words} {path}", [path] * samples))
            found.append(_measure(api, f"{words} /runs/N", [f"/runs/{run}" for run in runs]))
        found += [_measure(api, f"page {path}", [path] * samples) for path in PAGES]
    return found


def history_table(rows: Sequence[Answers]) -> str:
    """Milliseconds until the whole answer is there."""
    lines = [(f"`{row.request}`", f"{row.p50:.1f}", f"{row.p95:.1f}", f"{row.kilobytes:.0f}") for row in rows]
    return plain_table(("request", "p50 ms", "p95 ms", "kB"), lines)


def _measure(api: ApiConnection, request: str, paths: Sequence[str]) -> Answers:
    taken, size = [], 0
    for path in paths:
        began = time.perf_counter()
        size = len(api.exchange("GET", path))
        taken.append(1000 * (time.perf_counter() - began))
    p50, p95 = statistics.median(taken), percentile(taken, 0.95)
    return Answers(request=request, p50=p50, p95=p95, kilobytes=size / 1000)


def _apply_teams(product: Product) -> None:
    """The definitions that the history needs."""
    for project in range(PROJECTS):
        jobs = "".join(f'  job-{number}: {{ run: "true" }}\n' for number in range(JOBS_EACH))
        product.apply(f"orchestra: 1\nproject: team-{project}\njobs:\n{jobs}")


def _history(
    dice: random.Random,
    jobs: Sequence[tuple[int, int, int, str]],
    workers: Sequence[int],
    first: int,
    count: int,
    now: int,
) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        job, project, version, signature = jobs[int(len(jobs) * dice.random() ** 2)]
        state = dice.choice(OUTCOMES)
        created = now - 30 * DAY + number * 30 * DAY // count
        parameters = '{"env":"production"}' if dice.random() < 0.2 else '{"env":"staging"}'
        source = "schedule" if dice.random() < 0.7 else "user ana"
        exit_code = 0 if state == "succeeded" else 1 if state == "failed" else None
        yield (
            first + number, f"history-{number}", project, job, version, signature, parameters, source, state,
            dice.choice(workers), created, created + 20_000, created + 20_000 + dice.randrange(90_000_000), exit_code,
        )  # fmt: skip


ROW = Row(name="history", title="A history of 1,000,000 runs", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
