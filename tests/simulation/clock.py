"""Clocks of a simulated machine: both hands follow the loop's virtual time; the wall clock can be wrong and jump."""

from orchestra.clock import Instant, after
from tests.simulation.loop import SimulatedLoop
from tests.support.clocks import START


class SimulatedClock:
    """The clocks of one machine."""

    def __init__(self, loop: SimulatedLoop, *, error_seconds: float = 0.0) -> None:
        self._loop = loop
        self._booted_at = -1000.0
        self.error_seconds = error_seconds
        """How far the wall clock is ahead."""

    def now(self) -> Instant:
        """What this machine takes for the time."""
        return after(START, self._loop.now + self.error_seconds)

    def monotonic(self) -> float:
        """Seconds since the machine was booted."""
        return self._loop.now - self._booted_at

    def reboot(self) -> None:
        """The machine begins anew."""
        self._booted_at = self._loop.now
