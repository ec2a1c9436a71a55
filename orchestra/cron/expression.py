"""Cron expressions: 5 to 7 fields, or `@daily` and its kin, taken apart and checked with positions.

The check needs no cron library, so that a definition can be validated by a small installation.
"""

import hashlib
import re
from calendar import isleap
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from orchestra.errors import OrchestraError

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EXAMPLE = (
    'write five fields such as "30 2 * * 1-5" (minute hour day month weekday), six with seconds first, or seven with '
    "the year last"
)
_FREE_FIELDS = frozenset({"*", "?"})


class BadCron(OrchestraError):
    """A cron expression that means nothing, or never a moment."""

    def __init__(self, expression: str, sentence: str, remedy: str, offset: int = 0, length: int | None = None) -> None:
        super().__init__(expression, sentence, remedy, offset, length)
        self.expression = expression
        self.sentence = sentence
        self.remedy = remedy
        self.offset = offset
        """Where the wrong part begins in the expression, in characters."""
        self.length = len(expression) if length is None else length

    def __str__(self) -> str:
        return f"{self.expression[:80]!r} is no cron expression: {self.sentence}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A checked expression in the one form that the engine takes."""

    text: str
    """Six fields, seconds first, separated by one space; with the year as a seventh if it is not each."""
    follows_clock: bool
    """The minute or the hour begins with `*`: it means "each", and a clock change makes one more or one less."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()
    first_word: int = 0


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("weekday", 0, 7, _WEEKDAYS, 0),
    _Field("year", 1970, 2199),
)
_WEEKDAY_OF_MONTH = re.compile(r"([0-7]|sun|mon|tue|wed|thu|fri|sat)#([1-5])")
_LAST_WEEKDAY = re.compile(r"(?:([0-7]|sun|mon|tue|wed|thu|fri|sat)l|l([0-7]))")
_NEAREST_WORKDAY = re.compile(r"(\d{1,2})w", re.ASCII)
_HASHED = re.compile(r"h(?:\((\w+)-(\w+)\))?(?:/(\d{1,4}))?", re.ASCII)
_SPREADS = "write H, H/15, H(0-29) or H(0-29)/10"
HASHED_DAY_MAX = 28
"""`H` as a day of the month is one that every month has."""


@lru_cache(maxsize=4096)
def parse_cron(text: str, spread_by: str | None = None) -> CronExpression:
    """The checked expression; raises BadCron.

    `H` is a number that `spread_by` chooses, such as `ops/nightly`: always the same for the same name, so that not all
    jobs are due at the full hour. Without a name it is refused.
    """
    stripped = text.strip()
    if stripped.startswith("@"):
        stripped = _alias(text, stripped)
    pieces = list(re.finditer(r"\S+", stripped))
    if len(pieces) not in (5, 6, 7):
        count = f"{len(pieces)} field{'' if len(pieces) == 1 else 's'}"
        raise BadCron(text, f"it has {count}", _EXAMPLE)
    fields = _FIELDS[1:6] if len(pieces) == 5 else _FIELDS
    parts = ["0"] if len(pieces) == 5 else []
    for field, piece in zip(fields, pieces, strict=False):
        offset = piece.start() + text.find(stripped) if stripped in text else 0
        parts.append(_Checker(text, field, offset, spread_by).field(piece[0]))
    _refuse_never(text, parts)
    if parts[6:] == ["*"]:
        parts.pop()
    minute, hour = (piece[0].lower() for piece in pieces[len(pieces) > 5 :][:2])
    return CronExpression(" ".join(parts), follows_clock=_means_each(minute) or _means_each(hour))


def is_spread(text: str) -> bool:
    """Whether any field has an `H`."""
    stripped = text.strip().lower()
    return not stripped.startswith("@") and any(
        term.startswith("h") for field in stripped.split() for term in field.split(",")
    )


def _means_each(field: str) -> bool:
    # A list that begins with `*` follows the clock too: so does Debian's cron. `H/15` is `*/15` at another minute.
    return field.startswith(("*", "?", "h/"))


def _alias(text: str, alias: str) -> str:
    if alias.lower() in ALIASES:
        return ALIASES[alias.lower()]
    if alias.lower() == "@reboot":
        raise BadCron(text, "a schedule knows no reboot", 'write a time, such as "@daily"')
    raise BadCron(text, f"{alias[:40]!r} is not known", f"write one of {' '.join(ALIASES)}")


@dataclass(frozen=True, slots=True)
class _Checker:
    """Checks one field and gives it back in the engine's own form."""

    text: str
    of: _Field
    offset: int
    spread_by: str | None

    def field(self, field: str) -> str:
        if field == "?":
            return "*"
        terms = []
        position = 0
        for term in field.split(","):
            terms.append(self.term(term.lower(), position))
            position += len(term) + 1
        return ",".join(terms)

    def term(self, term: str, position: int) -> str:
        if term.startswith("h"):
            term = self.spread(term, position)
        special = self.special(term)
        if special is not None:
            return special
        base, slash, step = term.partition("/")
        if slash and (not _is_digits(step) or not 1 <= int(step) <= self.of.high):
            self.refuse(term, position, f"the step {step[:20]!r} is no number from 1 to {self.of.high}")
        if base == "*":
            return f"*/{int(step)}" if slash else "*"
        first, dash, last = base.partition("-")
        low = self.number(first, term, position)
        high = self.number(last, term, position) if dash else (self.of.high if slash else low)
        if self.of.name == "weekday":
            # Both 0 and 7 are Sunday: `fri-sun` ends with the second, `1/2` means Monday to Saturday.
            high = 7 if last == "sun" else 6 if slash and not dash else high
        if high < low:
            self.refuse(
                term, position, f"the range {base} runs backwards", f"write {low}-{self.of.high},{self.of.low}-{high}"
            )
        stride = int(step) if slash else 1
        if self.of.name == "weekday" and (slash or low == high or high == 7):
            # Written out: the engine takes 0-0 for the whole week, and does not know that 7 ends a range as Sunday.
            return ",".join(str(day) for day in sorted({day % 7 for day in range(low, high + 1, stride)}))
        if low + stride > high:
            return str(low)
        return f"{low}-{high}/{stride}" if slash else f"{low}-{high}"

    def spread(self, term: str, position: int) -> str:
        """`H`, `H/15`, `H(0-29)` or `H(0-29)/10` with the number that the name chooses."""
        match = _HASHED.fullmatch(term)
        if match is None or self.of.name == "year":
            self.refuse(term, position, f"{term[:20]!r} is no {self.of.name}", _SPREADS)
        if self.spread_by is None:
            self.refuse(term, position, "`H` is chosen by the name of a job, and here is none", "write a number")
        last = {"day of month": HASHED_DAY_MAX, "weekday": 6}.get(self.of.name, self.of.high)
        low = self.number(match[1], term, position) if match[1] else self.of.low
        high = self.number(match[2], term, position) if match[2] else last
        width = high - low + 1
        step = int(match[3]) if match[3] else 0
        if width < 1 or not (match[3] is None or 1 <= step <= width):
            self.refuse(term, position, f"{term[:20]!r} leaves no {self.of.name} to choose", _SPREADS)
        digest = hashlib.sha256(f"{self.spread_by}:{self.of.name}".encode()).digest()
        first = low + int.from_bytes(digest[:8], "big") % (step or width)
        return f"{first}-{high}/{step}" if step else str(first)

    def special(self, term: str) -> str | None:
        if self.of.name == "day of month":
            if term in ("l", "lw"):
                return term
            if match := _NEAREST_WORKDAY.fullmatch(term):
                return f"{self.number(match[1], term, 0)}w"
        if self.of.name == "weekday":
            if match := _WEEKDAY_OF_MONTH.fullmatch(term):
                return f"{self.number(match[1], term, 0) % 7}#{match[2]}"
            if match := _LAST_WEEKDAY.fullmatch(term):
                return f"l{self.number(match[1] or match[2], term, 0) % 7}"
        return None

    def number(self, word: str, term: str, position: int) -> int:
        if word in self.of.words:
            return self.of.words.index(word) + self.of.first_word
        if not _is_digits(word) or not self.of.low <= int(word) <= self.of.high:
            names = f" or {self.of.words[0]} to {self.of.words[-1]}" if self.of.words else ""
            self.refuse(term, position, f"{word[:20]!r} is no {self.of.name} ({self.of.low} to {self.of.high}{names})")
        return int(word)

    def refuse(self, term: str, position: int, sentence: str, remedy: str = _EXAMPLE) -> NoReturn:
        raise BadCron(self.text, sentence, remedy, self.offset + position, max(1, len(term)))


def _is_digits(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 4


def _refuse_never(text: str, parts: list[str]) -> None:
    """The 30th of February is written down easily and waited for in vain."""
    _, _, _, days, months, weekdays, *years = parts
    if not weekdays.startswith("*") or not all(re.fullmatch(r"[\d,]+", field) for field in (days, months)):
        return
    earliest = min(int(day) for day in days.split(","))
    longest = max(_DAYS_OF_MONTH[int(month) - 1] for month in months.split(","))
    if longest == 29 and years and re.fullmatch(r"[\d,]+", years[0]):
        longest = max(28 + isleap(int(year)) for year in years[0].split(","))
    if earliest > longest:
        raise BadCron(text, "no year has such a day", "correct the day or the month")
