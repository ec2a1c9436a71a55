"""A clock whose hands the test turns."""

from orchestra.clock import Instant, after

START = Instant(1_790_000_000_000_000)


class FakeClock:
    """Stands still until told otherwise; both hands move together."""

    def __init__(self, now: Instant = START) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> Instant:
        """The wall clock."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now = after(self._now, seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock; no time has passed."""
        self._now = after(self._now, seconds)
