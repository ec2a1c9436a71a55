"""Reads what a job asks of a worker: `worker: { os: linux, gpu: ">= 1", prefer: { disk: ssd }, sticky: true }`."""

import math
import re
from collections.abc import Iterator

from orchestra.definition.values import Value, describe_node
from orchestra.specification import Matching, Operator, Placement, PropertyValue, Requirement, Wish

OWN_KEYS = ("prefer", "avoid", "placement", "sticky")
"""Keys of `worker` that name no property."""
SAME_AS = "same-as"
_COMPARISON = re.compile(r"(>=|<=|==|!=|=|>|<)\s*(.*)", re.DOTALL)
_WITHOUT_WEIGHT = {
    "prefer": "`prefer:` stands beside the properties, not below one",
    "avoid": "`avoid:` stands beside the properties, not below one",
    "weight": "a requirement has no weight; write it below `prefer` or `avoid`",
    "value": "write the value itself; only a wish, below `prefer` or `avoid`, has a weight beside it",
}


def read_matching(worker: Value | None, slots: Value | None) -> Matching:
    """The requirements and wishes of a job."""
    named = (worker.named("a mapping of properties") or {}) if worker else {}
    if SAME_AS in named:
        named[SAME_AS].refuse(
            "names an element, and only an element of a pipeline can", "write it into the `worker` of an element"
        )
    requirements = [
        found
        for name, value in named.items()
        if name not in OWN_KEYS and name != SAME_AS
        for found in _requirements(name, value)
    ]
    count = slots.whole() if slots else None
    return Matching(
        requirements=tuple(requirements),
        prefer=tuple(_wishes(named.get("prefer"))),
        avoid=tuple(_wishes(named.get("avoid"))),
        placement=_placement(named.get("placement")),
        sticky="sticky" in named and named["sticky"].truth() is True,
        slots=1 if count is None else count,
    )


def _wishes(value: Value | None) -> Iterator[Wish]:
    for name, item in ((value.named("a mapping of properties") or {}) if value else {}).items():
        weight, found = _weighed(name, item)
        for each in found:
            yield Wish(name=each.name, operator=each.operator, values=each.values, weight=weight)


def _weighed(name: str, item: Value) -> tuple[int, list[Requirement]]:
    """A wish is written as a requirement is, or with its weight: `zone: { value: [a, b], weight: 5 }`."""
    if item.scalar is not None or item.is_list:
        return 1, [*_requirements(name, item)]
    fields = item.fields(("value", "not", "weight"))
    if fields is None:
        return 1, []
    wanted, refused, weight = (fields.get(key) for key in ("value", "not", "weight"))
    if "value" in fields.values and "not" in fields.values:
        item.refuse("has both `value` and `not`", "keep one of the two")
    elif "value" not in fields.values and "not" not in fields.values:
        item.refuse("says no value", f"write `{name}: {{ value: north, weight: 5 }}`")
    count = weight.whole() if weight else None
    if wanted is not None and not (wanted.scalar is not None or wanted.is_list):
        wanted.refuse("must be a value, or a list of values", f"write `{name}: {{ not: …, weight: 5 }}` for any other")
        wanted = None
    asked = [*_requirements(name, wanted)] if wanted else []
    against = [*_any_of(name, Operator.NOT_IN, refused.one_or_more())] if refused else []
    return 1 if count is None else count, [*asked, *against]


def _placement(value: Value | None) -> Placement:
    word = value.choice([str(each) for each in Placement]) if value else None
    return Placement.SPREAD if word is None else Placement(word)


def _requirements(name: str, value: Value) -> Iterator[Requirement]:
    if value.scalar is not None:
        if isinstance(value.scalar.value, str) and (match := _COMPARISON.match(value.scalar.value.strip())):
            yield from _comparison(name, value, match[1], match[2].strip())
        else:
            yield from _any_of(name, Operator.IN, [value])
        return
    if value.is_list:
        yield from _any_of(name, Operator.IN, value.items() or [])
        return
    fields = value.fields(("not",), hints=_WITHOUT_WEIGHT)
    refused = fields.get("not") if fields else None
    if refused is not None:
        yield from _any_of(name, Operator.NOT_IN, refused.one_or_more())


def _comparison(name: str, value: Value, sign: str, bound: str) -> Iterator[Requirement]:
    match sign:
        case "=" | "==":
            value.refuse(f'compares with "{sign}"', f"write `{name}: {bound or 'linux'}`")
        case "!=":
            value.refuse('compares with "!="', f"write `{name}: {{ not: {bound or 'windows'} }}`")
        case _:
            yield Requirement(name=name, operator=Operator(sign), values=(bound,))


def _any_of(name: str, operator: Operator, values: list[Value]) -> Iterator[Requirement]:
    wanted: list[PropertyValue] = []
    for value in values:
        plain = value.scalar.value if value.scalar else None
        if plain is None:
            value.text()
            continue
        if isinstance(plain, float) and not math.isfinite(plain):
            # JSON has no such number: what is stored could not be read again.
            value.refuse(f"must be a text, a finite number or a truth value, got {describe_node(value.node)}")
        wanted.append(plain)
    yield Requirement(name=name, operator=operator, values=tuple(wanted))
