"""How long the embedded process keeps a small request waiting while it does something heavy:
`python -m benchmarks.gentleness [log megabytes] [runs]`.

The probe asks for the cheapest route every few milliseconds on a connection of its own. What it waits beyond the
quiet median is the time in which the event loop (or Python's lock) was taken: an upper bound of the loop's lag.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.history import apply_teams, fill
from benchmarks.peer import Kind
from benchmarks.processes import Processes, wait_until
from benchmarks.product import Json, Product
from benchmarks.table import plain_table

PROBE_SECONDS = 0.003
SIGN_INS = 10
PASSWORD = "correct horse battery staple of the benchmark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lag:
    """How long the probe waited, in milliseconds beyond the quiet median."""

    during: str
    seconds: float
    probes: int
    p50: float
    p99: float
    most: float


class Probe:
    """Asks and asks, in a thread of its own."""

    def __init__(self, product: Product) -> None:
        self._connection = product.connection()
        self._quiet = 0.0
        self._quiet = statistics.median(self._during(lambda: time.sleep(1.0))[1])

    def lag(self, during: str, work: Callable[[], object]) -> Lag:
        """What is waited while the work is done."""
        seconds, waited = self._during(work)
        beyond = sorted(max(0.0, each - self._quiet) for each in waited)
        return Lag(
            during=during,
            seconds=seconds,
            probes=len(beyond),
            p50=statistics.median(beyond),
            p99=beyond[round(0.99 * (len(beyond) - 1))],
            most=beyond[-1],
        )

    def _during(self, work: Callable[[], object]) -> tuple[float, list[float]]:
        waited: list[float] = []
        with self._asking(waited):
            began = time.perf_counter()
            work()
            seconds = time.perf_counter() - began
        return seconds, waited

    @contextmanager
    def _asking(self, waited: list[float]) -> Iterator[None]:
        ended = threading.Event()

        def ask() -> None:
            while not ended.wait(PROBE_SECONDS):
                began = time.perf_counter()
                self._connection.exchange("GET", "/health/live")
                waited.append(1000 * (time.perf_counter() - began))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def measure_gentleness(folder: Path, megabytes: int, runs: int) -> list[Lag]:
    """Ten sign-ins at once, a search through a large log, lists over a long history, a download of the log."""
    data = folder / "product"
    with Processes(folder) as processes:
        apply_teams(Product(processes, data, slots=1))
    (data / "connection.toml").unlink()
    fill(data / "orchestra.db", runs)
    with Processes(folder) as processes:
        product = Product(processes, data, slots=2)
        api = product.connection()
        for number in range(SIGN_INS):
            viewer: Json = {"name": f"ana-{number}", "password": PASSWORD, "roles": [{"role": "viewer"}]}
            api.json("POST", "/users", viewer)
        run = product.trigger(Kind.LOG, str(megabytes))
        wait_until(lambda: product.is_done(run), seconds=900, what="the log")
        probe = Probe(product)
        return [
            probe.lag("nothing", lambda: time.sleep(2.0)),
            probe.lag(f"{SIGN_INS} sign-ins at once", lambda: _sign_in(product)),
            probe.lag(f"the run list at {runs:,} runs, 50 times", lambda: _ask(product, "/runs?status=failed", 50)),
            probe.lag(
                f"a search through a log of {megabytes} MB", lambda: _ask(product, f"/runs/{run}/log?q=nowhere", 1)
            ),
            probe.lag(f"the end of a log of {megabytes} MB", lambda: _ask(product, f"/runs/{run}/log", 5)),
            probe.lag(f"2,000 runs of `{Kind.ECHO}`", lambda: product.run_many(Kind.ECHO, 2000)),
        ]


def gentleness_table(rows: list[Lag]) -> str:
    """Milliseconds."""
    lines = [
        (row.during, f"{row.seconds:.1f}", f"{row.probes:,}", f"{row.p50:.1f}", f"{row.p99:.1f}", f"{row.most:.1f}")
        for row in rows
    ]
    return plain_table(("during", "s", "probes", "p50 ms", "p99 ms", "most ms"), lines)


def _sign_in(product: Product) -> None:
    """Ten people: more than five tries at once for one of them count as guessing."""
    connections = [product.connection() for _ in range(SIGN_INS)]

    def enter(number: int) -> None:
        connections[number].json("POST", "/sign-in", {"name": f"ana-{number}", "password": PASSWORD})

    with ThreadPoolExecutor(SIGN_INS) as pool:
        list(pool.map(enter, range(SIGN_INS)))


def _ask(product: Product, path: str, times: int) -> None:
    pages = product.connection(prefix="")
    for _ in range(times):
        pages.exchange("GET", path)


if __name__ == "__main__":
    asked = [int(text) for text in sys.argv[1:]]
    with tempfile.TemporaryDirectory(prefix="orchestra-bench-") as made:
        print(gentleness_table(measure_gentleness(Path(made), *(asked + [1000, 1_000_000][len(asked) :]))))
