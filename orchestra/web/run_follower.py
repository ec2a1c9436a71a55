"""Follows one run for one listener: what is committed of its log, in order, and every look at the run itself."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy import Connection

from orchestra.errors import NotAllowed, NotFound, NotSignedIn, StorageError
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import POLL_SECONDS, STREAM_BYTES_MAX
from orchestra.logs.store import LogReader
from orchestra.policy import Principal
from orchestra.queries.run_logs import LogExtent, RunLogs, logs_of_run
from orchestra.storage.database import Database
from orchestra.web.errors import CrossSite
from orchestra.web.log_text import LogText, TextPiece
from orchestra.web.run_signals import RunSignals

V = TypeVar("V")
_log = logging.getLogger("orchestra.web")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPosition:
    """A place in a run's logs; attempt 0 is the newest at the time of asking."""

    attempt: AttemptNumber
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Grown:
    """Text that is new in the log of an attempt."""

    attempt: AttemptNumber
    piece: TextPiece


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked(Generic[V]):
    """What the run looked like; all of the log that was committed then has come before."""

    view: V
    is_over: bool


class Quiet:
    """Nothing has happened for a while."""


class Bye:
    """The listener may come again: the process ends, the database is away, or the right to listen is gone."""


class RunFollower(Generic[V]):
    """Brings the news of one run until it is over."""

    def __init__(
        self,
        *,
        database: Database,
        logs: LogReader,
        signals: RunSignals,
        readmit: Callable[[], Awaitable[Principal]],
        look: Callable[[Connection, Principal], V],
        run: RunId,
        position: LogPosition,
        seconds_between: float = 0.0,
    ) -> None:
        self._database = database
        self._logs = logs
        self._signals = signals
        self._readmit = readmit
        self._look = look
        self._run = run
        self._attempt = position.attempt
        self._text = LogText(position.offset)
        self._seconds_between = seconds_between

    async def news(self) -> AsyncIterator[Grown | Looked[V] | Quiet | Bye]:
        """Everything in order, to the last `Looked` of a run that is over, or to `Bye`."""
        try:
            async for each in self._follow():
                yield each
        except (NotSignedIn, NotAllowed, NotFound, CrossSite, StorageError) as error:
            # The status code is long sent; whoever comes back is told by the next one.
            _log.debug("stream_ended run=%s: %s", self._run, error)
            yield Bye()

    async def _follow(self) -> AsyncIterator[Grown | Looked[V] | Quiet | Bye]:
        with self._signals.watch(self._run) as changed:
            while not self._signals.is_closing:
                changed.clear()
                # A stream may last for days: a disabled user or a revoked token ends it.
                who = await self._readmit()
                known, view = await self._database.read(partial(self._both, who=who))
                async for grown in self._grown(known):
                    yield grown
                yield Looked(view=view, is_over=known.is_over)
                if known.is_over:
                    return
                if self._seconds_between:
                    await asyncio.sleep(self._seconds_between)
                # Signals wake it at once; the poll is the safety net, and shows that the connection lives.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), POLL_SECONDS)
                    continue
                yield Quiet()
        yield Bye()

    def _both(self, connection: Connection, *, who: Principal) -> tuple[RunLogs, V]:
        return logs_of_run(connection, who, self._run), self._look(connection, who)

    async def _grown(self, known: RunLogs) -> AsyncIterator[Grown]:
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

    async def _read(self, extent: LogExtent) -> AsyncIterator[Grown]:
        while self._text.read_to < extent.length:
            wanted = min(STREAM_BYTES_MAX, extent.length - self._text.read_to)
            content = await asyncio.to_thread(self._logs.read, self._run, extent.attempt, self._text.read_to, wanted)
            if not content:
                # The file is not where the database says: the next look may find it.
                return
            piece = self._text.feed(content)
            if piece is not None:
                yield Grown(attempt=extent.attempt, piece=piece)
        if extent.is_complete:
            piece = self._text.feed(b"", is_end=True)
            if piece is not None:
                yield Grown(attempt=extent.attempt, piece=piece)
