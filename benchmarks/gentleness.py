"""How long the embedded process keeps a small request waiting while it does something heavy:
`python -m benchmarks.gentleness [--quick]`.

The probe asks for the cheapest route every few milliseconds on a connection of its own. What it waits beyond the
quiet median is the time in which the event loop (or Python's lock) was taken: an upper bound of the loop's lag.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.gates import Gate, Section
from benchmarks.history import prepared_history
from benchmarks.peer import Kind
from benchmarks.processes import Processes
from benchmarks.product import ApiConnection, Json, Product
from benchmarks.rows import Place, Row, run_alone
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

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection
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


def measure(place: Place) -> Section:
    """What is waited at most, whatever it was that was waited for."""
    lags = _lags(place, place.size(1000, 20), place.size(1_000_000, 2000), place.size(2000, 100))
    most = max(lag.most for lag in lags)
    return Section(
        gates=(Gate(what="what a small request waits beside heavy ones, at most", limit=50, measured=most, unit="ms"),),
        tables=(gentleness_table(lags),),
    )


def _lags(place: Place, megabytes: int, runs: int, count: int) -> list[Lag]:
    """Ten sign-ins at once, a search through a large log, lists over a long history, a download of the log."""
    data = prepared_history(place, runs)
    with Processes(place.folder) as processes:
        product = Product(processes, data, slots=2)
        api = product.connection()
        for number in range(SIGN_INS):
            viewer: Json = {"name": f"ana-{number}", "password": PASSWORD, "roles": [{"role": "viewer"}]}
            api.json("POST", "/users", viewer)
        product.subscribe()
        run = product.trigger(Kind.LOG, str(megabytes))
        product.told_at(run)
        probe = Probe(product.connection())
        return [
            probe.lag("nothing", lambda: time.sleep(2.0)),
            probe.lag(f"{SIGN_INS} sign-ins at once", lambda: _sign_in(product)),
            probe.lag(f"the run list at {runs:,} runs, 50 times", lambda: _ask(product, "/runs?status=failed", 50)),
            probe.lag(
                f"a search through a log of {megabytes} MB", lambda: _ask(product, f"/runs/{run}/log?q=nowhere", 1)
            ),
            probe.lag(f"the end of a log of {megabytes} MB", lambda: _ask(product, f"/runs/{run}/log", 5)),
            probe.lag(f"{count:,} runs of `{Kind.ECHO}`", lambda: product.run_many(Kind.ECHO, count)),
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


ROW = Row(name="gentleness", title="How long a small request waits beside heavy ones", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
