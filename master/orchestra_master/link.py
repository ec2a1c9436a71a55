"""One connection of a worker, from the accepted socket until it is gone."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from orchestra.errors import OrchestraError, ProtocolError
from orchestra.identifiers import UserId, WorkerName
from orchestra.limits import (
    CLOSE_SECONDS_MAX,
    INBOX_TEXT_BYTES_MAX,
    WORKER_WINDOW_BYTES,
)
from orchestra.matching import properties_of
from orchestra.protocol.codec import CloseCode, close_reason
from orchestra.protocol.messages import Bye, Chunk, Hello, MasterMessage, Outdated, WorkerMessage
from orchestra.protocol.session import MasterSession
from orchestra.storage.attempts import recall_offer, withdraw_offer
from orchestra.storage.database import Signal, Topic
from orchestra.storage.workers import end_session
from orchestra_master.greeting import Greeting, greet, quarantine
from orchestra_master.parts import MasterParts, WorkerConnection
from orchestra_master.recorder import Recorder
from orchestra_master.roster import ConnectedWorker

logger = logging.getLogger(__name__)

_BROKEN = frozenset({CloseCode.MALFORMED, CloseCode.OUT_OF_TURN, CloseCode.VERSION})


class Link:
    """Four tasks around one session: read, write, watch the clock, record.

    The reader waits for nothing but the socket, so that heartbeats are seen however slow the database is. What it takes
    in is bounded: log by the windows that the worker must keep, words beyond a few MiB by waiting for the recorder.
    """

    def __init__(
        self,
        *,
        parts: MasterParts,
        connection: WorkerConnection,
        user: UserId,
        on_greeted: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts = parts
        self._connection = connection
        self._user = user
        self._on_greeted = on_greeted
        self._session = MasterSession(now=parts.clock.monotonic())
        self._connected: ConnectedWorker | None = None
        self.was_broken = False
        """The peer said what the protocol does not have."""
        self._inbox: list[WorkerMessage | Chunk] = []
        self._inbox_bytes = 0
        self._inbox_text_bytes = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._wants_to_send = asyncio.Event()
        self._ended = asyncio.Event()
        self._sent_away: asyncio.Future[ProtocolError] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serves the connection until it ends, and leaves nothing behind."""
        code, reason = 1000, ""
        try:
            async with asyncio.TaskGroup() as tasks:
                for duty in (self._read, self._write, self._watch, self._record, self._wait_to_be_sent_away):
                    tasks.create_task(duty(), name=f"link {duty.__name__.strip('_')}")
        except* ProtocolError as group:
            error = _first(group)
            code, reason = getattr(error, "code", CloseCode.MALFORMED), str(error)
            self.was_broken = code in _BROKEN
            logger.warning("link_closed worker=%s code=%d reason=%s", self._name, code, reason)
        except* (ConnectionError, asyncio.IncompleteReadError):
            logger.info("link_lost worker=%s", self._name)
        except* (OrchestraError, OSError) as group:
            code, reason = 1011, "the master cannot store anything now"
            logger.error("link_failed worker=%s error=%s", self._name, _first(group))
        except* Exception as group:
            # A fault of ours ends this link, and no other worker's.
            code, reason = 1011, "the master has failed"
            held = sorted(self._connected.held) if self._connected else []
            logger.error("link_broke worker=%s held=%s", self._name, held, exc_info=_first(group))
        finally:
            await self._leave()
            self._ended.set()
            await self._close(code, reason)

    async def say_bye(self, bye: Bye) -> None:
        """The master goes away on purpose: the worker is told when to come back."""
        self._send(bye)

    def send_away(self, error: ProtocolError) -> None:
        """Ends the connection with this word; its worker goes on, and may come back."""
        if not self._sent_away.done():
            self._sent_away.set_result(error)

    @property
    def _name(self) -> WorkerName | str:
        return self._connected.name if self._connected else "?"

    # --- the four tasks ---

    async def _read(self) -> None:
        while True:
            frame = await self._connection.receive()
            messages = self._session.receive(frame, self._parts.clock.monotonic())
            if self._connected:
                self._connected.heard_at = self._parts.clock.now()
            self._take_in(messages)
            if self._session.wants_to_send:
                self._wants_to_send.set()
            if isinstance(frame, str):
                self._inbox_text_bytes += len(frame)
                await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        while self._inbox_text_bytes > INBOX_TEXT_BYTES_MAX:
            self._taken.clear()
            await self._taken.wait()

    def _take_in(self, messages: Sequence[WorkerMessage | Chunk]) -> None:
        self._inbox.extend(messages)
        self._inbox_bytes += sum(len(message.content) for message in messages if isinstance(message, Chunk))
        if self._inbox_bytes > WORKER_WINDOW_BYTES:
            raise ProtocolError(CloseCode.OUT_OF_TURN, "the worker sends more log than its window allows")
        self._arrived.set()

    async def _write(self) -> None:
        while True:
            await self._wants_to_send.wait()
            self._wants_to_send.clear()
            for frame in self._session.take_frames():
                await self._connection.send(frame)

    def _send(self, message: MasterMessage) -> None:
        self._session.send(message)
        self._wants_to_send.set()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._session.next_tick() - self._parts.clock.monotonic()))
            self._session.tick(self._parts.clock.monotonic())

    async def _wait_to_be_sent_away(self) -> None:
        raise await self._sent_away

    async def _record(self) -> None:
        first, *rest = await self._gathered()
        assert isinstance(first, Hello), "the session lets nothing pass before hello"
        self._connected = await self._greet(first)
        recorder = Recorder(parts=self._parts, connected=self._connected)
        await recorder.record(rest)
        while True:
            await recorder.record(await self._gathered())

    async def _gathered(self) -> Sequence[WorkerMessage | Chunk]:
        await self._arrived.wait()
        self._arrived.clear()
        gathered, self._inbox, self._inbox_bytes, self._inbox_text_bytes = self._inbox, [], 0, 0
        self._taken.set()
        return gathered

    # --- coming and going ---

    async def _greet(self, hello: Hello) -> ConnectedWorker:
        greeting = await greet(self._parts, hello, user=self._user)
        if greeting.session.newer_connection is not None:
            await self._say_outdated(greeting.session.newer_connection)
        roster = self._parts.roster
        older = roster.find(greeting.session.worker)
        # The database tells of the older session: here it may have left already, or it is on another master.
        if greeting.session.took_over and roster.is_contested(greeting.session.worker, self._parts.clock.monotonic()):
            await quarantine(self._parts, hello)
            if older:
                older.replace()
            sentence = f"two live machines use the name {hello.worker!r}: both are in quarantine"
            raise ProtocolError(CloseCode.REFUSED, sentence)
        if older:
            older.replace()
        connected = self._connected_worker(hello, greeting)
        self._send(greeting.welcome(hello))
        for answer in greeting.reconciliation.answers:
            self._send(answer)
        roster.enter(connected)
        self._on_greeted()
        logger.info("worker_connected worker=%s epoch=%d held=%d", hello.worker, connected.epoch, len(hello.held))
        return connected

    async def _say_outdated(self, connection: int) -> None:
        """Delivered late, this hello tells of a worker as it was: to believe it would lose what was started since."""
        self._session.send(Outdated(connection=connection))
        for frame in self._session.take_frames():
            await self._connection.send(frame)
        raise ProtocolError(CloseCode.REPLACED, "the worker has said hello on a newer connection")

    def _connected_worker(self, hello: Hello, greeting: Greeting) -> ConnectedWorker:
        return ConnectedWorker(
            worker=greeting.session.worker,
            name=WorkerName(hello.worker),
            epoch=greeting.session.epoch,
            instance=hello.instance,
            properties=properties_of(hello.worker, hello.properties),
            slots=hello.slots,
            accepts_runs=greeting.welcome(hello).accepts_runs,
            send=self._send,
            replace=self._replace,
            heard_at=self._parts.clock.now(),
            free_disk_bytes=hello.free_disk_bytes,
            prefetch=hello.prefetch,
            held={(kept.run, kept.attempt): kept.slots for kept in greeting.reconciliation.kept},
            prefetched={(each.run, each.attempt): None for each in greeting.reconciliation.prefetched},
        )

    def _replace(self) -> None:
        self.send_away(ProtocolError(CloseCode.REPLACED, "the worker has opened a newer connection"))

    async def _leave(self) -> None:
        """What was offered and not accepted goes back at once: nothing of it can have run."""
        connected = self._connected
        self._sent_away.cancel()
        if connected is None:
            return
        self._parts.roster.leave(connected)
        await self._let_go_of_logs(connected)
        now, actor, offers = self._parts.clock.now(), self._parts.actor, list(connected.offers)
        # Told nothing yet but the offer, so that they cannot have run either.
        waiting = connected.recalled.union(connected.recallable())

        def leave(connection: Connection) -> None:
            # The worker's row before the runs', as everywhere, so that no two masters wait for each other.
            is_newest = end_session(connection, connected.worker, connected.epoch, heard_at=connected.heard_at)
            for run, attempt in sorted(offers):
                words = f"worker {connected.name} went away before it accepted"
                withdraw_offer(connection, run, attempt, actor=actor, reason=words, now=now)
            # In a newer session they may have been told to go.
            for run, attempt in sorted(waiting if is_newest else []):
                words = f"worker {connected.name} went away before it had a free slot"
                recall_offer(connection, run, attempt, actor=actor, reason=words, now=now)

        signals = [Signal(Topic.WORKERS, connected.name)] + [Signal(Topic.PENDING)] * bool(offers or waiting)
        try:
            await self._parts.database.write(leave, signals=signals)
        except OrchestraError as error:
            # The rescuer finds both: offers that are too old, and a worker that is not heard of.
            logger.warning("link_not_tidied worker=%s error=%s", connected.name, error)

    async def _let_go_of_logs(self, connected: ConnectedWorker) -> None:
        """Whoever hears of these runs next, here or at another master, begins with what is committed."""
        left = self._parts.log_writers.leave(list(connected.held), connected.epoch)

        def let_go() -> None:
            for run, attempt in left:
                self._parts.logs.release(run, attempt)

        if left:
            await self._parts.run_blocking(let_go)

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._connection.close(code, close_reason(reason))
        except (TimeoutError, ConnectionError):
            logger.debug("link_not_closed worker=%s", self._name)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
