"""The workers that are connected to this master, and what each of them holds."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestra.clock import Instant
from orchestra.identifiers import Epoch, WorkerId, WorkerName
from orchestra.limits import TAKEOVER_SECONDS, TAKEOVERS_MAX
from orchestra.protocol.messages import MasterMessage
from orchestra.protocol.window import AttemptKey
from orchestra.specification import PropertyValue


@dataclass(kw_only=True, eq=False, slots=True)
class ConnectedWorker:
    """A worker's session as the rest of the master sees it."""

    worker: WorkerId
    name: WorkerName
    epoch: Epoch
    instance: str
    properties: Mapping[str, PropertyValue]
    slots: int
    accepts_runs: bool
    send: Callable[[MasterMessage], None]
    """Queues a message; harmless when the connection is gone."""
    replace: Callable[[], None]
    """Ends the connection, because a newer one has come."""
    heard_at: Instant
    load: float = 0.0
    free_disk_bytes: int = 0
    held: dict[AttemptKey, int] = field(default_factory=dict)
    """The attempts that occupy slots, with how many. A set of facts, not a counter: it cannot leak."""
    offers: dict[AttemptKey, float] = field(default_factory=dict)
    """Offers not yet accepted, with the moment (monotonic) at which they are withdrawn."""
    over: set[AttemptKey] = field(default_factory=set)
    """Held attempts whose end has arrived and is being stored: the worker itself has their slots free already."""
    stopping: set[AttemptKey] = field(default_factory=set)
    """What this session was asked to stop already."""
    refused_until: float = 0.0
    """The worker refused an offer or let it pass: none before this moment (monotonic)."""

    @property
    def free_slots(self) -> int:
        """How many slots nothing occupies."""
        return self.slots - sum(slots for key, slots in self.held.items() if key not in self.over)

    def release(self, key: AttemptKey) -> None:
        """The attempt occupies nothing any more."""
        self.held.pop(key, None)
        self.offers.pop(key, None)
        self.over.discard(key)
        self.stopping.discard(key)


class Roster:
    """Who is connected. The newest session of a worker wins."""

    def __init__(self) -> None:
        self._connected: dict[WorkerId, ConnectedWorker] = {}
        self._takeovers: defaultdict[WorkerId, deque[float]] = defaultdict(lambda: deque(maxlen=TAKEOVERS_MAX))
        self._listeners: list[Callable[[], None]] = []
        self.offered = asyncio.Event()
        """Set when an offer is made; cleared by who watches that offers are accepted in time."""

    def on_capacity(self, listener: Callable[[], None]) -> None:
        """The listener is called whenever a worker may have become able to take a run."""
        self._listeners.append(listener)

    def capacity_changed(self) -> None:
        """A slot was freed, a worker came or takes runs again."""
        for listener in self._listeners:
            listener()

    def enter(self, connected: ConnectedWorker) -> None:
        """The session is the worker's newest from now on."""
        self._connected[connected.worker] = connected
        self.capacity_changed()

    def leave(self, connected: ConnectedWorker) -> None:
        """The session is over; a newer one of the same worker stays."""
        if self._connected.get(connected.worker) is connected:
            del self._connected[connected.worker]

    def find(self, worker: WorkerId) -> ConnectedWorker | None:
        """The worker's session, if it is connected here."""
        return self._connected.get(worker)

    def connected(self) -> list[ConnectedWorker]:
        """All sessions."""
        return list(self._connected.values())

    def is_contested(self, worker: WorkerId, now: float) -> bool:
        """Notes that an instance has taken the name over; true if live instances keep doing that to each other."""
        takeovers = self._takeovers[worker]
        takeovers.append(now)
        return len(takeovers) == TAKEOVERS_MAX and now - takeovers[0] <= TAKEOVER_SECONDS
