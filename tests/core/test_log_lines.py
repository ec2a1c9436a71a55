"""Lines of a log by number, and searches through it: the same answers as if all of it were split in memory."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.errors import Overloaded
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import LINE_BLOCK_BYTES, LINE_BYTES_MAX, SEARCHES_MAX, WINDOW_BYTES_MAX, WINDOW_LINES_MAX
from orchestra.logs.indexed import IndexedLog
from orchestra.logs.lines import LineIndex, LineSearch, end_of_newline
from orchestra.web.log_lines import CommittedLog, Found, LogLines, start_of_last_window, start_of_window

RUN, ATTEMPT = RunId(1), AttemptNumber(1)


class OneLog:
    """A log in memory, with the interface of the log store's reading side; it notes how much was read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.bytes_read = 0
        self.longest_read = 0

    def read(self, run: RunId, attempt: AttemptNumber, offset: int, length: int) -> bytes:
        found = self.content[offset : offset + length]
        self.bytes_read += len(found)
        self.longest_read = max(self.longest_read, length)
        return found


def indexed(content: bytes) -> IndexedLog:
    log = IndexedLog(logs=OneLog(content), run=RUN, attempt=ATTEMPT, index=LineIndex())
    log.grow(len(content), blocks_max=1000)
    return log


def some_log(seed: int, size: int, *, newline_at_end: bool) -> bytes:
    """Lines of very different lengths, a few longer than a block."""
    chance = random.Random(seed)
    pieces: list[bytes] = []
    length = 0
    while length < size:
        longest = chance.choice([0, 3, 40, 40, 200, 5000] + [LINE_BLOCK_BYTES * 2] * (chance.random() < 0.05))
        pieces.append(bytes([chance.randrange(97, 123)]) * chance.randint(0, longest))
        length += len(pieces[-1]) + 1
    return b"\n".join(pieces) + (b"\n" if newline_at_end else b"end")


@pytest.mark.parametrize("newline_at_end", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_any_line_is_found_by_its_number_and_any_byte_by_its_line(seed: int, newline_at_end: bool) -> None:
    content = some_log(seed, 3 * LINE_BLOCK_BYTES, newline_at_end=newline_at_end)
    lines = content.removesuffix(b"\n").split(b"\n")
    log = indexed(content)

    assert log.total(len(content)) == len(lines)
    offset = 0
    for number, line in enumerate(lines, 1):
        if number % 97 == 1 or len(line) > LINE_BYTES_MAX or number > len(lines) - 3:
            (found,) = log.lines(number, 1, len(content))
            assert (found.number, found.offset, found.length) == (number, offset, len(line))
            assert found.head == line[:LINE_BYTES_MAX]
            assert (found.head + found.tail if not found.left_out else line) == line
            assert log.line_at(offset) == log.line_at(offset + len(line)) == number
        offset += len(line) + 1
    assert log.start_of(len(lines) + 1, len(content)) is None


def test_a_log_that_grows_is_counted_on_and_never_read_behind_what_is_committed() -> None:
    content = some_log(7, 2 * LINE_BLOCK_BYTES, newline_at_end=True)
    source = OneLog(content + b"not\ncommitted\n")
    log = IndexedLog(logs=source, run=RUN, attempt=ATTEMPT, index=LineIndex())

    for length in (0, 1, LINE_BLOCK_BYTES - 1, LINE_BLOCK_BYTES, LINE_BLOCK_BYTES + 1, len(content)):
        while log.grow(length, blocks_max=1):
            pass
        part = content[:length]
        assert log.total(length) == len(part.removesuffix(b"\n").split(b"\n")) if part else log.total(0) == 0

    assert source.longest_read <= LINE_BLOCK_BYTES


def test_a_file_that_is_shorter_than_the_database_says_shows_what_is_there() -> None:
    content = b"one\ntwo\n"
    log = indexed(content)

    assert [line.head for line in log.lines(1, 10, len(content) + 10**9)] == [b"one", b"two"]
    assert log.grow(10**9, blocks_max=10) is False


def test_ten_megabytes_in_one_line_are_shown_by_both_ends_and_not_read_for_it() -> None:
    content = b"first\n" + b"x" * 10_000_000 + b"THE END\nlast\n"
    source = OneLog(content)
    log = IndexedLog(logs=source, run=RUN, attempt=ATTEMPT, index=LineIndex())
    log.grow(len(content), blocks_max=1000)
    source.bytes_read = 0

    first, long, last = log.lines(1, 10, len(content))

    assert (first.head, last.head, last.number) == (b"first", b"last", 3)
    assert (long.length, len(long.head), long.tail[-7:]) == (10_000_007, LINE_BYTES_MAX, b"THE END")
    assert source.bytes_read < 6 * LINE_BLOCK_BYTES


def test_a_window_of_long_lines_ends_early() -> None:
    content = (b"y" * 3000 + b"\n") * 2000
    lines = indexed(content).lines(1, 2000, len(content))

    assert WINDOW_BYTES_MAX <= sum(line.length for line in lines) <= WINDOW_BYTES_MAX + LINE_BLOCK_BYTES


@given(content=st.binary(max_size=300).map(lambda raw: raw.replace(b"\x00", b"\n")), number=st.integers(0, 40))
def test_the_end_of_a_newline_is_found_by_halving(content: bytes, number: int) -> None:
    pieces = content.split(b"\n")
    expected = sum(len(piece) + 1 for piece in pieces[:number]) if number < len(pieces) else None

    assert end_of_newline(content, number) == expected


@settings(max_examples=300)
@given(
    content=st.text(alphabet="aAb\n", max_size=120).map(str.encode),
    needle=st.text(alphabet="aAb", min_size=1, max_size=4).map(str.encode),
    seams=st.lists(st.integers(1, 20), min_size=1, max_size=40),
    ignoring_case=st.booleans(),
)
def test_a_search_finds_each_line_once_wherever_the_seams_are(
    content: bytes, needle: bytes, seams: list[int], ignoring_case: bool
) -> None:
    search = LineSearch(text=needle, ignoring_case=ignoring_case, first_line=1, offset=0, hits_max=1000)
    turn = 0
    while search.offset < len(content):
        search.feed(content[search.offset : search.offset + seams[turn % len(seams)]])
        turn += 1

    seen = content.lower() if ignoring_case else content
    wanted = needle.lower() if ignoring_case else needle
    expected, offset = [], 0
    for number, line in enumerate(seen.split(b"\n"), 1):
        if wanted in line:
            expected.append((number, offset + line.index(wanted)))
        offset += len(line) + 1
    assert [(hit.number, hit.offset) for hit in search.hits] == expected


@pytest.mark.parametrize(
    ("line", "first"), [(1, 1), (500, 1), (501, 1), (1000, 1), (1001, 501), (1204, 501), (15_000, 14_001)]
)
def test_the_window_of_a_line_begins_at_a_chunk_and_always_at_the_same(line: int, first: int) -> None:
    assert start_of_window(line) == first


@pytest.mark.parametrize(("total", "first"), [(0, 1), (1, 1), (2000, 1), (2001, 501), (2500, 501), (2501, 1001)])
def test_the_last_window_ends_with_the_log(total: int, first: int) -> None:
    assert start_of_last_window(total) == first


async def test_windows_and_places_of_a_long_log() -> None:
    content = b"".join(b"line %d\n" % number for number in range(1, 100_001))
    lines = LogLines(OneLog(content))
    log = CommittedLog(run=RUN, attempt=ATTEMPT, length=len(content))

    around = await lines.window(log, 50_000)
    last = await lines.window(log, None)
    beyond = await lines.window(log, 10**15)

    assert (around.first, around.last, around.total) == (49_001, 51_000, 100_000)
    assert (last.first, last.last, len(last.lines)) == (98_001, 100_000, WINDOW_LINES_MAX)
    assert beyond.last == 100_000
    assert await lines.lines_at(log, (0, 6, 7, len(content) - 1)) == (1, 1, 2, 100_000)
    assert await lines.start_of(log, 2) == 7
    assert await lines.start_of(log, 100_001) == len(content)


async def test_a_search_goes_on_where_it_stopped() -> None:
    content = b"".join(b"hit %d\n" % number for number in range(1, 501))
    lines = LogLines(OneLog(content))
    log = CommittedLog(run=RUN, attempt=ATTEMPT, length=len(content))

    found = await lines.search(log, "HIT", ignoring_case=True)
    assert found.go_on_at is not None
    onward = await lines.search(log, "HIT", ignoring_case=True, first_line=found.go_on_at)

    assert [hit.number for hit in (*found.hits, *onward.hits)][:400] == list(range(1, 401))
    assert (found.hits[0].before, found.hits[0].behind) == (b"", b"hit 1")
    nothing = await lines.search(log, "HIT", ignoring_case=False)
    assert (nothing.hits, nothing.go_on_at) == ((), None)


async def test_searches_beyond_the_bound_are_refused_and_later_ones_are_not() -> None:
    content = b"hit\n" * 1000
    lines = LogLines(OneLog(content))
    log = CommittedLog(run=RUN, attempt=ATTEMPT, length=len(content))

    async def search() -> Found:
        return await lines.search(log, "hit", ignoring_case=False)

    answers = await asyncio.gather(*(search() for _ in range(SEARCHES_MAX + 5)), return_exceptions=True)

    assert [type(each) for each in answers] == [Found] * SEARCHES_MAX + [Overloaded] * 5
    assert (await search()).hits


async def test_the_last_lines_of_a_step_know_their_numbers() -> None:
    content = b"a\nb\nc\nd\ne"
    lines = LogLines(OneLog(content))
    log = CommittedLog(run=RUN, attempt=ATTEMPT, length=len(content))

    assert [(line.number, line.head) for line in await lines.last_lines(log, 2, 8, 2)] == [(3, b"c"), (4, b"d")]
    assert [(line.number, line.head) for line in await lines.last_lines(log, 0, 99, 2)] == [(4, b"d"), (5, b"e")]
    assert await lines.last_lines(log, 9, 9, 2) == ()
