"""From the request to the job's own first reading of the clock, and until a subscribed client is told of the end, on an
idle system: `python -m benchmarks.latency [--quick]`."""

from benchmarks.floor import Floor
from benchmarks.gates import Gate, Section
from benchmarks.measurements import measure_latency
from benchmarks.processes import Processes
from benchmarks.product import Product
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import latency_table


def measure(place: Place) -> Section:
    """The product, then the floor."""
    samples = place.size(500, 20)
    with Processes(place.folder) as processes:
        product = measure_latency(Product(processes, place.folder / "product", slots=8), place.folder, samples)
    with Processes(place.folder) as processes:
        floor = measure_latency(Floor(processes, place.folder / "floor", width=8), place.folder, samples)
    start, done = "trigger → process started", "trigger → end at a subscribed client"
    return Section(
        gates=(
            Gate(what=f"{start}, p50", limit=8.4, measured=product.start_p50, unit="ms"),
            Gate(what=f"{start}, p99", limit=25, measured=product.start_p99, unit="ms"),
            Gate(what=f"{start}, p50, to the floor", limit=3, measured=product.start_p50 / floor.start_p50, unit="×"),
            Gate(what=f"{done}, p50", limit=11.4, measured=product.done_p50, unit="ms"),
            Gate(what=f"{done}, p50, to the floor", limit=3, measured=product.done_p50 / floor.done_p50, unit="×"),
        ),
        tables=(latency_table([product, floor]),),
    )


ROW = Row(name="latency", title="Latency", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
