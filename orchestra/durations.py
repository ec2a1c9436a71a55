"""Durations as people write them (`45m`, `1h30m`, `7d`) and as they read them (`45 min`)."""

import re

from orchestra.errors import OrchestraError

DURATION_SECONDS_MAX = 3650 * 86_400.0
"""Ten years: what is longer is a slip of the keyboard."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d|w)\s*)+", re.ASCII)
_TEXT_CHARACTERS_MAX = 64


class BadDuration(OrchestraError):
    """A text is no duration."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"{self.text[:40]!r} is no duration: write a number and a unit of ms s m h d w, such as 45m or 1h30m"


def parse_duration(text: str) -> float:
    """`1h30m` as 5400.0 seconds; raises BadDuration. A number without unit is refused: it would be a guess."""
    stripped = text.strip()
    if len(stripped) > _TEXT_CHARACTERS_MAX or not _WHOLE.fullmatch(stripped):
        raise BadDuration(text)
    # Rounded to the microsecond, so that 1.1s + 2.2s does not differ from what a clock can count.
    seconds = round(sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(stripped)), 6)
    if seconds > DURATION_SECONDS_MAX:
        raise BadDuration(text)
    return seconds


def format_duration(seconds: float) -> str:
    """5400.0 as `1h30m`: what `parse_duration` reads back to the same number."""
    microseconds = round(seconds * 1_000_000)
    if microseconds <= 0:
        return "0s"
    pieces = []
    for unit in ("d", "h", "m", "s"):
        amount, microseconds = divmod(microseconds, round(_UNITS[unit] * 1_000_000))
        if amount:
            pieces.append(f"{amount}{unit}")
    if microseconds:
        milliseconds = f"{microseconds / 1000:.3f}".rstrip("0").rstrip(".")
        pieces.append(f"{milliseconds}ms")
    return "".join(pieces)


def duration_in_words(seconds: float) -> str:
    """5400.0 as `1 h 30 min`, 252.0 as `4 min 12 s`, 0.25 as `250 ms`: the two largest units that are not zero."""
    if seconds < 1:
        return f"{round(max(seconds, 0) * 1000)} ms" if seconds > 0 else "0 s"
    rest = round(seconds)
    pieces = []
    for unit, word in (("d", "d"), ("h", "h"), ("m", "min"), ("s", "s")):
        amount, rest = divmod(rest, round(_UNITS[unit]))
        if amount:
            pieces.append(f"{amount} {word}")
    return " ".join(pieces[:2])
