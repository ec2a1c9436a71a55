"""Signals within one process: what was signalled reaches each subscriber of the topic once, however late it looks."""

import asyncio
from collections.abc import Iterable

from orchestra.limits import SIGNALS_HELD_MAX
from orchestra.storage.database import Signal, Topic


class SignalBus:
    """Carries signals to the subscribers of this process; used from the event loop's thread only."""

    def __init__(self) -> None:
        # In the order in which they came, so that a run of the simulator can be repeated.
        self._subscriptions: dict[BusSubscription, None] = {}

    def subscribe(self, topics: Iterable[Topic]) -> "BusSubscription":
        """A subscription from now on."""
        subscription = BusSubscription(bus=self, topics=frozenset(topics))
        self._subscriptions[subscription] = None
        return subscription

    def forget(self, subscription: "BusSubscription") -> None:
        """This one is closed."""
        self._subscriptions.pop(subscription, None)

    def publish(self, signals: Iterable[Signal]) -> None:
        """Gives each signal to those who listen to its topic."""
        for signal in signals:
            for subscription in self._subscriptions:
                if signal.topic in subscription.topics:
                    subscription.hold(signal)

    def resync(self) -> None:
        """Signals may have been lost: everybody is told that anything of their topics may have changed."""
        self.publish(Signal(topic) for topic in Topic)


class BusSubscription:
    """The signals that one subscriber has not seen yet: each once, bounded in number."""

    def __init__(self, *, bus: SignalBus, topics: frozenset[Topic]) -> None:
        self.topics = topics
        self._bus = bus
        self._held: set[Signal] = set()
        self._arrived = asyncio.Event()

    def hold(self, signal: Signal) -> None:
        """Keeps the signal until the subscriber looks."""
        if len(self._held) >= SIGNALS_HELD_MAX:
            # A subscriber that far behind is better served by one look at everything.
            self._held = {Signal(held.topic) for held in self._held}
            signal = Signal(signal.topic)
        self._held.add(signal)
        self._arrived.set()

    async def wait(self, timeout_seconds: float) -> frozenset[Signal]:
        """The signals since the last call; empty after the timeout."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        except TimeoutError:
            return frozenset()
        held = frozenset(self._held)
        self._held.clear()
        self._arrived.clear()
        return held

    def close(self) -> None:
        """No more signals."""
        self._bus.forget(self)
