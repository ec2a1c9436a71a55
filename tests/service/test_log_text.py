"""Bytes become text: nothing is lost, split or counted twice, wherever the pieces end."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.web.log_text import LogText, TextPiece, start_of_last_lines

CONTENT = st.one_of(st.binary(max_size=60), st.text(max_size=30).map(str.encode))


def fed(content: bytes, cuts: list[int], offset: int) -> list[TextPiece]:
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    text = LogText(offset)
    pieces = [text.feed(content[start:end]) for start, end in itertools.pairwise(bounds)]
    pieces.append(text.feed(b"", is_end=True))
    return [piece for piece in pieces if piece is not None]


@given(CONTENT, st.lists(st.integers(0, 60), max_size=8), st.integers(0, 1 << 40))
def test_the_pieces_are_the_whole_wherever_it_is_cut(content: bytes, cuts: list[int], offset: int) -> None:
    pieces = fed(content, cuts, offset)

    assert "".join(piece.text for piece in pieces) == content.decode("utf-8", "replace")
    assert [piece.start for piece in pieces] == [offset, *(piece.end for piece in pieces[:-1])][: len(pieces)]
    assert not pieces or pieces[-1].end == offset + len(content)


@given(CONTENT, st.lists(st.integers(0, 60), max_size=8), st.data())
def test_who_resumes_behind_any_piece_gets_exactly_the_rest(
    content: bytes, cuts: list[int], data: st.DataObject
) -> None:
    pieces = fed(content, cuts, 0)
    kept = data.draw(st.integers(0, len(pieces)))
    place = pieces[kept - 1].end if kept else 0

    rest = fed(content[place:], [], place)

    assert "".join(piece.text for piece in [*pieces[:kept], *rest]) == content.decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("tail", "lines", "start"),
    [
        (b"", 3, 0),
        (b"a\nb\nc\n", 1, 4),
        (b"a\nb\nc", 1, 4),
        (b"a\nb\nc\n", 2, 2),
        (b"a\nb\nc\n", 9, 0),
        (b"\n\n\n", 2, 1),
    ],
)
def test_the_last_lines_begin_behind_a_newline(tail: bytes, lines: int, start: int) -> None:
    assert start_of_last_lines(tail, lines) == start
