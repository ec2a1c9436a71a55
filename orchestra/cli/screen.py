"""Where a command writes: data on stdout, messages on stderr, colours and cleaning only for a terminal."""

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import BinaryIO, Final, TextIO

from orchestra.cli.terminal import LogGuard, plain

_STATE_COLOURS: Final[Mapping[str, str]] = {
    "succeeded": "32", "online": "32", "add": "32", "ok": "32",
    "failed": "31", "exception": "31", "quarantined": "31", "remove": "31", "fail": "31",
    "running": "36", "assigned": "36",
    "aborted": "33", "cancelled": "33", "skipped": "33", "draining": "33", "disabled": "33",
    "change": "33", "warn": "33",
}  # fmt: skip
_COLUMN_CHARACTERS_MAX: Final = 60


class Screen:
    """The two streams of one command, and how this reader wants them."""

    def __init__(
        self,
        *,
        out: TextIO,
        errors: TextIO,
        environment: Mapping[str, str],
    ) -> None:
        self._out = out
        self._errors = errors
        self.interactive = _is_terminal(out)
        self.colour = self.interactive and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        self.as_json = False
        self.raw = False
        self.zone: tzinfo | None = None
        """In which zone times are shown; None is this machine's."""

    def use_utc(self) -> None:
        """Show times in UTC from now on."""
        self.zone = UTC

    def line(self, text: str = "") -> None:
        """One line of data."""
        self._out.write(text + "\n")
        self._out.flush()

    def write(self, text: str) -> None:
        """Data as it is, at once."""
        self._out.write(text)
        self._out.flush()

    def write_bytes(self, content: bytes) -> None:
        """Bytes as they are: a log into a file or a pipe must not change."""
        stream: BinaryIO | None = getattr(self._out, "buffer", None)
        if stream is None:
            self._out.write(content.decode("utf-8", errors="replace"))
        else:
            self._out.flush()
            stream.write(content)
        self._out.flush()

    def note(self, text: str) -> None:
        """One message for the person, out of the way of the data."""
        self._errors.write(text + "\n")
        self._errors.flush()

    def json(self, body: bytes) -> None:
        """An answer of the API as it came, indented for people if they look at it."""
        if not self.interactive:
            self.write_bytes((body or b"null") + b"\n")
            return
        import msgspec

        self.write_bytes(msgspec.json.format(body or b"null", indent=2) + b"\n")

    def json_of(self, content: object) -> None:
        """Something of our own making as JSON."""
        import msgspec

        self.json(msgspec.json.encode(content))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under headings, within the terminal's width; a cut cell ends in an ellipsis. Cells are cleaned here."""
        cells = [[plain(cell) or "-" for cell in row] for row in rows]
        widths = [max(len(row[index]) for row in [list(headings), *cells]) for index in range(len(headings))]
        if self.interactive:
            widths = _fitted(widths, shutil.get_terminal_size().columns)
        self._out.write(_row([heading.upper() for heading in headings], widths).rstrip() + "\n")
        for row in cells:
            padded = _row(row, widths).rstrip()
            self._out.write((self._coloured_row(row, widths) if self.colour else padded) + "\n")
        self._out.flush()

    def state(self, word: str) -> str:
        """A state's word, coloured if colours are wanted; the word always says it all."""
        code = _STATE_COLOURS.get(word)
        return f"\x1b[{code}m{word}\x1b[0m" if self.colour and code else plain(word)

    def guard(self) -> LogGuard | None:
        """What a log must pass on its way here; None where its bytes may go as they are."""
        return LogGuard(colour=self.colour) if self.interactive and not self.raw else None

    def _coloured_row(self, row: Sequence[str], widths: Sequence[int]) -> str:
        shown = [_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)]
        return "  ".join(
            text.replace(cell, self.state(cell), 1) for text, cell in zip(shown, row, strict=True)
        ).rstrip()


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def _fitted(widths: list[int], columns: int) -> list[int]:
    """Narrow the widest column until the row fits, but none below what can be read."""
    fitted = [min(width, _COLUMN_CHARACTERS_MAX) for width in widths]
    while sum(fitted) + 2 * (len(fitted) - 1) > columns and max(fitted) > 12:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False
