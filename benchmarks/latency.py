"""From the request to the job's own first reading of the clock, on an idle system: `python -m benchmarks.latency
[samples]`."""

import sys
import tempfile
from pathlib import Path

from benchmarks.floor import Floor
from benchmarks.measurements import Latency, measure_latency
from benchmarks.processes import Processes
from benchmarks.product import Product
from benchmarks.table import latency_table


def compare_latency(folder: Path, samples: int) -> list[Latency]:
    """The product, then the floor."""
    with Processes(folder) as processes:
        product = measure_latency(Product(processes, folder / "product", slots=8), folder, samples)
    with Processes(folder) as processes:
        floor = measure_latency(Floor(processes, folder / "floor", width=8), folder, samples)
    return [product, floor]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-") as made:
        print(latency_table(compare_latency(Path(made), int(sys.argv[1]) if len(sys.argv) > 1 else 500)))
