"""The workers that are connected to this master, and what each of them holds."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from orchestra.clock import Instant
from orchestra.identifiers import Epoch, WorkerId, WorkerName
from orchestra.limits import (
    OFFER_SECONDS_MAX,
    PREFETCH_SECONDS,
    PREFETCHED_MAX,
    PREFETCHED_SECONDS_MAX,
    TAKEOVER_SECONDS,
    TAKEOVERS_MAX,
)
from orchestra.protocol.messages import Go, MasterMessage
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
    prefetch: int = 0
    """How many slots' worth of accepted attempts the worker keeps beyond its slots."""
    load: float = 0.0
    free_disk_bytes: int = 0
    held: dict[AttemptKey, int] = field(default_factory=dict)
    """The attempts that the worker has, with how many slots. A set of facts, not a counter: it cannot leak."""
    offers: dict[AttemptKey, float] = field(default_factory=dict)
    """Offers not yet accepted, with the moment (monotonic) at which they are withdrawn."""
    over: set[AttemptKey] = field(default_factory=set)
    """Held attempts whose end has arrived and is being stored: the worker itself has their slots free already."""
    prefetched: dict[AttemptKey, float | None] = field(default_factory=dict)
    """Held attempts that wait for a free slot, in the order in which they get one: they are not told to go before.

    With the moment (monotonic) at which they are taken back. None: never, for on an earlier connection the worker may
    have heard `go` all the same.
    """
    recalled: set[AttemptKey] = field(default_factory=set)
    """What waited for a slot and is being taken back: never told to go any more."""
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=PREFETCHED_MAX))
    """When (monotonic) the last attempts were over."""
    stopping: set[AttemptKey] = field(default_factory=set)
    """What this session was asked to stop already."""
    refused_until: float = 0.0
    """The worker refused an offer or let it pass: none before this moment (monotonic)."""

    @property
    def free_slots(self) -> int:
        """How many slots nothing occupies."""
        return self.slots - sum(
            slots for key, slots in self.held.items() if key not in self.over and key not in self.prefetched
        )

    @property
    def settling_slots(self) -> int:
        """How many of those the database still says are filled."""
        return sum(self.held[key] for key in self.over)

    def prefetch_room(self, now: float) -> int:
        """How many more attempts may wait here for a slot: as many as there were ends of late."""
        if not self.prefetch:
            return 0
        recent = sum(now - ended_at <= PREFETCH_SECONDS for ended_at in self.ends)
        return max(0, min(self.prefetch, recent) - len(self.prefetched))

    def hold(self, key: AttemptKey, slots: int, now: float) -> None:
        """The attempt is offered: it occupies slots, or waits for them."""
        if slots > self.free_slots:
            self.prefetched[key] = now + PREFETCHED_SECONDS_MAX
        self.held[key] = slots
        self.offers[key] = now + OFFER_SECONDS_MAX

    def end(self, keys: Iterable[AttemptKey], now: float) -> bool:
        """The worker says that these are over: what waits gets their slots. False if it holds none of them."""
        ended = self.held.keys() & set(keys)
        self.over |= ended
        for key in ended:
            self.prefetched.pop(key, None)
            self.ends.append(now)
        self._fill_slots()
        return bool(ended)

    def recall(self, key: AttemptKey) -> None:
        """The attempt, which waits for a slot, shall be taken back."""
        self.release(key)
        self.recalled.add(key)

    def release(self, key: AttemptKey) -> None:
        """The worker does not have the attempt any more: what waits gets its slots."""
        self.held.pop(key, None)
        self.offers.pop(key, None)
        self.prefetched.pop(key, None)
        self.over.discard(key)
        self.stopping.discard(key)
        self._fill_slots()

    def recallable(self) -> dict[AttemptKey, float]:
        """What waits for a slot and cannot have run, with the moment (monotonic) at which it is taken back."""
        return {key: due_at for key, due_at in self.prefetched.items() if due_at is not None}

    def accepted_in_wait(self) -> dict[AttemptKey, float]:
        """Those of them that the worker has accepted: what is still offered to it is withdrawn as an offer."""
        return {key: due_at for key, due_at in self.recallable().items() if key not in self.offers}

    def may_go(self, key: AttemptKey) -> bool:
        """Whether the attempt, once its acceptance is committed, has what it needs to start."""
        return key in self.held and key not in self.prefetched

    def _fill_slots(self) -> None:
        for key in list(self.prefetched):
            if self.held[key] > self.free_slots:
                # None overtakes it: it would never find enough of them.
                return
            del self.prefetched[key]
            if key not in self.offers:
                self.send(Go(run=key[0], attempt=key[1]))


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
