"""What a job prints, as HTML: colours become classes from a short list, all else is text and nothing but text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

# ECMA-48: colours and other control sequences; strings (titles, links, images) up to their end; two characters.
# A string without its end is not one: otherwise it would hide the rest of the line. Nor does it hold the begin of
# another: thousands of begins without an end would each be searched to the end of the line.
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)(?P<codes>[0-?]*)[ -/]*(?P<final>[@-~])"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\\\|\x9c)"
    "|\x1b[ -/]*[0-OQ-WYZ`-~]"
    "|\x1b",
)
_UNFINISHED = re.compile("(?:\x1b\\[|\x9b)[0-?]*[ -/]*$|(?:\x1b[\\]PX^_])[^\x07\x1b\x9c]{0,2048}\x1b?$|\x1b[ -/]*$")
# Invisible, or changing the order of what is seen: shown as what they are.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_FLAGS = {1: "bold", 2: "faint", 3: "italic", 4: "line", 9: "struck"}
_ENDS = {22: ("bold", "faint"), 23: ("italic",), 24: ("line",), 29: ("struck",)}
_CODES_MAX = 64


@dataclass(frozen=True, slots=True)
class Look:
    """How text looks from here on."""

    flags: frozenset[str] = frozenset()
    colour: int | None = None
    ground: int | None = None

    @property
    def classes(self) -> str:
        """The classes of style.css."""
        names = [f"t-{flag}" for flag in sorted(self.flags)]
        if self.colour is not None:
            names.append(f"c{self.colour}")
        if self.ground is not None:
            names.append(f"g{self.ground}")
        return " ".join(names)


class AnsiText:
    """Renders line after line; a colour goes on over the ends of lines until it is taken back, as on a terminal."""

    def __init__(self) -> None:
        self._look = Look()

    def line(self, text: str) -> Markup:
        """One line without its newline; of a progress bar only the last state."""
        return self.render(last_state(text))

    def render(self, text: str) -> Markup:
        """Text without newlines and returns."""
        pieces: list[str] = []
        place = 0
        for found in _SEQUENCE.finditer(text):
            self._add(pieces, text[place : found.start()])
            place = found.end()
            if found["final"] == "m":
                self._look = _changed(self._look, _numbers(found["codes"]))
        self._add(pieces, text[place:])
        return Markup("".join(pieces))  # noqa: S704 - every piece was escaped where it was added

    def _add(self, pieces: list[str], text: str) -> None:
        if not text:
            return
        safe = escape(_HIDDEN.sub(_name, text))
        classes = self._look.classes
        pieces.append(f'<span class="{classes}">{safe}</span>' if classes else str(safe))


def last_state(text: str) -> str:
    """What a terminal would show of a line with returns, in which a program has drawn its progress over and over."""
    if "\r" not in text:
        return text
    return next((state for state in reversed(text.split("\r")) if _SEQUENCE.sub("", state).strip()), "")


def plain(text: str) -> str:
    """One line as text alone, for where colours would disturb: excerpts of a search."""
    return _HIDDEN.sub(_name, _SEQUENCE.sub("", text))


def start_of_unfinished(text: str) -> int:
    """Where an escape sequence begins whose end has not come yet; the text's length if there is none."""
    found = _UNFINISHED.search(text, max(0, len(text) - 4096))
    return found.start() if found else len(text)


def _name(found: "re.Match[str]") -> str:
    character = found[0]
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def _numbers(codes: str) -> list[int]:
    """`1;31` and `38:5:9` alike; what is no colour code (`?25`) is nothing."""
    parts = codes.replace(":", ";").split(";")[:_CODES_MAX]
    if not all(part == "" or (part.isdigit() and len(part) <= 3) for part in parts):
        return []
    return [int(part or 0) for part in parts]


def _changed(look: Look, codes: Sequence[int]) -> Look:
    place = 0
    while place < len(codes):
        code = codes[place]
        place += 1
        if code in (38, 48):
            colour, used = _wide_colour(codes[place:])
            place += used
            look = replace(look, colour=colour) if code == 38 else replace(look, ground=colour)
        else:
            look = _changed_once(look, code)
    return look


def _changed_once(look: Look, code: int) -> Look:
    if code == 0:
        return Look()
    if code in _FLAGS:
        return replace(look, flags=look.flags | {_FLAGS[code]})
    if code in _ENDS:
        return replace(look, flags=look.flags - set(_ENDS[code]))
    if code == 39 or 30 <= code <= 37 or 90 <= code <= 97:
        return replace(look, colour=None if code == 39 else code % 10)
    if code == 49 or 40 <= code <= 47 or 100 <= code <= 107:
        return replace(look, ground=None if code == 49 else code % 10)
    return look


def _wide_colour(rest: Sequence[int]) -> tuple[int | None, int]:
    """The nearest of the eight colours, and how many codes named it: `5;n` or `2;r;g;b`."""
    if len(rest) >= 2 and rest[0] == 5:
        number = rest[1]
        if number < 16:
            return number % 8, 2
        if number >= 232:
            return (7 if number >= 244 else 0), 2
        number -= 16
        return _nearest(number // 36 * 51, number // 6 % 6 * 51, number % 6 * 51), 2
    if len(rest) >= 4 and rest[0] == 2:
        return _nearest(*rest[1:4]), 4
    return None, len(rest)


def _nearest(red: int, green: int, blue: int) -> int:
    bound = max(96, max(red, green, blue) * 2 // 3)
    return (red >= bound) + 2 * (green >= bound) + 4 * (blue >= bound)
