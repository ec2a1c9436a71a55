"""Lines of a log that may be gigabytes long: where each begins, and where a text occurs. No I/O.

A log never changes where it is committed, so what was counted once holds for ever, and a log that grows is counted on.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass

from orchestra.limits import LINE_BLOCK_BYTES, LINE_BYTES_MAX

NEWLINE = b"\n"


class LineIndex:
    """How many newlines there are up to the end of each whole block of `LINE_BLOCK_BYTES`."""

    def __init__(self) -> None:
        self._newlines = array("Q")

    @property
    def blocks(self) -> int:
        """Whole blocks that were counted."""
        return len(self._newlines)

    @property
    def end(self) -> int:
        """The offset behind the last of them."""
        return len(self._newlines) * LINE_BLOCK_BYTES

    def add(self, block: bytes) -> None:
        """Counts the next whole block."""
        assert len(block) == LINE_BLOCK_BYTES, "only whole blocks never change"
        self._newlines.append(self.newlines_before(self.blocks) + block.count(NEWLINE))

    def newlines_before(self, block: int) -> int:
        """Newlines in the blocks before this one."""
        return self._newlines[block - 1] if block else 0

    def block_of_newline(self, number: int) -> int:
        """The block that holds the newline of this number, counted from 1; `blocks` if none of the counted does."""
        return bisect_left(self._newlines, number)


def end_of_newline(content: bytes, number: int) -> int | None:
    """Where what follows the newline of this number (from 1) begins, or None if there are not so many.

    Halving and counting: one `find` for each newline would hold the interpreter for long.
    """
    if number <= 0:
        return 0
    low, high, left = 0, len(content), number
    if content.count(NEWLINE) < number:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        count = content.count(NEWLINE, low, middle)
        if count >= left:
            high = middle
        else:
            left -= count
            low = middle
    return high


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line without its newline; of a very long one the beginning and the end."""

    number: int
    offset: int
    """Of its first byte in the log."""
    length: int
    head: bytes
    tail: bytes = b""
    """Of a line that is longer than `LINE_BYTES_MAX`: its last bytes."""

    @property
    def left_out(self) -> int:
        """Bytes between head and tail."""
        return self.length - len(self.head) - len(self.tail)


def line_of(number: int, offset: int, content: bytes) -> LogLine:
    """A line that is whole in memory."""
    if len(content) <= LINE_BYTES_MAX:
        return LogLine(number=number, offset=offset, length=len(content), head=content)
    return long_line(number, offset, len(content), content[:LINE_BYTES_MAX], content[-LINE_BYTES_MAX:])


def long_line(number: int, offset: int, length: int, beginning: bytes, ending: bytes) -> LogLine:
    """A line of which only both ends were read; what they share is not shown twice."""
    rest = length - len(beginning)
    return LogLine(number=number, offset=offset, length=length, head=beginning, tail=ending[-rest:] if rest else b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class LogHit:
    """A line in which the text occurs, and the offset of its first occurrence."""

    number: int
    offset: int


class LineSearch:
    """Finds the lines that hold a text, in blocks that are fed one after the other from the start of a line."""

    def __init__(self, *, text: bytes, ignoring_case: bool, first_line: int, offset: int, hits_max: int) -> None:
        assert text
        assert NEWLINE not in text
        self._text = text.lower() if ignoring_case else text
        self._ignoring_case = ignoring_case
        self._hits_max = hits_max
        self._kept = b""
        """The end of the last block, in case the text lies across the seam."""
        self._is_behind_hit = False
        """The line goes on that was found already."""
        self.line = first_line
        """The line in which the next byte lies."""
        self.offset = offset
        """Of the next byte that is wanted."""
        self.hits: list[LogHit] = []

    @property
    def is_full(self) -> bool:
        """Whether no more hits are wanted."""
        return len(self.hits) >= self._hits_max

    def feed(self, block: bytes) -> None:
        """Looks through the bytes at `offset`; upper and lower case are the same only for ASCII letters."""
        seen = block.lower() if self._ignoring_case else block
        begin = 0
        if self._is_behind_hit:
            begin = seen.find(NEWLINE)
            if begin < 0:
                self.offset += len(block)
                return
            self._is_behind_hit, self._kept = False, b""
        kept = len(self._kept)
        whole = self._kept + seen
        # Both in terms of `whole`: up to where newlines are counted, and from where the text is looked for.
        counted, place = kept, kept + begin if begin else 0
        while not self.is_full:
            found = whole.find(self._text, place)
            if found < 0:
                break
            self.line += whole.count(NEWLINE, counted, max(counted, found))
            counted = max(counted, found)
            self.hits.append(LogHit(number=self.line, offset=self.offset + found - kept))
            place = whole.find(NEWLINE, found)
            if place < 0:
                self._is_behind_hit = True
                break
        self.line += whole.count(NEWLINE, counted)
        self.offset += len(block)
        overlap = len(self._text) - 1
        self._kept = whole[-overlap:] if overlap and not self._is_behind_hit else b""
