"""How many runs a second, and the CPU time of each: `python -m benchmarks.throughput [--quick]`.

The product is asked over HTTP, one request for each run, until every run is over and its log stored; in its embedded
form, and with master and service as processes of their own over a durable PostgreSQL. Beside it stand the floor, what
only starts processes, and Celery.
"""

import statistics
from collections.abc import Sequence

from benchmarks.distributed import Distributed
from benchmarks.floor import Floor
from benchmarks.gates import Gate, Section
from benchmarks.measurements import Throughput, measure_throughput
from benchmarks.peer import Kind
from benchmarks.peers import Celery, MissingPeer, measure_starter
from benchmarks.processes import Processes
from benchmarks.product import Product
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import COMMAND, DISTRIBUTED, SCRIPT, throughput_table
from tests.support.postgres import postgres_server

WIDTH = 8
TIMES = 3
"""Where a gate is; the median counts."""
LOG_LENGTH = len("hello\n")


def measure(place: Place) -> Section:
    """The product's rows, then the others'."""
    count = place.size(2000, 100)
    embedded, script = _embedded(place, count)
    distributed = _distributed(place, count)
    floors = _floors(place, count)
    celery, missing = _celery(place, count)
    rows = [*embedded, *script, *distributed, *floors, *celery]
    for name in ("parallel", "xargs"):
        try:
            rows.append(measure_starter(name, Kind.ECHO, count, WIDTH))
        except MissingPeer as error:
            missing.append(error)
    return Section(
        gates=(
            *_gates(embedded, distributed, [row for row in floors if row.name == "floor, echo"], celery),
            *_lack(missing),
        ),
        tables=(throughput_table(rows),),
    )


def _embedded(place: Place, count: int) -> tuple[list[Throughput], list[Throughput]]:
    with Processes(place.folder) as processes:
        product = Product(processes, place.folder / "product", slots=WIDTH)
        embedded = [measure_throughput(product, Kind.ECHO, count, name=COMMAND) for _ in range(TIMES)]
        product.check(Kind.ECHO, TIMES * count, log_length=LOG_LENGTH)
        script = [measure_throughput(product, Kind.SCRIPT, count, name=SCRIPT)]
        product.check(Kind.SCRIPT, count, log_length=LOG_LENGTH)
    return embedded, script


def _distributed(place: Place, count: int) -> list[Throughput]:
    with Processes(place.folder) as processes, postgres_server(is_durable=True) as server:
        distributed = Distributed(processes, place.folder / "distributed", server, slots=WIDTH)
        postgres = [distributed.postgres]
        rows = [
            measure_throughput(distributed, Kind.ECHO, count, name=DISTRIBUTED, database=postgres) for _ in range(TIMES)
        ]
        distributed.check(Kind.ECHO, TIMES * count, log_length=LOG_LENGTH)
    return rows


def _floors(place: Place, count: int) -> list[Throughput]:
    with Processes(place.folder) as processes:
        floor = Floor(processes, place.folder / "floor", width=WIDTH)
        kinds = [*[Kind.ECHO] * TIMES, Kind.SCRIPT, Kind.TRUE]
        return [measure_throughput(floor, kind, count, name=f"floor, {kind}") for kind in kinds]


def _celery(place: Place, count: int) -> tuple[list[Throughput], list[MissingPeer]]:
    with Processes(place.folder) as processes:
        try:
            celery = Celery(processes, place.folder, width=WIDTH)
        except MissingPeer as error:
            return [], [error]
        return [celery.measure(count) for _ in range(TIMES)], []


def _gates(
    embedded: Sequence[Throughput],
    distributed: Sequence[Throughput],
    floors: Sequence[Throughput],
    celery: Sequence[Throughput],
) -> list[Gate]:
    ours, shared, floor = _speed(embedded), _speed(distributed), _speed(floors)
    over_celery = ours / _speed(celery) if celery else None
    cpu, floor_cpu = _cpu(embedded), _cpu(floors)
    what = "`echo hello`, 2,000 at once"
    return [
        Gate(what=f"{what}, embedded", limit=500, measured=ours, unit="runs/s", is_at_least=True),
        Gate(what=f"{what}, to the floor", limit=0.25, measured=ours / floor, unit="×", is_at_least=True),
        Gate(what=f"{what}, to Celery + Redis", limit=1, measured=over_celery, unit="×", is_at_least=True),
        Gate(what=f"{what}, over PostgreSQL", limit=300, measured=shared, unit="runs/s", is_at_least=True),
        Gate(
            what=f"{what}, over PostgreSQL, to embedded", limit=0.6, measured=shared / ours, unit="×", is_at_least=True
        ),
        Gate(what="CPU per run, all parts", limit=3.1, measured=cpu, unit="ms"),
        Gate(what="CPU per run, all parts, to the floor", limit=4, measured=cpu / floor_cpu, unit="×"),
    ]


def _lack(missing: Sequence[MissingPeer]) -> list[Gate]:
    """A peer that is not here makes the row fail instead of vanishing from it."""
    return [Gate(what=f"peer: {error.name}", limit=0, measured=None) for error in missing]


def _speed(rows: Sequence[Throughput]) -> float:
    return statistics.median(row.runs_per_second for row in rows)


def _cpu(rows: Sequence[Throughput]) -> float:
    return statistics.median(row.cpu_milliseconds_per_run for row in rows)


ROW = Row(name="throughput", title="Throughput", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
