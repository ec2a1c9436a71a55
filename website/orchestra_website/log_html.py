"""Lines of logs as HTML: each with its number as a link, long ones shortened, nothing of them ever markup."""

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass

from markupsafe import Markup, escape

from orchestra.limits import LINE_BYTES_MAX
from orchestra.logs.lines import LogLine
from orchestra_website.ansi import AnsiText, last_state, plain, start_of_unfinished
from orchestra_website.words import size_text

_LINE = Markup('<span id="L{0}"><a href="{1}">{0}</a>{2}\n</span>')
_NUMBER = Markup('<a id="L{0}" href="{1}">{0}</a>')
_NAMELESS = Markup("<span>{0}\n</span>")
_LEFT_OUT = Markup('<i class="left-out"> … {} left out, the raw log has it … </i>')


def text_of(line: LogLine, ansi: AnsiText) -> Markup:
    """The text of a line; of a very long one both ends, of a progress bar its last state."""
    if not line.left_out and not line.tail:
        return ansi.line(line.head.decode(errors="replace"))
    ending = line.tail.decode(errors="replace")
    if "\r" in ending:
        return ansi.line(ending)
    if not line.left_out:
        return ansi.line((line.head + line.tail).decode(errors="replace"))
    beginning = ansi.render(line.head.decode(errors="replace"))
    return beginning + _LEFT_OUT.format(size_text(line.left_out)) + ansi.render(ending)


def numbered(number: int, text: Markup, base: str = "") -> Markup:
    """The line with its number, if that is known; `base` as for `line_address`."""
    return _LINE.format(number, line_address(number, base), text) if number else _NAMELESS.format(text)


def line_address(number: int, base: str) -> str:
    """Where a line is found again: on this page, or at the address `base`, which may want the number (`…&line=`)."""
    return f"{base}{number}#L{number}" if base.endswith("=") else f"{base}#L{number}"


def lines_html(lines: Iterable[LogLine], base: str = "", ansi: AnsiText | None = None) -> Markup:
    """Lines one after the other, for a `<pre class="log">`; colours go on from what `ansi` has seen."""
    ansi = ansi or AnsiText()
    return Markup("").join(numbered(line.number, text_of(line, ansi), base) for line in lines)


def excerpt_html(before: bytes, behind: bytes, length: int) -> Markup:
    """What stands around a hit, which is the first so many bytes of `behind`."""
    left, hit = plain(before.decode(errors="replace")), plain(behind[:length].decode(errors="replace"))
    right = plain(behind[length:].decode(errors="replace"))
    return escape(left) + Markup("<mark>{}</mark>").format(hit) + escape(right)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveLine:
    """A line as it came; `text` may be shortened in its middle."""

    number: int
    text: str
    left_out: int

    def html(self, ansi: AnsiText) -> Markup:
        """The line without its number."""
        if not self.left_out:
            return ansi.line(self.text)
        beginning, ending = self.text[:LINE_BYTES_MAX], self.text[LINE_BYTES_MAX:]
        if "\r" in ending:
            return ansi.line(ending)
        return ansi.render(beginning) + _LEFT_OUT.format(size_text(self.left_out)) + ansi.render(ending)


class LiveLines:
    """Cuts text that comes in pieces into lines; the last one is open until its newline comes. Bounded in memory."""

    def __init__(self, first_line: int) -> None:
        self._open = LiveLine(number=first_line, text="", left_out=0)

    @property
    def open(self) -> LiveLine:
        """The line whose end has not come."""
        return self._open

    def feed(self, text: str) -> Iterator[LiveLine]:
        """The lines that are whole with this text."""
        *whole, rest = text.split("\n")
        for piece in whole:
            yield _longer(self._open, piece)
            self._open = LiveLine(number=self._open.number + 1, text="", left_out=0)
        self._open = _longer(self._open, rest)


def _longer(line: LiveLine, more: str) -> LiveLine:
    text = line.text + more
    over = len(text) - 2 * LINE_BYTES_MAX
    if over <= 0:
        return LiveLine(number=line.number, text=text, left_out=line.left_out)
    shortened = text[:LINE_BYTES_MAX] + text[-LINE_BYTES_MAX:]
    return LiveLine(number=line.number, text=shortened, left_out=line.left_out + over)


class FollowedLines:
    """HTML for a script, which can replace the open line whenever it changes."""

    def __init__(self, first_line: int, *, base: str) -> None:
        self._lines = LiveLines(first_line)
        self._ansi = AnsiText()
        self._base = base

    @property
    def next_line(self) -> int:
        """The number of the open line."""
        return self._lines.open.number

    def feed(self, text: str) -> tuple[Markup, Markup]:
        """The lines that are whole now, and the open one."""
        whole = Markup("").join(
            numbered(line.number, line.html(self._ansi), self._base) for line in self._lines.feed(text)
        )
        line = self._lines.open
        # The open line is drawn again when more of it comes: its colours must not count twice.
        return whole, numbered(line.number, line.html(copy(self._ansi)), self._base) if line.text else Markup("")


class AppendedLines:
    """HTML that can only be added to, for readers without a script: an open line grows to the right."""

    def __init__(self, first_line: int, *, base: str) -> None:
        self._lines = LiveLines(first_line)
        self._ansi = AnsiText()
        self._base = base
        self._shown = 0
        """Characters of the open line that were sent; its number was sent with the first."""

    @property
    def next_line(self) -> int:
        """The number of the open line."""
        return self._lines.open.number

    def feed(self, text: str) -> Markup:
        """The lines that are whole now."""
        return Markup("").join(self._whole(line) for line in self._lines.feed(text))

    def flush(self) -> Markup:
        """As much of the open line as can be shown already: a progress bar is awaited."""
        line = self._lines.open
        if "\r" in line.text or line.left_out:
            return Markup("")
        end = start_of_unfinished(line.text)
        more = line.text[self._shown : end]
        if not more:
            return Markup("")
        start = Markup("")
        if not self._shown:
            start = _NUMBER.format(line.number, line_address(line.number, self._base))
        self._shown = end
        return start + self._ansi.render(more)

    def _whole(self, line: LiveLine) -> Markup:
        shown, self._shown = self._shown, 0
        if not shown:
            return numbered(line.number, line.html(self._ansi), self._base)
        if line.left_out:
            return _LEFT_OUT.format(size_text(line.left_out)) + self._ansi.line(line.text[-LINE_BYTES_MAX:]) + "\n"
        return self._ansi.render(last_state(line.text[shown:])) + "\n"
