"""The connection to the master: opened again and again without end, whatever happens to it."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from orchestra.backoff import Fraction, full_jitter_seconds, spread_seconds
from orchestra.clock import Clock
from orchestra.errors import OrchestraError, ProtocolError
from orchestra.limits import (
    BYE_SECONDS_MAX,
    HELLO_SECONDS_MAX,
    PROTOCOL_VERSIONS,
    RECONNECT_SECONDS_MAX,
    RECONNECT_SECONDS_MIN,
    REFUSED_RECONNECT_SECONDS,
)
from orchestra.protocol.codec import encode_chunk
from orchestra.protocol.messages import (
    Acknowledge,
    Bye,
    Drain,
    Hello,
    MasterMessage,
    Outdated,
    Resume,
    Undrain,
    Welcome,
)
from orchestra.protocol.session import WorkerSession
from orchestra.protocol.window import AttemptKey, LogWindow
from orchestra.specification import PropertyValue
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.outbox import Outbox
from orchestra_worker.transport import CannotConnect, Connector, TokenRefused, Transport, TransportClosed

log = logging.getLogger(__name__)

_GOING_AWAY = 1001


class _SentAway(OrchestraError):
    """The master said bye."""

    def __init__(self, bye: Bye) -> None:
        super().__init__(bye)
        self.bye = bye

    def __str__(self) -> str:
        return f"the master goes away ({self.bye.reason})"


class Executor(Protocol):
    """What the link needs of the engine; none of it blocks."""

    takes_offers: bool

    def receive(self, messages: Sequence[MasterMessage]) -> None:
        """Gives words about attempts their effect."""

    def note_contact(self, sent_at: float) -> None:
        """The master has answered what was sent then."""

    def begin_session(self) -> None:
        """The master has said welcome."""

    def note_stored(self, key: AttemptKey) -> None:
        """The master has stored more of the attempt."""

    def end_session(self) -> None:
        """The connection is gone."""

    def look_at_check_ins(self) -> None:
        """A good moment to look."""


class Link:
    """Speaks to the master in one session after the other. `run` never ends by itself."""

    def __init__(
        self,
        *,
        connector: Connector,
        engine: Executor,
        outbox: Outbox,
        folder: WorkerFolder,
        clock: Clock,
        fraction: Fraction,
        worker: str,
        instance: str,
        boot_id: str,
        version: str,
        properties: Mapping[str, PropertyValue],
        slots: int,
        on_welcome: Callable[[Welcome], None] = lambda welcome: None,
    ) -> None:
        self._connector = connector
        self._engine = engine
        self._outbox = outbox
        self._folder = folder
        self._clock = clock
        self._fraction = fraction
        self._worker = worker
        self._instance = instance
        self._boot_id = boot_id
        self._version = version
        self._properties = dict(properties)
        self._slots = slots
        self._on_welcome = on_welcome
        self._tries = 0
        self._connections = 0
        self._refusal_was_said = False

    async def run(self) -> None:
        """Connects for ever."""
        while True:
            wait = await self.connect_once()
            await asyncio.sleep(wait)

    async def connect_once(self) -> float:
        """One connection from beginning to end; the wait before the next one, in seconds."""
        self._tries += 1
        try:
            transport = await self._connector.connect()
            self._refusal_was_said = False
            await self._converse(transport)
        except TokenRefused as error:
            if not self._refusal_was_said:
                self._refusal_was_said = True
                log.error("token_refused: %s", error)
            return REFUSED_RECONNECT_SECONDS / 2 + spread_seconds(REFUSED_RECONNECT_SECONDS, fraction=self._fraction)
        except _SentAway as away:
            log.info("link_ended: %s", away)
            wait = min(max(0.0, away.bye.retry_after_seconds), BYE_SECONDS_MAX)
            return spread_seconds(wait, fraction=self._fraction)
        except CannotConnect as error:
            log.warning("link_lost: %s", error)
            if error.retry_after_seconds is not None:
                # It is there, and lets a thousand in as fast as it can: waiting for longer each time helps nobody.
                wait = error.retry_after_seconds
                return wait / 2 + spread_seconds(wait, fraction=self._fraction)
        except OrchestraError as error:
            log.warning("link_lost: %s", error)
        except Exception:
            log.exception("link_broke")
        return full_jitter_seconds(
            self._tries, minimum=RECONNECT_SECONDS_MIN, maximum=RECONNECT_SECONDS_MAX, fraction=self._fraction
        )

    async def _converse(self, transport: Transport) -> None:
        now = self._clock.monotonic()
        session = WorkerSession(hello=self._hello(), now=now)
        conversation = _Conversation(self, transport, session, opened_at=now)
        code, reason = _GOING_AWAY, "the worker goes away"
        try:
            async with asyncio.TaskGroup() as tasks:
                for duty in (conversation.read, conversation.write, conversation.beat):
                    tasks.create_task(duty(), name=f"link {duty.__name__}")
        except* OrchestraError as group:
            error = _first(group)
            if isinstance(error, ProtocolError):
                code, reason = error.code, error.sentence
            raise error from None
        finally:
            self._outbox.end_session()
            self._engine.end_session()
            await transport.close(code, reason)

    def _hello(self) -> Hello:
        # By the wall clock, so that it also grows from one life of the agent to the next. Should that clock be set
        # back meanwhile, the master says so.
        self._connections = max(self._connections + 1, self._clock.now())
        return Hello(
            protocol_minimum=PROTOCOL_VERSIONS.start,
            protocol_maximum=PROTOCOL_VERSIONS.stop - 1,
            worker=self._worker,
            instance=self._instance,
            boot_id=self._boot_id,
            version=self._version,
            properties=self._properties,
            slots=self._slots,
            free_disk_bytes=self._folder.free_bytes(),
            held=self._outbox.held(),
            connection=self._connections,
            prefetch=self._slots,
        )

    # --- called by the conversation ---

    def take(self, messages: Sequence[MasterMessage]) -> None:
        """Gives every message of a frame its effect, without waiting for anything."""
        words: list[MasterMessage] = []
        for message in messages:
            match message:
                case Welcome():
                    self._welcomed(message)
                case Outdated():
                    self._connections = max(self._connections, message.connection)
                case Resume():
                    key = (message.run, message.attempt)
                    self._outbox.resume(key, sequence=message.sequence, log_length=message.log_length)
                case Acknowledge():
                    key = (message.run, message.attempt)
                    self._outbox.acknowledge(key, sequence=message.sequence, log_length=message.log_length)
                    self._engine.note_stored(key)
                case Drain():
                    self._engine.takes_offers = False
                case Undrain():
                    self._engine.takes_offers = True
                case Bye():
                    raise _SentAway(message)
                case _:
                    words.append(message)
        if words:
            self._engine.receive(words)

    def _welcomed(self, welcome: Welcome) -> None:
        self._tries = 0
        self._engine.takes_offers = welcome.accepts_runs
        self._outbox.start_session(
            LogWindow(run_bytes=welcome.run_window_bytes, worker_bytes=welcome.worker_window_bytes)
        )
        self._engine.begin_session()
        log.info("link_welcome worker=%s epoch=%d", self._worker, welcome.epoch)
        self._on_welcome(welcome)

    def note_contact(self, sent_at: float) -> None:
        """The master has answered what was sent then."""
        self._engine.note_contact(sent_at)

    def beat(self, session: WorkerSession) -> None:
        """Beats if it is time; raises ProtocolError when the master is silent."""
        session.tick(self._clock.monotonic(), load=_load(), free_disk_bytes=self._folder.free_bytes())
        self._engine.look_at_check_ins()

    @property
    def clock(self) -> Clock:
        """The link's clock."""
        return self._clock

    @property
    def outbox(self) -> Outbox:
        """What is to be sent."""
        return self._outbox


class _Conversation:
    """Three tasks around one session: read, write, beat. The reader never waits for anything but the wire."""

    def __init__(self, link: Link, transport: Transport, session: WorkerSession, *, opened_at: float) -> None:
        self._link = link
        self._transport = transport
        self._session = session
        self._opened_at = opened_at
        self._welcomed = asyncio.Event()

    async def read(self) -> None:
        while True:
            frame = await self._transport.receive()
            messages = self._session.receive(frame, self._link.clock.monotonic())
            if self._session.welcome is not None:
                # `hello` is the first thing that the master answers; later the heartbeats are.
                self._link.note_contact(self._session.answered_at or self._opened_at)
                self._welcomed.set()
            self._link.take(messages)
            if self._session.wants_to_send:
                self._link.outbox.changed.set()

    async def write(self) -> None:
        outbox, session = self._link.outbox, self._session
        while True:
            for frame in session.take_frames():
                await self._transport.send(frame)
            for message in outbox.take_messages():
                session.send(message)
            if session.wants_to_send:
                continue  # Control frames go before every log chunk.
            chunk = outbox.take_chunk()
            if chunk is not None:
                await self._transport.send(encode_chunk(chunk))
                continue
            if not outbox.has_messages() and not session.wants_to_send:
                outbox.changed.clear()
                await outbox.changed.wait()

    async def beat(self) -> None:
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                await self._welcomed.wait()
        except TimeoutError:
            raise TransportClosed(None, "the master did not say welcome") from None
        while True:
            await asyncio.sleep(max(0.0, self._session.next_tick() - self._link.clock.monotonic()))
            self._link.beat(self._session)
            if self._session.wants_to_send:
                self._link.outbox.changed.set()


def _first(group: BaseExceptionGroup[OrchestraError]) -> OrchestraError:
    """The error that speaks loudest: a farewell, then a protocol error, then whatever came first."""
    errors: list[OrchestraError] = []
    for error in group.exceptions:
        errors.extend([_first(error)] if isinstance(error, BaseExceptionGroup) else [error])
    return min(errors, key=lambda error: (not isinstance(error, _SentAway), not isinstance(error, ProtocolError)))


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0
