"""Connections between workers and masters: in order like TCP, and cut, frozen, delayed or repeated by chance.

A connection has two directions. What one end sends arrives at the other after a delay; a cut drops what is under way;
a frozen connection delivers nothing until it thaws, perhaps long after both ends have given it up, so that an older
connection's words can arrive after a newer one's.
"""

import random
from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection

from orchestra.protocol.codec import Frame
from orchestra_worker.transport import CannotConnect, TransportClosed
from tests.simulation.loop import Life, SimulatedLoop

IN_FLIGHT_BYTES_MAX = 256 << 10
"""What the buffers of both machines take before a sender has to wait."""
CONNECT_SECONDS_MAX = 10.0


class Gone(Exception):
    """The connection is no more."""


class End:
    """One end of a connection, owned by one process."""

    def __init__(self, wire: "Wire", life: Life) -> None:
        self.life = life
        self.is_gone = False
        self._wire = wire
        self._inbox: deque[Frame] = deque()
        self._waiter: Future[None] | None = None
        self._room: Future[None] | None = None
        self.other: End
        self.last_delivery = 0.0
        """Of what was sent to this end: later frames come later."""
        self.in_flight = 0
        """Bytes on their way to this end."""

    async def receive(self) -> Frame:
        """The next frame; raises Gone."""
        while not self._inbox:
            if self.is_gone:
                raise Gone
            self._waiter = self._wire.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._inbox.popleft()

    async def send(self, frame: Frame) -> None:
        """Sends, and waits while the buffers are full; raises Gone."""
        while self.other.in_flight > IN_FLIGHT_BYTES_MAX and not self.is_gone:
            self._room = self._wire.loop.create_future()
            try:
                await self._room
            finally:
                self._room = None
        if self.is_gone:
            raise Gone
        self._wire.carry(self, frame)

    def close(self) -> None:
        """This end says goodbye: what it has sent before still arrives."""
        if not self.is_gone:
            self.is_gone = True
            self._wake()
            self._wire.say_goodbye(self)

    def arrive(self, frame: Frame) -> None:
        """A frame is there."""
        self.in_flight -= len(frame)
        if not self.is_gone:
            self._inbox.append(frame)
            self._wake()
        self.other._wake_sender()

    def lose(self) -> None:
        """The other end or the way to it is gone."""
        self.is_gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
        self._wake_sender()

    def _wake_sender(self) -> None:
        if self._room and not self._room.done():
            self._room.set_result(None)


class Wire:
    """One connection."""

    def __init__(self, network: "Network", worker: Life, master: Life) -> None:
        self.loop = network.loop
        self._network = network
        self.worker_end, self.master_end = End(self, worker), End(self, master)
        self.worker_end.other, self.master_end.other = self.master_end, self.worker_end
        self.is_cut = False
        self.is_frozen = False
        self._held: list[Callable[[], None]] = []
        self.sent_by_worker: list[Frame] = []

    @property
    def is_over(self) -> bool:
        """Whether both ends have given it up."""
        return self.worker_end.is_gone and self.master_end.is_gone

    def carry(self, sender: End, frame: Frame) -> None:
        """Takes a frame on its way."""
        if sender is self.worker_end:
            self.sent_by_worker.append(frame)
        sender.other.in_flight += len(frame)
        self._deliver(sender.other, lambda: self._reach(sender.other, frame))

    def _reach(self, end: End, frame: Frame) -> None:
        ambush, is_dropped = self._network.ambush, False
        if ambush is not None:
            is_dropped = ambush(self, end, frame)
        if is_dropped:
            return
        if end is self.master_end and end.life.is_alive and not end.is_gone:
            self._network.note_contact(self.worker_end.life.name)
        end.arrive(frame)

    def say_goodbye(self, sender: End) -> None:
        """The end of what this end sends."""
        self._deliver(sender.other, sender.other.lose)

    def cut(self) -> None:
        """Both ends learn of it, and what is under way is lost."""
        if not self.is_cut:
            self.is_cut = True
            self._held.clear()
            for end in (self.worker_end, self.master_end):
                self.loop.in_world(self._network.delay(), end.lose)

    def lose_at(self, end: End) -> None:
        """This end alone learns that the connection is gone; the other believes in it until it thaws, or for longer."""
        self.freeze()
        self.loop.in_world(self._network.delay(), end.lose)

    def freeze(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self.is_frozen = True

    def thaw(self) -> None:
        """What was held arrives now, in its order."""
        self.is_frozen = False
        held, self._held = self._held, []
        for arrive in held:
            arrive()

    def _deliver(self, end: End, arrive: Callable[[], None]) -> None:
        end.last_delivery = max(end.last_delivery, self.loop.now + self._network.delay())

        def reach() -> None:
            if self.is_cut:
                return
            if self.is_frozen:
                self._held.append(arrive)
            else:
                arrive()

        self.loop.call_at(end.last_delivery, reach, context=self.loop.world.context)


Accept = Callable[["Wire"], None]
Ambush = Callable[["Wire", End, Frame], bool]
"""Sees every frame when it arrives, and may do what it likes; True drops the frame."""


class Network:
    """Knows who listens, and every connection that is not over."""

    def __init__(self, loop: SimulatedLoop, chance: random.Random) -> None:
        self.loop = loop
        self.wires: list[Wire] = []
        self.lag_seconds = 0.0
        """Added to every delivery, at most."""
        self._chance = chance
        self.ambush: Ambush | None = None
        self._doors: dict[str, tuple[Life, Accept]] = {}
        self._heard_at: dict[str, float] = {}
        self._silences: dict[str, float] = {}
        self.partitions: set[tuple[str, str]] = set()
        """Pairs of a worker's and a master's name between which nothing passes."""

    def note_contact(self, worker: str) -> None:
        """Something of the worker has reached a master."""
        self._silences[worker] = max(self._silences.get(worker, 0.0), self.loop.now - self._heard_at.get(worker, 0.0))
        self._heard_at[worker] = self.loop.now

    def silence_seconds_max(self, workers: Collection[str]) -> float:
        """The longest time in which no master has heard of one of these workers."""
        for worker in workers:
            self.note_contact(worker)
        return max((self._silences[worker] for worker in workers), default=0.0)

    def delay(self) -> float:
        """Of one delivery."""
        return 0.0002 + self._chance.random() * (0.003 + self.lag_seconds)

    def listen(self, name: str, life: Life, accept: Accept) -> None:
        """This process takes connections from now on."""
        self._doors[name] = (life, accept)

    def forget(self, life: Life) -> None:
        """A process has died: its machine says so to the other ends, unless the way is frozen."""
        for wire in self.wires:
            for end in (wire.worker_end, wire.master_end):
                if end.life is life:
                    end.is_gone = True
                    wire.say_goodbye(end)
        self._doors = {name: door for name, door in self._doors.items() if door[0] is not life}

    def vanish(self, life: Life) -> None:
        """A whole machine is gone without a word."""
        for wire in self.wires:
            if life in (wire.worker_end.life, wire.master_end.life):
                wire.freeze()
        self.forget(life)

    def is_parted(self, worker: str, master: str) -> bool:
        """Whether nothing passes between them."""
        return (worker, master) in self.partitions

    def part(self, worker: str, master: str) -> None:
        """Black hole: what is open freezes, what is new does not come through."""
        self.partitions.add((worker, master))
        for wire in self._between(worker, master):
            wire.freeze()

    def heal(self, worker: str, master: str) -> None:
        """Everything passes again, what was held first."""
        self.partitions.discard((worker, master))
        for wire in self._between(worker, master):
            wire.thaw()

    def open(self, worker: Life, master: str) -> Wire | None:
        """A connection, if somebody listens there and the way is free."""
        self.wires = [wire for wire in self.wires if not wire.is_over]
        door = self._doors.get(master)
        if door is None or not door[0].is_alive or self.is_parted(worker.name, master):
            return None
        wire = Wire(self, worker, door[0])
        self.wires.append(wire)
        self.loop.in_life(door[0], self.delay(), door[1], wire)
        return wire

    def _between(self, worker: str, master: str) -> list[Wire]:
        return [
            wire for wire in self.wires if wire.worker_end.life.name == worker and wire.master_end.life.name == master
        ]


class MasterConnection:
    """The master's end, as its port wants it."""

    def __init__(self, end: End) -> None:
        self._end = end

    async def receive(self) -> Frame:
        """The next frame."""
        try:
            return await self._end.receive()
        except Gone:
            raise ConnectionError("the worker's connection is gone") from None

    async def send(self, frame: Frame) -> None:
        """Sends a frame."""
        try:
            await self._end.send(frame)
        except Gone:
            raise ConnectionError("the worker's connection is gone") from None

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection."""
        self._end.close()


class WorkerTransport:
    """The worker's end, as its port wants it."""

    def __init__(self, end: End) -> None:
        self._end = end

    async def receive(self) -> Frame:
        """The next frame."""
        try:
            return await self._end.receive()
        except Gone:
            raise TransportClosed(None, "gone") from None

    async def send(self, frame: Frame) -> None:
        """Sends a frame."""
        try:
            await self._end.send(frame)
        except Gone:
            raise TransportClosed(None, "gone") from None

    async def close(self, code: int, reason: str) -> None:
        """Ends the connection."""
        self._end.close()


class SimulatedConnector:
    """The way of one worker to one master."""

    def __init__(self, network: Network, life: Life, master: str) -> None:
        self._network = network
        self._life = life
        self._master = master

    async def connect(self) -> WorkerTransport:
        """A new connection; raises CannotConnect."""
        import asyncio

        await asyncio.sleep(self._network.delay())
        if self._network.is_parted(self._life.name, self._master):
            await asyncio.sleep(CONNECT_SECONDS_MAX)
        wire = self._network.open(self._life, self._master)
        if wire is None:
            raise CannotConnect(self._master, "nobody answers")
        await asyncio.sleep(self._network.delay())
        return WorkerTransport(wire.worker_end)
