"""Templates as an attacker would write them, and what each of them may give: a second reading of the same grammar."""

import random
import re
from collections.abc import Iterator, Mapping

from orchestra.limits import FORMAT_WIDTH_MAX
from orchestra.specification import PropertyValue

Entries = Mapping[str, PropertyValue]


VALUES: Mapping[str, Entries] = {
    "parameters": {
        "branch": "main",
        "drain-for": 90,
        "ratio": -0.5,
        "force": True,
        "empty": "",
        "brace": "{run.number}",
        "dotted.name": "dot",
        "__class__": "only a name",
        "0": "zero",
        "huge": 10**400,
        "endless": float("inf"),
        "none": float("nan"),
        "wörter": "grüße 💥 \udcff",
    },
    "environment": {"HOME": "/home/build"},
    "results": {"version": "1.2", "format": "{0.__init__.__globals__}"},
    "run": {"number": 482},
    "": {"": "nameless"},
}

NAMES = [f"{group}.{key}" for group, entries in VALUES.items() for key in entries]
FOREIGN_NAMES = [
    "", "0", "1", "x", "self", "parameters", "run", "run.", ".number", "run..number", "parameters.branch.upper",
    "parameters.__init__", "parameters.branch.__class__.__mro__[1].__subclasses__", "run.number.real",
    "parameters[branch]", "parameters.branch[0]", "[0]", "parameters.__class__.__name__", "os.environ", "run.numbers",
    "parameters.items", "run.number.__format__", "parameters.ｂranch", "parameters.branch\0", " run.number",
    "run.number ",
]  # fmt: skip
CONVERSIONS = ["", "", "", "", "", "!r", "!s", "!a", "!x", "!", "!!", "!rs"]
FILLS = ["", "*", "0", "<", "{{", "💥", "\n", "\0", "!", ":"]
ALIGNMENTS = ["", "", "<", ">", "^", "="]
SIGNS = ["", "", "+", "-", " ", "z", "#"]
WIDTHS = ["", "", "0", "1", "7", "08", "128", "129", "0128", "300000000", "9" * 5000, "٣", "²", "-5", "1e3"]
GROUPINGS = ["", "", ",", "_", ",_"]
PRECISIONS = ["", "", ".0", ".2", ".128", ".129", ".300000000", ".", ".-1", "._"]
KINDS = ["", "s", "d", "b", "x", "X", "o", "e", "E", "f", "F", "g", "G", "%", "c", "n", "r", "%Y", "s}", "{run.number}"]
LITERALS = ["", "a", "}}", "{{", "{{{{", "{", "}", "!", ":", "é", "\udc80", "💥", "--x=", "}{", "{{}}", "$(id)", "%s"]


def hostile_template(chance: random.Random) -> str:
    """Braces, names, attributes, indices, conversions, widths and nested fields, well-formed and otherwise."""
    pieces = []
    for _ in range(chance.randrange(1, 5)):
        pieces.append(chance.choice(LITERALS))
        if chance.random() < 0.75:
            pieces.append("{" + _field(chance) + "}")
    template = "".join(pieces)
    if template and chance.random() < 0.1:
        place = chance.randrange(len(template))
        template = template[:place] + chance.choice("{}[].!:\0é") + template[place + chance.randrange(2) :]
    return template


def _field(chance: random.Random) -> str:
    name = chance.choice(NAMES if chance.random() < 0.8 else FOREIGN_NAMES)
    if chance.random() < 0.3:
        return name
    parts = [name, chance.choice(CONVERSIONS) if chance.random() < 0.3 else "", ":"]
    for choices in (FILLS, ALIGNMENTS, SIGNS, WIDTHS, GROUPINGS, PRECISIONS, KINDS):
        # Mostly a part or two: with all seven nearly everything would be refused for its specification.
        parts.append(chance.choice(choices) if chance.random() < 0.35 else "")
    return "".join(parts)


NUMBER_DIGITS_MAX = 4
"""A longer width or precision is refused unread, whatever it means."""
_TOKEN = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}:!]*)(?::(?P<specification>[^{}]*))?\}|[^{}]", re.DOTALL)


_HALF_A_CHARACTER = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What UTF-8 has no bytes for; the other surrogates stand for bytes that were no UTF-8."""


def allowed_output(template: str) -> str | None:
    """What the template gives, read token by token; None if it must be refused."""
    pieces = list(_outputs(template))
    output = "".join(piece for piece in pieces if piece is not None)
    has_no_form = "\0" in template or _HALF_A_CHARACTER.search(output)
    is_refused = None in pieces or (set("{}") & set(template) and has_no_form)
    return None if is_refused else output


def _outputs(template: str) -> Iterator[str | None]:
    place = 0
    while place < len(template):
        token = _TOKEN.match(template, place)
        if token is None:
            yield None
            return
        place = token.end()
        if token["name"] is not None:
            yield _put_in(token["name"], token["specification"] or "")
        else:
            yield token[0][:1]


def _put_in(name: str, specification: str) -> str | None:
    group, _, key = name.partition(".")
    value = VALUES.get(group, {}).get(key)
    if value is None:
        return None
    value = "true" if value is True else value
    behind_fill = re.sub(r"^.(?=[<>=^])", "", specification, flags=re.DOTALL)
    for dot, number in re.findall(r"(\.?)([0-9]+)", behind_fill):
        # A width may have a leading zero, which means: fill with zeros.
        digits = number if dot else number.removeprefix("0")
        if len(digits) > NUMBER_DIGITS_MAX or int(digits or "0") > FORMAT_WIDTH_MAX:
            return None
    if re.fullmatch(r"[<>=^]?[-+ z#0-9,_.sdbxXoeEfFgG%]*", behind_fill) is None:
        return None  # Python takes more: digits of other scripts, a NUL, `c` and `n`.
    try:
        return format(value, specification)
    except (ValueError, OverflowError):
        return None
