"""One attempt's log read by lines, through any log store. Every method may block on a disk: call it in a thread."""

from dataclasses import dataclass

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import (
    LINE_BLOCK_BYTES,
    LINE_BYTES_MAX,
    WINDOW_BYTES_MAX,
    WINDOW_READ_BYTES_MAX,
)
from orchestra.logs.lines import NEWLINE, LineIndex, LineSearch, LogLine, end_of_newline, line_of, long_line
from orchestra.logs.store import LogReader


@dataclass(frozen=True, kw_only=True, slots=True)
class LogWindow:
    """Lines that follow one another."""

    lines: tuple[LogLine, ...]
    total: int
    """Lines of the whole log, as far as it is committed; a last one without its newline counts."""

    @property
    def first(self) -> int:
        """The number of its first line; 1 if it is empty."""
        return self.lines[0].number if self.lines else 1

    @property
    def last(self) -> int:
        """The number of its last line; 0 if it is empty."""
        return self.lines[-1].number if self.lines else 0


class IndexedLog:
    """A log with its index. `length` is what is committed: nothing behind it is ever read."""

    def __init__(self, *, logs: LogReader, run: RunId, attempt: AttemptNumber, index: LineIndex) -> None:
        self._logs = logs
        self._run = run
        self._attempt = attempt
        self._index = index

    def grow(self, length: int, *, blocks_max: int) -> bool:
        """Counts the lines of so many further blocks; False when there is nothing more to count."""
        for _ in range(blocks_max):
            if self._index.end + LINE_BLOCK_BYTES > length:
                return False
            block = self._read(self._index.end, LINE_BLOCK_BYTES)
            if len(block) < LINE_BLOCK_BYTES:
                # The file is shorter than the database says: what is there can still be read.
                return False
            self._index.add(block)
        return True

    def total(self, length: int) -> int:
        """How many lines there are; the index must have grown."""
        rest = self._rest(length)
        if rest:
            return self._newlines + rest.count(NEWLINE) + (not rest.endswith(NEWLINE))
        if not self._index.end:
            return 0
        return self._newlines + (self._read(self._index.end - 1, 1) != NEWLINE)

    def start_of(self, line: int, length: int) -> int | None:
        """Where the line begins; None if there is none of this number."""
        if line <= 1:
            return 0 if length else None
        block = self._index.block_of_newline(line - 1)
        begin = block * LINE_BLOCK_BYTES
        content = self._read(begin, min(LINE_BLOCK_BYTES, length - begin))
        end = end_of_newline(content, line - 1 - self._index.newlines_before(block))
        return None if end is None or begin + end >= length else begin + end

    def line_at(self, offset: int) -> int:
        """The number of the line in which this byte lies."""
        block = min(offset // LINE_BLOCK_BYTES, self._index.blocks)
        begin = block * LINE_BLOCK_BYTES
        return self._index.newlines_before(block) + self._read(begin, offset - begin).count(NEWLINE) + 1

    def lines(self, first: int, lines_max: int, length: int) -> tuple[LogLine, ...]:
        """At most so many lines; fewer at the end, or if they are long."""
        found: list[LogLine] = []
        place = self.start_of(first, length)
        shown = read = 0
        while place is not None and place < length and len(found) < lines_max:
            content = self._read(place, min(LINE_BLOCK_BYTES, length - place))
            if not content:
                break
            read += len(content)
            pieces = content.split(NEWLINE, lines_max - len(found))
            rest = pieces.pop()
            for piece in pieces:
                found.append(line_of(first + len(found), place, piece))
                place += len(piece) + 1
                shown += min(len(piece), LINE_BYTES_MAX)
            if rest and len(found) < lines_max and (not pieces or place + len(rest) >= length):
                line = self._line_at_end_of_piece(first + len(found), place, rest, length)
                found.append(line)
                place += line.length + 1
                shown += min(line.length, LINE_BYTES_MAX)
            if shown >= WINDOW_BYTES_MAX or read >= WINDOW_READ_BYTES_MAX:
                break
        return tuple(found)

    def last_lines(self, start: int, end: int, lines_max: int) -> tuple[LogLine, ...]:
        """The last lines between two offsets, numbered from 1 on; needs no index, and reads one block at most."""
        begin = max(start, end - LINE_BLOCK_BYTES)
        content = self._read(begin, end - begin)
        lines = content.removesuffix(NEWLINE).split(NEWLINE) if content else []
        kept = lines[-lines_max:]
        offset = begin + len(content.removesuffix(NEWLINE)) - sum(len(line) + 1 for line in kept) + 1
        found = []
        for number, line in enumerate(kept, 1):
            found.append(line_of(number, offset, line))
            offset += len(line) + 1
        return tuple(found)

    def search(self, search: LineSearch, length: int, *, blocks_max: int) -> bool:
        """Feeds so many further blocks; False when the search is over."""
        for _ in range(blocks_max):
            block = self._read(search.offset, min(LINE_BLOCK_BYTES, length - search.offset))
            if not block:
                return False
            search.feed(block)
            if search.is_full:
                return False
        return True

    def around(self, offset: int, length: int, *, before: int, after: int) -> tuple[bytes, bytes]:
        """What stands in the line before this byte, and from it on."""
        begin = max(0, offset - before)
        content = self._read(begin, min(offset + after, length) - begin)
        left, right = content[: offset - begin], content[offset - begin :]
        return left.rpartition(NEWLINE)[2], right.partition(NEWLINE)[0]

    @property
    def _newlines(self) -> int:
        return self._index.newlines_before(self._index.blocks)

    def _line_at_end_of_piece(self, number: int, place: int, rest: bytes, length: int) -> LogLine:
        if place + len(rest) >= length:
            return line_of(number, place, rest)
        after = self.start_of(number + 1, length)
        end = length if after is None else after - 1
        if after is None and self._read(length - 1, 1) == NEWLINE:
            end -= 1
        ending = self._read(end - LINE_BYTES_MAX, LINE_BYTES_MAX)
        return long_line(number, place, end - place, rest[:LINE_BYTES_MAX], ending)

    def _rest(self, length: int) -> bytes:
        return self._read(self._index.end, min(length - self._index.end, LINE_BLOCK_BYTES))

    def _read(self, offset: int, length: int) -> bytes:
        return self._logs.read(self._run, self._attempt, offset, length) if length > 0 else b""
