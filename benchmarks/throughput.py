"""How many runs a second, and the CPU time of each: `python -m benchmarks.throughput [runs]`.

The product is asked over HTTP, one request for each run, until every run is over and its log stored; in its embedded
form, and with master and service as processes of their own over a durable PostgreSQL. Two floors stand beside it:
`xargs`, which only starts processes, and `benchmarks.floor`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.distributed import Distributed
from benchmarks.floor import Floor
from benchmarks.measurements import Throughput, measure_throughput
from benchmarks.peer import Kind, argv_of
from benchmarks.processes import Processes
from benchmarks.product import Product
from benchmarks.quiet import Foreign, wait_quiet
from benchmarks.table import COMMAND, DISTRIBUTED, SCRIPT, throughput_table
from tests.support.postgres import postgres_server

WIDTH = 8
LOG_LENGTH = len("hello\n")


def compare_throughput(folder: Path, count: int) -> list[Throughput]:
    """The product's rows, then the floors'."""
    rows = []
    with Processes(folder) as processes:
        product = Product(processes, folder / "product", slots=WIDTH)
        for kind, name in ((Kind.ECHO, COMMAND), (Kind.SCRIPT, SCRIPT)):
            rows.append(measure_throughput(product, kind, count, name=name))
            product.check(kind, count, log_length=LOG_LENGTH)
    with Processes(folder) as processes, postgres_server(is_durable=True) as server:
        distributed = Distributed(processes, folder / "distributed", server, slots=WIDTH)
        postgres = [distributed.postgres]
        rows.append(measure_throughput(distributed, Kind.ECHO, count, name=DISTRIBUTED, database=postgres))
        distributed.check(Kind.ECHO, count, log_length=LOG_LENGTH)
    with Processes(folder) as processes:
        floor = Floor(processes, folder / "floor", width=WIDTH)
        for kind in (Kind.ECHO, Kind.SCRIPT, Kind.TRUE):
            rows.append(measure_throughput(floor, kind, count, name=f"floor, {kind}"))
    rows += [_with_xargs(kind, count) for kind in (Kind.ECHO, Kind.SCRIPT)]
    return rows


def _with_xargs(kind: Kind, count: int) -> Throughput:
    """What it costs to start the processes and nothing else."""
    wait_quiet()
    argv: Sequence[str] = ("xargs", "-P", str(WIDTH), "-I", "number", *argv_of(kind, ""))
    lines = "".join(f"{number}\n" for number in range(count)).encode()
    with Foreign([]) as foreign:
        before, began = os.times(), time.monotonic()
        subprocess.run(argv, input=lines, stdout=subprocess.DEVNULL, check=True)
        seconds, after = time.monotonic() - began, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Throughput(
        name=f"xargs -P{WIDTH}, {kind}",
        runs=count,
        seconds=seconds,
        cpu_milliseconds_per_run=1000 * used / count,
        foreign_percent=foreign.percent,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-") as made:
        print(throughput_table(compare_throughput(Path(made), int(sys.argv[1]) if len(sys.argv) > 1 else 2000)))
