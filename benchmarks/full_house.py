"""The same runs on an empty database and on a full one: `python -m benchmarks.full_house [--quick]`.

In the full one 1,000,000 runs are over, and 100,000 wait for a worker that never comes. Both instances live at the same
time, and are measured by turns, so that the machine changes for both of them.
"""

import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.gates import Gate, Section
from benchmarks.history import prepared_history
from benchmarks.measurements import Latency, Throughput, measure_latency, measure_throughput
from benchmarks.peer import Kind
from benchmarks.processes import Processes, memory
from benchmarks.product import Product
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table

ROUNDS = 5
GROWTH_MIB_MAX = 40
WAITING = 'orchestra: 1\nproject: waiting\njobs:\n  waiting: { run: "true", worker: { room: nowhere } }\n'
COPY = """
insert into runs ({columns})
select {values} from runs, (
    with recursive n(i) as (select 1 union all select i + 1 from n where i < :count) select i from n
), (select max(id) as newest from runs)
where runs.id = (select max(id) from runs where state = 'pending')
"""


def measure(place: Place) -> Section:
    """Medians of the rounds; the memory is that of the embedded process, after all rounds."""
    finished, pending = place.size(1_000_000, 2000), place.size(100_000, 500)
    data = prepared_history(place, finished)
    (place.folder / "first").mkdir()
    with Processes(place.folder / "first") as processes:
        product = Product(processes, data, slots=8)
        product.apply(WAITING)
        product.connection().exchange("POST", "/projects/waiting/jobs/waiting/runs", b"{}")
    (data / "connection.toml").unlink()
    _fill(data / "orchestra.db", pending)
    with Processes(place.folder) as processes:
        full = Product(processes, data, slots=8)
        empty = Product(processes, place.folder / "empty", slots=8)
        speeds, starts = _rounds(place, (empty, full))
        sizes = [memory([each.up])[0].resident_mib for each in (empty, full)]
    speed = [statistics.median(each.runs_per_second for each in rows) for rows in speeds]
    start = [statistics.median(each.start_p50 for each in rows) for rows in starts]
    names = ("empty", f"{finished:,} finished, {pending:,} pending")
    lines = [
        (
            names[which],
            f"{speed[which]:.0f}",
            " ".join(f"{row.runs_per_second:.0f}" for row in speeds[which]),
            f"{start[which]:.1f}",
            " ".join(f"{row.start_p50:.1f}" for row in starts[which]),
            f"{sizes[which]:.0f}",
        )
        for which in (0, 1)
    ]
    head = ("database", "runs/s, p50", "of", "start ms, p50", "of", "master and service resident, MiB")
    what = "1,000,000 finished and 100,000 pending"
    return Section(
        gates=(
            Gate(
                what=f"{what}: throughput to empty",
                limit=0.95,
                measured=speed[1] / speed[0],
                unit="×",
                is_at_least=True,
            ),
            Gate(what=f"{what}: start latency to empty", limit=1.1, measured=start[1] / start[0], unit="×"),
            Gate(what=f"{what}: memory more", limit=GROWTH_MIB_MAX, measured=sizes[1] - sizes[0], unit="MiB"),
        ),
        tables=(plain_table(head, lines),),
    )


def _rounds(place: Place, products: Sequence[Product]) -> tuple[list[list[Throughput]], list[list[Latency]]]:
    """For each product its rounds."""
    speeds: list[list[Throughput]] = [[] for _ in products]
    starts: list[list[Latency]] = [[] for _ in products]
    for number in range(ROUNDS):
        folder = place.folder / f"stamps-{number}"
        folder.mkdir()
        for which, product in enumerate(products):
            speeds[which].append(measure_throughput(product, Kind.ECHO, place.size(1000, 50)))
            starts[which].append(measure_latency(product, folder, place.size(100, 5)))
    return speeds, starts


def _fill(database: Path, count: int) -> None:
    """So many copies of the run that is pending: over the API they would take minutes."""
    with closing(sqlite3.connect(database)) as connection:
        columns = [row[1] for row in connection.execute("pragma table_info(runs)")]
        changed = {"id": "newest + i", "creation_key": "'copy ' || (newest + i)"}
        values = [changed.get(name, f"runs.{name}") for name in columns]
        connection.execute(COPY.format(columns=", ".join(columns), values=", ".join(values)), {"count": count - 1})
        connection.execute("analyze")
        connection.commit()


ROW = Row(name="full_house", title="A full database beside an empty one", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
