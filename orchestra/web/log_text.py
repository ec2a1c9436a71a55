"""Bytes of a log as text: a character is never split, and every piece knows its place."""

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """Text, and the bytes of the log that it stands for."""

    text: str
    start: int
    end: int


class LogText:
    """Turns the bytes that follow an offset into text; what is no UTF-8 becomes U+FFFD."""

    def __init__(self, offset: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.read_to = offset
        """The next byte that is wanted."""
        self._sent_to = offset

    def feed(self, content: bytes, *, is_end: bool = False) -> TextPiece | None:
        """The text that is whole with these bytes, or None; at the end half a character counts as broken."""
        text = self._decoder.decode(content, is_end)
        self.read_to += len(content)
        held_back, _ = self._decoder.getstate()
        start, self._sent_to = self._sent_to, self.read_to - len(held_back)
        return TextPiece(text=text, start=start, end=self._sent_to) if text else None


def start_of_last_lines(tail: bytes, lines: int) -> int:
    """Where the last so many lines begin in these bytes; a line without its newline counts too."""
    position = len(tail)
    if tail.endswith(b"\n"):
        position -= 1
    for _ in range(lines):
        position = tail.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1
