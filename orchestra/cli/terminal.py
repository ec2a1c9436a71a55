"""Keeps what jobs and names contain from steering the terminal of the person who reads them."""

import re
from typing import Final

_ESCAPE: Final = re.compile(
    # Strings that swallow what follows (OSC, DCS, APC, PM, SOS) end at BEL or ST; a bare one ends with its line.
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?P<style>\x1b\[[0-9;:]*m)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_UNFINISHED: Final = re.compile(
    r"(?:(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*\x1b?|(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[ -/]*|\r)\Z"
)
_BIDIRECTIONAL: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_HELD_CHARACTERS_MAX: Final = 4096
STYLE_END: Final = "\x1b[0m"


def plain(text: str) -> str:
    """A name or sentence for one line of the screen: no control character, no change of the writing direction."""
    return _CONTROL.sub("", _BIDIRECTIONAL.sub("", _ESCAPE.sub("", text))).replace("\r", " ").replace("\n", " ")


class LogGuard:
    """Cleans a log that comes in pieces: an escape sequence that is cut in two is held until its end has come."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._held = ""
        self._styled = False

    def clean(self, text: str) -> str:
        """The next piece without anything that steers a terminal; colours stay if they are wanted."""
        whole = self._held + text
        self._held = ""
        cut = _UNFINISHED.search(whole)
        # What never ends is no escape sequence: it must not swallow the log.
        if cut and len(whole) - cut.start() <= _HELD_CHARACTERS_MAX:
            self._held = whole[cut.start() :]
            whole = whole[: cut.start()]
        return self._cleaned(whole)

    def end(self) -> str:
        """What was held back, and the end of a style that the log left open."""
        rest = self._cleaned(self._held.rstrip("\r"))
        self._held = ""
        return rest + (STYLE_END if self._styled else "")

    def _cleaned(self, text: str) -> str:
        pieces: list[str] = []
        position = 0
        for match in _ESCAPE.finditer(text):
            pieces.append(_visible(text[position : match.start()]))
            position = match.end()
            if self._colour and match["style"]:
                pieces.append(match["style"])
                self._styled = match["style"] not in ("\x1b[m", STYLE_END)
        pieces.append(_visible(text[position:]))
        return "".join(pieces)


def _visible(text: str) -> str:
    # A lone carriage return lets a line overwrite itself: each rewriting becomes a line of its own.
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
