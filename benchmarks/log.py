"""One log of 100 MB until it is stored, and the memory it takes on its way: `python -m benchmarks.log [--quick]`."""

import statistics
from collections.abc import Sequence

from benchmarks.floor import Floor
from benchmarks.gates import Gate, Section
from benchmarks.measurements import LargeLog, measure_log
from benchmarks.peer import Peer
from benchmarks.processes import Processes
from benchmarks.product import Product
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import log_table, role_of

TIMES = 3


def measure(place: Place) -> Section:
    """The product, then the floor, each a few times; the first one is what memory is judged by."""
    megabytes = place.size(100, 10)
    with Processes(place.folder) as processes:
        logs = _measure(Product(processes, place.folder / "product", slots=8), megabytes)
    with Processes(place.folder) as processes:
        floors = _measure(Floor(processes, place.folder / "floor", width=8), megabytes)
    speed = _speed(logs)
    growth = next(grown for process, grown in logs[0].grown if role_of(process).startswith("master"))
    return Section(
        gates=(
            Gate(what="100 MB of log, live and stored", limit=100, measured=speed, unit="MB/s", is_at_least=True),
            Gate(
                what="100 MB of log, to the floor",
                limit=0.25,
                measured=speed / _speed(floors),
                unit="×",
                is_at_least=True,
            ),
            Gate(what="growth of the master during 100 MB of log", limit=16, measured=growth, unit="MiB"),
        ),
        tables=(log_table([*logs, *floors]),),
    )


def _measure(peer: Peer, megabytes: int) -> list[LargeLog]:
    peer.subscribe()
    return [measure_log(peer, megabytes) for _ in range(TIMES)]


def _speed(logs: Sequence[LargeLog]) -> float:
    return statistics.median(log.megabytes / log.seconds for log in logs)


ROW = Row(name="log", title="Log", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
