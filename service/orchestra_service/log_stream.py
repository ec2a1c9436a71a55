"""A run's log as it grows, as server-sent events: only what is committed, in order, to the run's end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec
from sqlalchemy import Connection

from orchestra.errors import NotAllowed, NotFound, NotSignedIn, StorageError
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import POLL_SECONDS, STREAM_BYTES_MAX
from orchestra.logs.store import LogReader
from orchestra.policy import Principal
from orchestra.queries.run_logs import LogExtent, RunLogs, logs_of_run
from orchestra.queries.run_views import RunView
from orchestra.queries.runs import show_run
from orchestra.storage.database import Database
from orchestra.web.errors import CrossSite
from orchestra.web.log_text import LogText, TextPiece
from orchestra.web.run_signals import RunSignals

_log = logging.getLogger("orchestra.service")
_encoder = msgspec.json.Encoder()
RETRY = b"retry: 2000\n\n"
PING = b": ping\n\n"
BYE = b"event: bye\ndata: {}\n\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPosition:
    """A place in a run's logs; attempt 0 is the newest at the time of asking."""

    attempt: AttemptNumber
    offset: int


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a `log` event."""

    attempt: int
    offset: int
    """Of the text's first byte in the attempt's log."""
    text: str


class LogStream:
    """Follows one run for one listener."""

    def __init__(
        self,
        *,
        database: Database,
        logs: LogReader,
        signals: RunSignals,
        readmit: Callable[[], Awaitable[Principal]],
        run: RunId,
        position: LogPosition,
    ) -> None:
        self._database = database
        self._logs = logs
        self._signals = signals
        self._readmit = readmit
        self._run = run
        self._attempt = position.attempt
        self._text = LogText(position.offset)

    async def events(self) -> AsyncIterator[bytes]:
        """The stream, until the run is over, the service closes, or the listener goes away or may listen no more."""
        yield RETRY
        try:
            async for event in self._follow():
                yield event
        except (NotSignedIn, NotAllowed, NotFound, CrossSite, StorageError) as error:
            # The status code is long sent; whoever comes back is told by the next one.
            _log.debug("stream_ended run=%s: %s", self._run, error)
            yield BYE

    async def _follow(self) -> AsyncIterator[bytes]:
        with self._signals.watch(self._run) as changed:
            while not self._signals.is_closing:
                changed.clear()
                # A stream may last for days: a disabled user or a revoked token ends it.
                who = await self._readmit()
                known, view = await self._database.read(partial(self._look, who=who))
                async for piece in self._grown(known):
                    yield self._log_event(piece)
                if known.is_over:
                    yield b"event: end\ndata: " + _encoder.encode(view) + b"\n\n"
                    return
                # Signals wake it at once; the poll is the safety net, and shows that the connection lives.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), POLL_SECONDS)
                    continue
                yield PING
        yield BYE

    def _look(self, connection: Connection, *, who: Principal) -> tuple[RunLogs, RunView]:
        return logs_of_run(connection, who, self._run), show_run(connection, who, self._run)

    async def _grown(self, known: RunLogs) -> AsyncIterator[TextPiece]:
        """What is new, attempt by attempt; an attempt's half character is given up when it is over."""
        if self._attempt == 0:
            self._attempt = known.newest.attempt
        for extent in known.extents:
            if extent.attempt < self._attempt:
                continue
            if extent.attempt > self._attempt:
                self._attempt, self._text = extent.attempt, LogText(0)
            async for piece in self._read(extent):
                yield piece

    async def _read(self, extent: LogExtent) -> AsyncIterator[TextPiece]:
        while self._text.read_to < extent.length:
            wanted = min(STREAM_BYTES_MAX, extent.length - self._text.read_to)
            content = await asyncio.to_thread(self._logs.read, self._run, extent.attempt, self._text.read_to, wanted)
            if not content:
                # The file is not where the database says: the next look may find it.
                return
            piece = self._text.feed(content)
            if piece is not None:
                yield piece
        if extent.is_complete:
            piece = self._text.feed(b"", is_end=True)
            if piece is not None:
                yield piece

    def _log_event(self, piece: TextPiece) -> bytes:
        event = LogEvent(attempt=self._attempt, offset=piece.start, text=piece.text)
        place = f"id: {self._attempt}-{piece.end}\nevent: log\ndata: ".encode()
        return place + _encoder.encode(event) + b"\n\n"
