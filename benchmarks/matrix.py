"""A pipeline whose matrix has 1,000 runs, beside as many single runs: `python -m benchmarks.matrix [--quick]`.

The runs are the same `echo hello` on the same embedded instance with 8 slots. Those of the matrix are made by one
transaction, and the end of each is a decision about all of them; the single ones are asked for over HTTP, one by one.
"""

import time

from benchmarks.gates import Gate, Section
from benchmarks.measurements import measure_throughput
from benchmarks.peer import Kind
from benchmarks.processes import Processes, cpu_seconds, wait_until
from benchmarks.product import RUNS_SECONDS_MAX, ApiConnection, Product
from benchmarks.quiet import Foreign, wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table

WIDTH = 8
PROJECT = "matrices"
DEFINITION = """
orchestra: 1
project: {project}
jobs:
  echo: {{ command: [echo, hello] }}
  whole:
    elements:
      each: {{ job: echo, matrix: {{ n: {numbers} }} }}
      last: {{ job: echo, after: each }}
"""


def measure(place: Place) -> Section:
    """The matrix twice, of which the second counts: the first makes the instance warm, as the single runs do."""
    count = place.size(1000, 50)
    with Processes(place.folder) as processes:
        product = Product(processes, place.folder / "product", slots=WIDTH)
        product.apply(DEFINITION.format(project=PROJECT, numbers=list(range(count))))
        single = measure_throughput(product, Kind.ECHO, count, name="single runs")
        _run_matrix(product.connection(), count)
        wait_quiet(product.roots)
        with Foreign(product.roots) as foreign:
            used, began = cpu_seconds(product.roots), time.monotonic()
            _run_matrix(product.connection(), count)
            seconds, used = time.monotonic() - began, cpu_seconds(product.roots) - used
    speed = count / seconds
    rows = [
        (
            single.name,
            f"{count:,}",
            f"{count / single.runs_per_second:.2f}",
            f"{single.runs_per_second:,.0f}",
            f"{single.cpu_milliseconds_per_run:.2f}",
            f"{single.foreign_percent:.0f}",
        ),
        (
            "a matrix",
            f"{count:,}",
            f"{seconds:.2f}",
            f"{speed:,.0f}",
            f"{1000 * used / count:.2f}",
            f"{foreign.percent:.0f}",
        ),
    ]
    return Section(
        gates=(
            Gate(
                what="a matrix of 1,000 runs, to single runs",
                limit=0.25,
                measured=speed / single.runs_per_second,
                unit="×",
                is_at_least=True,
            ),
        ),
        tables=(plain_table(("", "runs", "s", "runs/s", "CPU ms/run", "foreign CPU %"), rows),),
    )


def _run_matrix(api: ApiConnection, count: int) -> None:
    """Until the whole pipeline has succeeded, with a run for each value and the one that comes after them."""
    run = api.json("POST", f"/projects/{PROJECT}/jobs/whole/runs", {})["id"]
    wait_until(
        lambda: api.json("GET", f"/runs/{run}")["ended_at"] is not None,
        seconds=RUNS_SECONDS_MAX,
        every=0.05,
        what="the pipeline",
    )
    assert api.json("GET", f"/runs/{run}")["state"] == "succeeded", "the pipeline did not succeed"
    elements = api.json("GET", f"/runs/{run}/elements")["elements"]
    assert isinstance(elements, list), "a pipeline has elements"
    succeeded = {each["name"]: [one["state"] for one in each["instances"]].count("succeeded") for each in elements}
    assert succeeded == {"each": count, "last": 1}, f"it did not run through: {succeeded}"


ROW = Row(name="matrix", title="A matrix of 1,000 runs", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
