"""Does a worker have what a job asks for, and if not: which requirement excludes it, in words."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from orchestra.identifiers import Signature, WorkerId, WorkerName
from orchestra.specification import Matching, Operator, Placement, PropertyValue, Requirement, Wish

_SIZE = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*([kKMGTP]i?B?|B)?", re.ASCII)
_PREFIXES = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_ORDERINGS = {
    Operator.AT_LEAST: lambda left, right: left >= right,
    Operator.AT_MOST: lambda left, right: left <= right,
    Operator.ABOVE: lambda left, right: left > right,
    Operator.BELOW: lambda left, right: left < right,
}


NAME_PROPERTY = "name"
"""What every worker has without saying it: its name."""


def properties_of(worker: WorkerName | str, said: Mapping[str, PropertyValue]) -> dict[str, PropertyValue]:
    """What jobs may ask of a worker: what it said of itself, and its name, whatever it said of that."""
    return {**said, NAME_PROPERTY: worker}


def quantity(value: PropertyValue) -> float | None:
    """The number that a value stands for: 4, "4", "32GB" (10^9 each) or "32GiB" (2^30); None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        return None
    number, unit = float(match[1]), (match[2] or "").removesuffix("B")
    if not unit:
        return number
    base = 1024 if unit.endswith("i") else 1000
    return number * float(base ** _PREFIXES[unit[0].lower()])


def is_fulfilled(requirement: Requirement, properties: Mapping[str, PropertyValue]) -> bool:
    """Whether these properties are what the requirement asks. A property that is not there fulfils only `not`."""
    value = properties.get(requirement.name)
    match requirement.operator:
        case Operator.IN:
            return value is not None and any(_is_same(value, wanted) for wanted in requirement.values)
        case Operator.NOT_IN:
            return value is None or not any(_is_same(value, refused) for refused in requirement.values)
        case _:
            have = None if value is None else quantity(value)
            bound = quantity(requirement.values[0])
            return have is not None and bound is not None and _ORDERINGS[requirement.operator](have, bound)


def exclusion(matching: Matching, properties: Mapping[str, PropertyValue], *, slots: int | None = None) -> str | None:
    """Why a worker with these properties (and so many slots in all) can never run the job, or None if it can."""
    for requirement in matching.requirements:
        if not is_fulfilled(requirement, properties):
            return _in_words(requirement, properties.get(requirement.name))
    if slots is not None and matching.slots > slots:
        return f"it has {slots} slot{'' if slots == 1 else 's'}, the job needs {matching.slots}"
    return None


def favour(matching: Matching, properties: Mapping[str, PropertyValue]) -> int:
    """How welcome a worker is: the weights of what it has of `prefer`, less those of what it has of `avoid`."""
    liked = sum(wish.weight for wish in matching.prefer if is_fulfilled(wish, properties))
    return liked - sum(wish.weight for wish in matching.avoid if is_fulfilled(wish, properties))


@dataclass(frozen=True, kw_only=True, slots=True)
class RunHistory:
    """What was before a run, as far as it matters for where the run goes."""

    warm: WorkerId | None = None
    """Where its job last succeeded."""
    failed: frozenset[WorkerId] = frozenset()
    """Where earlier attempts of the run failed, if it shall not go there again."""


NO_HISTORY = RunHistory()
"""Of a run of which nothing matters."""


PIPELINE = Signature("pipeline")
"""Of runs that no worker takes: they make other runs."""


def signature_of(matching: Matching) -> Signature:
    """The same text for two jobs that ask the same of a worker, in whatever order they say it."""
    ordered = msgspec.structs.replace(
        matching,
        requirements=tuple(sorted(matching.requirements, key=_order)),
        prefer=tuple(sorted(matching.prefer, key=_order_of_wishes)),
        avoid=tuple(sorted(matching.avoid, key=_order_of_wishes)),
    )
    document = msgspec.json.encode(ordered, order="sorted")
    return Signature(hashlib.sha256(document).hexdigest()[:32])


def describe(requirement: Requirement) -> str:
    """The requirement as people say it: `os: linux or windows`, `gpu >= 1`, `pool: not quarantine`."""
    match requirement.operator:
        case Operator.IN:
            return f"{requirement.name}: {_any_of(requirement)}"
        case Operator.NOT_IN:
            return f"{requirement.name}: not {_any_of(requirement)}"
        case operator:
            return f"{requirement.name} {operator} {_text(requirement.values[0])}"


def describe_wishes(matching: Matching) -> Iterator[str]:
    """What decides between workers that all match, as people say it, in the order in which it is looked at."""
    if matching.sticky:
        yield "where the job last succeeded"
    if matching.prefer:
        yield f"rather {_weighed(matching.prefer)}"
    if matching.avoid:
        yield f"rather not {_weighed(matching.avoid)}"
    if matching.placement is Placement.PACK:
        yield "packed: the fewest free slots that still fit"


def _weighed(wishes: tuple[Wish, ...]) -> str:
    return ", ".join(describe(each) + (f" (weight {each.weight})" if each.weight != 1 else "") for each in wishes)


def _is_same(left: PropertyValue, right: PropertyValue) -> bool:
    # A property given on the command line is text, the definition has `gpu: 2`: both mean the same.
    if isinstance(left, str) or isinstance(right, str) or isinstance(left, bool) or isinstance(right, bool):
        return _text(left) == _text(right)
    return left == right


def _text(value: PropertyValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _any_of(requirement: Requirement) -> str:
    return " or ".join(_text(value) for value in requirement.values)


def _order(requirement: Requirement) -> tuple[str, str, str]:
    return requirement.name, requirement.operator, _any_of(requirement)


def _order_of_wishes(wish: Wish) -> tuple[str, str, str, int]:
    return *_order(wish), wish.weight


def _in_words(requirement: Requirement, value: PropertyValue | None) -> str:
    name = f"`{requirement.name}`"
    have = f"{name} is not set" if value is None else f"{name} is {_text(value)}"
    match requirement.operator:
        case Operator.IN:
            return f"{have}, needs {_any_of(requirement)}"
        case Operator.NOT_IN:
            return f"{have}, must not be"
        case operator:
            if value is not None and quantity(value) is None:
                have += ", which is no number"
            return f"{have}, needs {operator} {_text(requirement.values[0])}"
