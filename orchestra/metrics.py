"""What one process counts of itself, for Prometheus. Each process makes one registry and hands it to its parts."""

import asyncio

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from orchestra.clock import Clock
from orchestra.limits import LAG_SECONDS

METRICS_TYPE = CONTENT_TYPE_LATEST
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_BATCH_CHANGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def new_registry() -> CollectorRegistry:
    """A registry that knows the process itself: memory, processor time, open files."""
    # The instants at which counters were made are of no use here, and would double the number of series.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left its annotation out
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """Everything that is registered, as Prometheus reads it."""
    return generate_latest(registry)


class HttpMetrics:
    """Requests by their route, never by their address: the number of series is bounded by the program."""

    def __init__(self, *, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._requests = Counter(
            "orchestra_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "orchestra_http_request_seconds",
            "From the request to the begin of its answer.",
            ("route",),
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        # Looking a child up by its labels costs more than counting.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def begin(self) -> float:
        """A request came: what `answered` wants to know later."""
        return self._clock.monotonic()

    def answered(self, method: str, route: str, status: int, begun: float) -> None:
        """The answer to it begins."""
        known = method if method in _METHODS else "other"
        counter = self._counters.get((known, route, status))
        if counter is None:
            counter = self._counters[known, route, status] = self._requests.labels(known, route, str(status))
        counter.inc()
        timer = self._timers.get(route)
        if timer is None:
            timer = self._timers[route] = self._seconds.labels(route)
        timer.observe(self._clock.monotonic() - begun)


class StorageMetrics:
    """How well changes share their commits."""

    def __init__(self, *, registry: CollectorRegistry) -> None:
        self._changes = Histogram(
            "orchestra_database_batch_changes",
            "Changes that shared one commit.",
            buckets=_BATCH_CHANGES,
            registry=registry,
        )

    def batch_committed(self, changes: int) -> None:
        """So many were committed together."""
        self._changes.observe(changes)


class LoopLag:
    """How late the event loop comes to what is due: what everybody in the process waits for everybody else."""

    def __init__(self, *, registry: CollectorRegistry, clock: Clock, every_seconds: float = LAG_SECONDS) -> None:
        self._clock = clock
        self._every_seconds = every_seconds
        self._lag = Histogram(
            "orchestra_event_loop_lag_seconds",
            "How late the event loop came to what was due, looked at now and then.",
            buckets=_LAG_SECONDS,
            registry=registry,
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = self._clock.monotonic() + self._every_seconds
            await asyncio.sleep(self._every_seconds)
            self._lag.observe(max(0.0, self._clock.monotonic() - due))
