"""A master for the worker's tests: the real protocol over a wire in memory; order is checked."""

import asyncio
from collections.abc import Callable, Sequence

from orchestra.clock import SystemClock
from orchestra.errors import ProtocolError
from orchestra.identifiers import AttemptNumber, Epoch, RunId
from orchestra.lifecycle import AttemptState
from orchestra.limits import HEARTBEAT_SECONDS, RUN_WINDOW_BYTES, SILENCE_SECONDS_MAX, WORKER_WINDOW_BYTES
from orchestra.protocol.codec import Frame
from orchestra.protocol.messages import (
    Accept,
    Acknowledge,
    Chunk,
    Event,
    Final,
    Forget,
    Go,
    Heartbeat,
    Hello,
    MasterMessage,
    Offer,
    Refuse,
    Resume,
    Stop,
    Welcome,
    WorkerMessage,
)
from orchestra.protocol.session import MasterSession
from orchestra.protocol.window import AttemptKey
from orchestra_worker.transport import CannotConnect, Transport, TransportClosed

DEADLINE_SECONDS = 20.0


class MemoryTransport:
    """One connection: two queues, and a cut that both ends notice."""

    def __init__(self) -> None:
        self.to_worker: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.to_master: asyncio.Queue[Frame | None] = asyncio.Queue()
        self.is_cut = False

    async def receive(self) -> Frame:
        frame = await self.to_worker.get()
        if frame is None:
            raise TransportClosed(None, "cut")
        return frame

    async def send(self, frame: Frame) -> None:
        if self.is_cut:
            raise TransportClosed(None, "cut")
        self.to_master.put_nowait(frame)

    async def close(self, code: int, reason: str) -> None:
        self.cut()

    def cut(self) -> None:
        self.is_cut = True
        self.to_worker.put_nowait(None)
        self.to_master.put_nowait(None)


class StoredAttempt:
    """What the master has of one attempt."""

    def __init__(self) -> None:
        self.is_accepted = False
        self.refusal: str | None = None
        self.events: list[Event] = []
        self.log = bytearray()
        self.is_forgotten = False

    @property
    def final(self) -> Final | None:
        last = self.events[-1].happening if self.events else None
        return last if isinstance(last, Final) else None


class FakeMaster:
    """Accepts connections as a Connector, and gives and records attempts; `is_away` makes it unreachable."""

    def __init__(self) -> None:
        self.attempts: dict[AttemptKey, StoredAttempt] = {}
        self.hellos: list[Hello] = []
        self.is_away = False
        self.forgets_at_once = True
        self.says_go = True
        self.acknowledges = True
        self.answers_heartbeats = True
        self.offered: dict[AttemptKey, Offer] = {}
        self.stops: dict[AttemptKey, Stop] = {}
        self.changed = asyncio.Condition()
        self.fault: AssertionError | ProtocolError | None = None
        """What the worker did wrong; every wait raises it."""
        self._transport: MemoryTransport | None = None
        self._session: MasterSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> Transport:
        if self.is_away:
            raise CannotConnect("memory", "the master is away")
        transport = MemoryTransport()
        self._transport, self._session = transport, MasterSession(now=SystemClock().monotonic())
        task = asyncio.create_task(self._serve(transport, self._session), name="fake master")
        self._tasks.add(task)
        return transport

    def cut(self) -> None:
        """Breaks the connection that is open."""
        if self._transport is not None:
            self._transport.cut()

    def leave(self) -> None:
        """Breaks the connection and refuses new ones."""
        self.is_away = True
        self.cut()

    async def end(self) -> None:
        """Waits for the tasks of all connections."""
        self.leave()
        await asyncio.gather(*self._tasks)

    def say(self, *messages: MasterMessage) -> None:
        """Sends messages to the worker."""
        assert self._session is not None
        assert self._transport is not None
        for message in messages:
            self._session.send(message)
        for frame in self._session.take_frames():
            self._transport.to_worker.put_nowait(frame)

    def offer(self, offer: Offer) -> StoredAttempt:
        """Offers a run; it is started as soon as it is accepted."""
        key = (offer.run, offer.attempt)
        self.offered[key] = offer
        stored = self.attempts[key] = StoredAttempt()
        self.say(offer)
        return stored

    def stop(self, offer: Offer, *, reason: str = "please", grace_seconds: float | None = None) -> None:
        """Asks for the end of a run, now and at each reconnect."""
        key = (offer.run, offer.attempt)
        self.stops[key] = Stop(run=offer.run, attempt=offer.attempt, reason=reason, grace_seconds=grace_seconds)
        self.say(self.stops[key])

    def acknowledge_all(self) -> None:
        """Acknowledges what was not, and from now on everything."""
        self.acknowledges = True
        self.say(*self._acknowledgements(dict.fromkeys(self.attempts)))

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until the condition holds; it is looked at after every frame of the worker."""
        async with asyncio.timeout(DEADLINE_SECONDS), self.changed:
            await self.changed.wait_for(lambda: bool(condition()) or self.fault is not None)
        if self.fault is not None:
            raise self.fault

    # --- one connection ---

    async def _serve(self, transport: MemoryTransport, session: MasterSession) -> None:
        try:
            await self._converse(transport, session)
        except (AssertionError, ProtocolError) as fault:
            self.fault = fault
            async with self.changed:
                self.changed.notify_all()

    async def _converse(self, transport: MemoryTransport, session: MasterSession) -> None:
        while (frame := await transport.to_master.get()) is not None:
            messages = session.receive(frame, SystemClock().monotonic())
            if not self.answers_heartbeats and any(isinstance(each, Heartbeat) for each in messages):
                session.take_frames()
            touched: dict[AttemptKey, None] = {}
            for message in messages:
                key = self._take(message)
                if key is not None:
                    touched[key] = None
            if transport is self._transport:
                self.say(*self._acknowledgements(touched))
            async with self.changed:
                self.changed.notify_all()

    def _take(self, message: WorkerMessage | Chunk) -> AttemptKey | None:
        if isinstance(message, Hello):
            self.hellos.append(message)
            self.say(*self._welcome(message))
            return None
        if isinstance(message, Heartbeat):
            return None
        key = (message.run, message.attempt)
        stored = self.attempts[key]
        match message:
            case Accept():
                stored.is_accepted = True
                if self.says_go:
                    self.say(Go(run=message.run, attempt=message.attempt))
            case Refuse():
                stored.refusal = message.reason
            case Chunk():
                assert message.offset <= len(stored.log), "a piece of log is missing"
                stored.log[message.offset : message.offset + len(message.content)] = message.content
            case Event():
                assert message.sequence <= len(stored.events) + 1, "an event is missing"
                if message.sequence == len(stored.events) + 1:
                    if isinstance(message.happening, Final):
                        assert len(stored.log) == message.happening.log_length, "final came before the log"
                    stored.events.append(message)
        return key

    def _acknowledgements(self, keys: dict[AttemptKey, None]) -> list[MasterMessage]:
        messages: list[MasterMessage] = []
        for run, attempt in keys if self.acknowledges else ():
            stored = self.attempts[run, attempt]
            messages.append(
                Acknowledge(run=run, attempt=attempt, sequence=len(stored.events), log_length=len(stored.log))
            )
            if stored.final and self.forgets_at_once and not stored.is_forgotten:
                stored.is_forgotten = True
                messages.append(Forget(run=run, attempt=attempt))
        return messages

    def _welcome(self, hello: Hello) -> Sequence[MasterMessage]:
        answers: list[MasterMessage] = [
            Welcome(
                protocol=1,
                epoch=Epoch(len(self.hellos)),
                heartbeat_seconds=HEARTBEAT_SECONDS,
                silence_seconds_max=SILENCE_SECONDS_MAX,
                run_window_bytes=RUN_WINDOW_BYTES,
                worker_window_bytes=WORKER_WINDOW_BYTES,
                accepts_runs=True,
            )
        ]
        for held in hello.held:
            key = (RunId(held.run), AttemptNumber(held.attempt))
            stored = self.attempts.get(key)
            if stored is None or stored.is_forgotten:
                answers.append(Forget(run=held.run, attempt=held.attempt))
                continue
            answers.append(
                Resume(run=held.run, attempt=held.attempt, sequence=len(stored.events), log_length=len(stored.log))
            )
            if key in self.stops:
                answers.append(self.stops[key])
            if held.state is AttemptState.ACCEPTED:
                answers.append(Go(run=held.run, attempt=held.attempt))
        return answers
