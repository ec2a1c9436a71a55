"""What an instance with one worker and nothing to do costs: `python -m benchmarks.idle [--quick]`.

The product and its floor rest at the same time, so that both have the same neighbours.
"""

import time
from collections.abc import Sequence

from benchmarks.floor import Floor
from benchmarks.gates import Gate, Section
from benchmarks.processes import Processes, memory
from benchmarks.product import Product
from benchmarks.quiet import wait_quiet
from benchmarks.rest import exact_cpu_seconds, mebibytes_alone, wake_ups
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table, role_of

SETTLE_SECONDS = 10
"""What a start leaves behind to be done is not rest."""
CPU_PERCENT_MAX = 0.1


def measure(place: Place) -> Section:
    """Both forms of memory: with shared pages divided by all who share them, and as if nobody else did."""
    with Processes(place.folder) as processes:
        product = Product(processes, place.folder / "product", slots=8)
        floor = Floor(processes, place.folder / "floor", width=8)
        time.sleep(place.size(SETTLE_SECONDS, 1))
        wait_quiet([*product.roots, *floor.roots])
        rests = _rest([product.roots, floor.roots], place.size(60, 2))
        lines = [_line(peer.name, peer.roots, *rest) for peer, rest in ((product, rests[0]), (floor, rests[1]))]
        together, floor_together = _proportional(product.roots), _proportional(floor.roots)
        alone = mebibytes_alone([product.worker, product.keeper])
        floor_alone = mebibytes_alone([floor.roots[1]])
    head = ("", "CPU % of a core", "wake-ups a second", "resident, MiB", "proportional, MiB", "alone, MiB")
    return Section(
        gates=(
            Gate(what="idle CPU, all parts, 60 s", limit=CPU_PERCENT_MAX, measured=rests[0][0], unit="% of a core"),
            Gate(what="memory at rest, master + worker", limit=110, measured=together, unit="MiB"),
            Gate(
                what="memory at rest, master + worker, to the floor",
                limit=2.5,
                measured=together / floor_together,
                unit="×",
            ),
            Gate(what="memory at rest, agent + keeper alone", limit=33, measured=alone, unit="MiB"),
            Gate(
                what="memory at rest, agent + keeper alone, to a floor process",
                limit=1.5,
                measured=alone / floor_alone,
                unit="×",
            ),
        ),
        tables=(plain_table(head, lines),),
    )


def _rest(peers: Sequence[Sequence[int]], seconds: float) -> list[tuple[float, float]]:
    """CPU in percent of a core, and wake-ups a second, of each."""
    before = [(exact_cpu_seconds(roots), wake_ups(roots)) for roots in peers]
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [
        (100 * (exact_cpu_seconds(roots) - used) / passed, (wake_ups(roots) - woken) / passed)
        for roots, (used, woken) in zip(peers, before, strict=True)
    ]


def _line(name: str, roots: Sequence[int], cpu_percent: float, woken: float) -> tuple[str, ...]:
    processes = memory(roots)
    return (
        name,
        f"{cpu_percent:.3f}",
        f"{woken:.1f}",
        ", ".join(f"{role_of(each)} {each.resident_mib:.0f}" for each in processes),
        f"{sum(each.proportional_mib for each in processes):.0f}",
        ", ".join(f"{role_of(each)} {mebibytes_alone([each.pid]):.0f}" for each in processes),
    )


def _proportional(roots: Sequence[int]) -> float:
    return sum(each.proportional_mib for each in memory(roots))


ROW = Row(name="idle", title="At rest", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
