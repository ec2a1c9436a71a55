"""What a master counts of the attempts that pass through it."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from orchestra.clock import Instant, seconds_between
from orchestra.lifecycle import AttemptState

_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
_ENDS = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.ABORTED, AttemptState.EXCEPTION)


class AttemptMetrics:
    """Attempts as they pass through this master."""

    def __init__(self, *, registry: CollectorRegistry | None = None) -> None:
        # Without a registry it counts for nobody.
        registered = registry or CollectorRegistry()
        self._waits = Histogram(
            "orchestra_run_wait_seconds",
            "From pending to started.",
            buckets=_WAIT_SECONDS,
            registry=registered,
        )
        self._lasts = Histogram(
            "orchestra_attempt_seconds",
            "From the start of an attempt to its end.",
            buckets=_WAIT_SECONDS,
            registry=registered,
        )
        ended = Counter("orchestra_attempts_ended", "Attempts that have ended.", ("outcome",), registry=registered)
        self._ended = {outcome: ended.labels(outcome) for outcome in _ENDS}
        self._log_bytes = Counter("orchestra_log_bytes", "Bytes of logs that were stored.", registry=registered)

    def started(self, pending_at: Instant | None, now: Instant) -> None:
        """An attempt has started, which had waited since then."""
        if pending_at is not None:
            self._waits.observe(max(0.0, seconds_between(pending_at, now)))

    def ended(self, outcome: AttemptState, started_at: Instant | None, now: Instant) -> None:
        """An attempt is over."""
        self._ended[outcome].inc()
        if started_at is not None:
            self._lasts.observe(max(0.0, seconds_between(started_at, now)))

    def log_stored(self, length: int) -> None:
        """So many bytes are stored."""
        self._log_bytes.inc(length)
