"""Logs by lines for pages: windows, places of steps, searches. The work is done in threads, in slices that yield."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from orchestra.errors import Overloaded
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import (
    CHUNK_LINES,
    LINE_BLOCK_BYTES,
    LINE_INDEX_BLOCKS_MAX,
    LINE_SLICE_BLOCKS,
    SEARCH_BYTES_MAX,
    SEARCH_HITS_MAX,
    SEARCH_RETRY_SECONDS,
    SEARCHES_MAX,
    WINDOW_LINES_MAX,
)
from orchestra.logs.indexed import IndexedLog, LogWindow
from orchestra.logs.lines import LineIndex, LineSearch, LogHit, LogLine
from orchestra.logs.store import AttemptKey, LogReader

T = TypeVar("T")
_BEFORE_HIT_BYTES = 120
_BEHIND_HIT_BYTES = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class CommittedLog:
    """Which log, and how much of it may be read."""

    run: RunId
    attempt: AttemptNumber
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """A line in which a text was found: what stands around its first occurrence."""

    number: int
    before: bytes
    behind: bytes
    """From the occurrence on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search has found."""

    hits: tuple[Excerpt, ...]
    go_on_at: int | None
    """The line at which the search stopped for this time; None if it came to the end of the log."""


@dataclass(slots=True)
class _Known:
    """The index of one log; one request at a time counts on."""

    index: LineIndex = field(default_factory=LineIndex)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LogLines:
    """Reads logs by lines. The indexes are kept in memory, those that were not used for longest go first."""

    def __init__(self, logs: LogReader) -> None:
        self._logs = logs
        self._known: OrderedDict[AttemptKey, _Known] = OrderedDict()
        # One thread at a time: with two, the event loop would have to win the interpreter from either, and waits long.
        self._turn = asyncio.Lock()
        self._searching = 0

    def is_quick(self, log: CommittedLog) -> bool:
        """Whether asking for line numbers costs next to nothing: the log is short, or its lines are counted."""
        known = self._known.get((log.run, log.attempt))
        return log.length - (known.index.end if known else 0) <= LINE_SLICE_BLOCKS * LINE_BLOCK_BYTES

    async def window(self, log: CommittedLog, line: int | None) -> LogWindow:
        """The window that holds the line (or the log's nearest); without one, the last."""
        read = await self._indexed(log)

        def take() -> LogWindow:
            total = read.total(log.length)
            wanted = min(line or total, total) or 1
            first = start_of_window(wanted) if line else start_of_last_window(total)
            lines = read.lines(first, WINDOW_LINES_MAX, log.length)
            if lines and lines[-1].number < wanted and first < wanted:
                # Long lines have ended the window before the line that was asked for.
                first = wanted if line else max(first, total - CHUNK_LINES // 10)
                lines = read.lines(first, WINDOW_LINES_MAX, log.length)
            return LogWindow(lines=lines, total=total)

        return await asyncio.to_thread(take)

    async def lines_at(self, log: CommittedLog, offsets: tuple[int, ...]) -> tuple[int, ...]:
        """The numbers of the lines at these offsets."""
        read = await self._indexed(log)
        return await asyncio.to_thread(lambda: tuple(read.line_at(min(each, log.length)) for each in offsets))

    async def start_of(self, log: CommittedLog, line: int) -> int:
        """The offset at which the line begins; the log's end if it has not come yet."""
        read = await self._indexed(log)
        start = await asyncio.to_thread(read.start_of, line, log.length)
        return log.length if start is None else start

    async def last_lines(self, log: CommittedLog, start: int, end: int, lines: int) -> tuple[LogLine, ...]:
        """The last lines between two offsets; numbered within the log if that is quick, else all have number 0."""
        end = min(end, log.length)
        if not self.is_quick(log):
            read = self._reader(log, LineIndex())
            found = await asyncio.to_thread(read.last_lines, start, end, lines)
            return tuple(_with_number(each, 0) for each in found)
        read = await self._indexed(log)
        found = await asyncio.to_thread(read.last_lines, start, end, lines)
        if not found:
            return ()
        first = await asyncio.to_thread(read.line_at, found[0].offset)
        return tuple(_with_number(line, first + place) for place, line in enumerate(found))

    async def tail(self, log: CommittedLog, lines: int) -> LogWindow:
        """The last so many lines, fewer if they are long."""
        read = await self._indexed(log)

        def take() -> LogWindow:
            total = read.total(log.length)
            return LogWindow(lines=read.lines(max(1, total - lines + 1), lines, log.length), total=total)

        return await asyncio.to_thread(take)

    async def search(self, log: CommittedLog, text: str, *, ignoring_case: bool, first_line: int = 1) -> Found:
        """The lines that hold the text, from this line on; a bounded number, from a bounded part of the log.

        Raises Overloaded if too many search at the same time.
        """
        if self._searching >= SEARCHES_MAX:
            raise Overloaded("the search in logs", SEARCH_RETRY_SECONDS)
        self._searching += 1
        try:
            return await self._search(log, text, ignoring_case=ignoring_case, first_line=first_line)
        finally:
            self._searching -= 1

    async def _search(self, log: CommittedLog, text: str, *, ignoring_case: bool, first_line: int) -> Found:
        read = await self._indexed(log)
        start = await asyncio.to_thread(read.start_of, first_line, log.length)
        if start is None:
            return Found(hits=(), go_on_at=None)
        search = LineSearch(
            text=text.encode(),
            ignoring_case=ignoring_case,
            first_line=first_line,
            offset=start,
            hits_max=SEARCH_HITS_MAX,
        )
        end = min(log.length, start + SEARCH_BYTES_MAX)
        await self._in_slices(lambda: read.search(search, end, blocks_max=LINE_SLICE_BLOCKS))
        hits = await asyncio.to_thread(lambda: tuple(_excerpt(read, log, hit) for hit in search.hits))
        if search.is_full:
            return Found(hits=hits, go_on_at=hits[-1].number + 1)
        return Found(hits=hits, go_on_at=search.line if search.offset < log.length else None)

    async def _indexed(self, log: CommittedLog) -> IndexedLog:
        """The log with all its whole blocks counted."""
        key = (log.run, log.attempt)
        known = self._known.setdefault(key, _Known())
        self._known.move_to_end(key)
        read = self._reader(log, known.index)
        if known.index.end + LINE_BLOCK_BYTES <= log.length:
            async with known.lock:
                await self._in_slices(lambda: read.grow(log.length, blocks_max=LINE_SLICE_BLOCKS))
            self._forget_some()
        return read

    async def _in_slices(self, work: Callable[[], bool]) -> None:
        """Until there is no more to do; those who search at the same time take turns."""
        is_over = False
        while not is_over:
            async with self._turn:
                is_over = not await asyncio.to_thread(work)

    def _reader(self, log: CommittedLog, index: LineIndex) -> IndexedLog:
        return IndexedLog(logs=self._logs, run=log.run, attempt=log.attempt, index=index)

    def _forget_some(self) -> None:
        held = sum(known.index.blocks + 1 for known in self._known.values())
        for key in list(self._known)[:-1]:
            if held <= LINE_INDEX_BLOCKS_MAX:
                return
            held -= self._known.pop(key).index.blocks + 1


def start_of_window(line: int) -> int:
    """The first line of the window around this one: whole chunks, one of them before it."""
    return max(0, (line - 1) // CHUNK_LINES - 1) * CHUNK_LINES + 1


def start_of_last_window(total: int) -> int:
    """The first line of the window at the end of a log of so many lines."""
    chunks = WINDOW_LINES_MAX // CHUNK_LINES
    return max(0, (max(total, 1) - 1) // CHUNK_LINES - chunks + 1) * CHUNK_LINES + 1


def _with_number(line: LogLine, number: int) -> LogLine:
    return LogLine(number=number, offset=line.offset, length=line.length, head=line.head, tail=line.tail)


def _excerpt(read: IndexedLog, log: CommittedLog, hit: LogHit) -> Excerpt:
    before, behind = read.around(hit.offset, log.length, before=_BEFORE_HIT_BYTES, after=_BEHIND_HIT_BYTES)
    return Excerpt(number=hit.number, before=before, behind=behind)
