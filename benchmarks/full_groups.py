"""How soon a run starts beside 100,000 that wait for full groups: `python -m benchmarks.full_groups [--quick]`.

In both instances 50 runs fill 50 groups and sleep; in one of them nobody else waits. They live at the same time and are
asked by turns for one run after the other, so that the machine changes for both of them.
"""

import random
import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.gates import Gate, Section
from benchmarks.measurements import time_one_run
from benchmarks.processes import Processes, percentile, wait_until
from benchmarks.product import RUNS_SECONDS_MAX, ApiConnection, Product
from benchmarks.quiet import Foreign, wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table

GROUPS = 50
SLOTS = 58
LATER_SECONDS = 86_400
DEFINITION = """
orchestra: 1
project: groups
jobs:
  hold:
    parameters: { group: { type: string, required: true } }
    concurrency: { group: "group-{parameters.group}" }
    command: [sleep, "86400"]
"""
COPY = """
insert into runs ({columns})
select {values} from runs, (
    with recursive n(i) as (select 1 union all select i + 1 from n where i < :each) select i from n
), (select max(id) as newest, min(id) as oldest from runs where state = 'scheduled')
where state = 'scheduled'
"""


def measure(place: Place) -> Section:
    """What the run waits, in one instance and in the other."""
    waiting, samples = place.size(100_000, 500), place.size(500, 5)
    full_data = _filled(place, waiting)
    with Processes(place.folder) as processes:
        full = Product(processes, full_data, slots=SLOTS)
        empty = Product(processes, place.folder / "empty", slots=SLOTS)
        empty.apply(DEFINITION)
        _ask_for_each(empty.connection(), {})
        for product in (empty, full):
            _await_full(product.connection())
        roots = [*empty.roots, *full.roots]
        wait_quiet(roots)
        with Foreign(roots) as foreign:
            taken = _by_turns((empty, full), place.folder, samples)
        left = _count(full.connection(), "pending")
    assert left, "the groups did not keep the runs waiting"
    p99 = [percentile(each, 0.99) for each in taken]
    names = ("nobody waits", f"{waiting:,} wait for {GROUPS} groups")
    lines = [
        (
            names[which],
            f"{samples}",
            f"{min(taken[which]):.1f}",
            f"{statistics.median(taken[which]):.1f}",
            f"{p99[which]:.1f}",
            f"{foreign.percent:.0f}",
        )
        for which in (0, 1)
    ]
    return Section(
        gates=(
            Gate(
                what="100,000 pending in 50 full groups: start p99 to an empty queue",
                limit=2,
                measured=p99[1] / p99[0],
                unit="×",
            ),
        ),
        tables=(plain_table(("start, ms", "n", "min", "p50", "p99", "foreign CPU %"), lines),),
    )


def _filled(place: Place, count: int) -> Path:
    """The folder of an instance that is not running, in which so many runs wait."""
    data, folder = place.folder / "full", place.folder / "first"
    folder.mkdir()
    with Processes(folder) as processes:
        product = Product(processes, data, slots=SLOTS)
        product.apply(DEFINITION)
        _ask_for_each(product.connection(), {"delay_seconds": LATER_SECONDS})
    (data / "connection.toml").unlink()
    _copy(data / "orchestra.db", count // GROUPS)
    return data


def _ask_for_each(api: ApiConnection, more: dict[str, object]) -> None:
    for number in range(GROUPS):
        api.json("POST", "/projects/groups/jobs/hold/runs", {"parameters": {"group": str(number)}, **more})


def _copy(database: Path, each: int) -> None:
    """So many runs of each group that wait already, like the one that is for later: over the API they would take
    minutes."""
    with closing(sqlite3.connect(database)) as connection:
        columns = [row[1] for row in connection.execute("pragma table_info(runs)")]
        new_id = f"newest + (runs.id - oldest) * {each} + i"
        changed = {
            "id": new_id,
            "creation_key": f"'copy ' || ({new_id})",
            "state": "'pending'",
            "due_at": "runs.created_at",
            "pending_at": "runs.created_at",
            "rank": "runs.created_at",
        }
        values = [changed.get(name, f"runs.{name}") for name in columns]
        connection.execute(COPY.format(columns=", ".join(columns), values=", ".join(values)), {"each": each})
        connection.commit()


def _await_full(api: ApiConnection) -> None:
    """Until each group has its run."""
    wait_until(
        lambda: _count(api, "running") >= GROUPS, seconds=RUNS_SECONDS_MAX, every=0.2, what="the groups to be full"
    )


def _count(api: ApiConnection, state: str) -> int:
    """How many runs there are in the state, up to a page of them."""
    items = api.json("GET", f"/runs?status={state}&project=groups&limit=200")["items"]
    assert isinstance(items, list), "a page has items"
    return len(items)


def _by_turns(products: Sequence[Product], folder: Path, samples: int) -> list[list[float]]:
    """For each product, in milliseconds; the rests are random, so as not to fall into step with a poll."""
    taken: list[list[float]] = [[] for _ in products]
    for product in products:
        product.subscribe()
    for number in range(samples + 1):
        for which, product in enumerate(products):
            start, _ = time_one_run(product, folder / f"stamp-{which}-{number}")
            if number:  # The first one warms up.
                taken[which].append(start)
            time.sleep(random.uniform(0, 0.1))
    return taken


ROW = Row(name="full_groups", title="100,000 runs that wait for full groups", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
