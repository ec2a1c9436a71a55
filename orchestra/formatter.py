"""Templates in commands: Python's format grammar over plain values, and nothing else that `format` can reach."""

import re
import string
from collections.abc import Iterator, Mapping

from orchestra.errors import OrchestraError
from orchestra.limits import ARGUMENT_BYTES_MAX, FORMAT_WIDTH_MAX
from orchestra.specification import PropertyValue

Values = Mapping[str, Mapping[str, PropertyValue]]
"""What a template may name: `parameters`, `environment`, `results`, `run`, … each with its names and values."""

# No `c` (a number as any character), no `n` (the machine's locale): an output must consist of what was given.
_SPECIFICATION = re.compile(
    r"(?:.?[<>=^])?[+\- ]?z?#?0?(?P<width>[0-9]*)[,_]?(?:\.(?P<precision>[0-9]+))?[sdbxXoeEfFgG%]?", re.DOTALL
)
NEAR_NAMES_MAX = 3


class BadTemplate(OrchestraError):
    """A template that the grammar does not have, or whose result is too large."""

    def __init__(self, template: str, cause: str) -> None:
        super().__init__(template, cause)
        self.template = template
        self.cause = cause

    def __str__(self) -> str:
        return f"the template {self.template[:80]!r} cannot be formatted: {self.cause}"


class UnknownValue(OrchestraError):
    """A template names a value that nobody has given."""

    def __init__(self, template: str, name: str, near: tuple[str, ...]) -> None:
        super().__init__(template, name, near)
        self.template = template
        self.name = name
        self.near = near

    def __str__(self) -> str:
        remedy = f"did you mean {' or '.join(self.near)}?" if self.near else "write {{ for a literal brace"
        return f"the template {self.template[:80]!r} names the unknown value {self.name[:80]!r}: {remedy}"


def format_argument(template: str, values: Values) -> str:
    """The template with its values put in, e.g. `{parameters.branch}`, `{run.number:06}`; `{{` is a brace.

    Raises UnknownValue for a name that is not there, BadTemplate for everything else that is wrong.
    """
    if "{" not in template and "}" not in template:
        return template
    if "\0" in template:
        # Python would read `!` and a NUL as no conversion.
        raise BadTemplate(template, "it holds a NUL character, which no command can receive")
    pieces = []
    room = ARGUMENT_BYTES_MAX
    for piece in _pieces(template, values):
        room -= _bytes_of(template, piece)
        if room < 0:
            raise BadTemplate(template, f"the result is longer than {ARGUMENT_BYTES_MAX >> 10} KiB")
        pieces.append(piece)
    return "".join(pieces)


def _bytes_of(template: str, piece: str) -> int:
    try:
        return len(piece.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise BadTemplate(
            template, "it holds half of a character (a lone surrogate), which no command can receive"
        ) from None


def _pieces(template: str, values: Values) -> Iterator[str]:
    try:
        for literal, name, specification, conversion in string.Formatter().parse(template):
            yield literal
            if name is not None:
                if conversion:
                    raise BadTemplate(template, f"a conversion like !{conversion} is not allowed")
                yield _format(template, _value(template, name, values), specification or "")
    except OverflowError as error:
        # A whole number of hundreds of digits, as a job may give it as a result, has no form with a fraction.
        raise BadTemplate(template, f"a number is too large for its format: {error}") from error
    except ValueError as error:
        raise BadTemplate(template, f"{str(error).lower()} (write {{{{ or }}}} for a literal brace)") from error


def _value(template: str, name: str, values: Values) -> PropertyValue:
    group, _, key = name.partition(".")
    try:
        return values[group][key]
    except KeyError:
        raise UnknownValue(template, name, _near(name, values)) from None


def _format(template: str, value: PropertyValue, specification: str) -> str:
    found = _SPECIFICATION.fullmatch(specification)
    if found is None:
        raise BadTemplate(template, f"{specification[:40]!r} is no format specification")
    for number in (found["width"], found["precision"]):
        # The length is looked at first: Python refuses to read a number of thousands of digits.
        if number and (len(number) > len(str(FORMAT_WIDTH_MAX)) + 1 or int(number) > FORMAT_WIDTH_MAX):
            raise BadTemplate(template, f"a width or precision is at most {FORMAT_WIDTH_MAX}")
    if isinstance(value, bool):
        value = "true" if value else "false"
    return format(value, specification)


def _near(name: str, values: Values) -> tuple[str, ...]:
    # Loaded only here: it is needed for a mistake only.
    import difflib

    known = [f"{group}.{key}" for group, entries in values.items() for key in entries]
    return tuple(difflib.get_close_matches(name, known, n=NEAR_NAMES_MAX, cutoff=0.8))
