"""One large log until it is stored, and the memory it takes on its way; then what an idle instance costs.

`python -m benchmarks.log [megabytes] [idle seconds]`
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.floor import Floor
from benchmarks.measurements import Idleness, LargeLog, measure_idleness, measure_log
from benchmarks.processes import Processes
from benchmarks.product import Product
from benchmarks.table import idleness_table, log_table


def compare_logs(folder: Path, megabytes: int, idle_seconds: float) -> tuple[list[LargeLog], list[Idleness]]:
    """The product, then the floor."""
    with Processes(folder) as processes:
        product = Product(processes, folder / "product", slots=8)
        idle = [measure_idleness(product, idle_seconds)]
        logs = [measure_log(product, megabytes)]
    with Processes(folder) as processes:
        floor = Floor(processes, folder / "floor", width=8)
        idle.append(measure_idleness(floor, idle_seconds))
        logs.append(measure_log(floor, megabytes))
    return logs, idle


if __name__ == "__main__":
    asked = [int(text) for text in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-") as made:
        large, quiet = compare_logs(Path(made), *(asked + [100, 30][len(asked) :]))
    print(log_table(large), idleness_table(quiet), sep="\n\n")
