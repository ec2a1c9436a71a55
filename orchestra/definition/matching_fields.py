"""Reads what a job asks of a worker: `worker: { os: linux, gpu: ">= 1", pool: { not: quarantine }, prefer: {…} }`."""

import math
import re
from collections.abc import Iterator

from orchestra.definition.values import Value, describe_node
from orchestra.specification import Matching, Operator, PropertyValue, Requirement

_COMPARISON = re.compile(r"(>=|<=|==|!=|=|>|<)\s*(.*)", re.DOTALL)


def read_matching(worker: Value | None, slots: Value | None) -> Matching:
    """The requirements and wishes of a job."""
    requirements: list[Requirement] = []
    prefer: list[Requirement] = []
    for name, value in ((worker.named("a mapping of properties") or {}) if worker else {}).items():
        if name == "prefer":
            wishes = value.named("a mapping of properties") or {}
            prefer.extend(found for wish, item in wishes.items() for found in _requirements(wish, item))
        else:
            requirements.extend(_requirements(name, value))
    count = slots.whole() if slots else None
    return Matching(requirements=tuple(requirements), prefer=tuple(prefer), slots=1 if count is None else count)


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
    fields = value.fields(("not",), hints={"prefer": "`prefer:` stands beside the properties, not below one"})
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
