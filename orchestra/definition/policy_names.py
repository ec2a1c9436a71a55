"""Templates of policies, such as `deploy-{parameters.env}`: what is wrong with them, and what they can come to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from orchestra.definition import bounds
from orchestra.definition.faults import Fault
from orchestra.definition.problems import Path
from orchestra.definition.templates import field_faults, names_in
from orchestra.definition.values import did_you_mean
from orchestra.demands import filled_in
from orchestra.formatter import BadTemplate, UnknownValue, format_argument
from orchestra.policies import LockDemand
from orchestra.specification import Parameter, ParameterType, PropertyValue

COMBINATIONS_MAX = 100
"""So many combinations of values are looked at."""
_SAMPLES: Mapping[ParameterType, PropertyValue] = {
    ParameterType.INTEGER: 1,
    # A number may be a whole one or not: a format must suit both.
    ParameterType.NUMBER: 1.5,
    ParameterType.BOOLEAN: True,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What one run takes of a lock."""

    count: int = 0
    places: tuple[int, ...] = ()
    """Which of its demands these are."""


def name_faults(template: str, parameters: Sequence[Parameter], path: Path) -> Iterator[Fault]:
    """What forbids to make a name of this template and the parameters of a run."""
    if not template.strip():
        yield Fault(path, "is empty", f"write `{path[-1]}: deploy`, or a template such as `deploy-{{parameters.env}}`")
        return
    if len(template) > bounds.POLICY_CHARACTERS_MAX or not template.isprintable():
        yield Fault(path, f"must be one line of 1 to {bounds.POLICY_CHARACTERS_MAX} characters")
        return
    known = {parameter.name: parameter for parameter in parameters}
    found = [*field_faults(template, lambda name: _value_faults(name, known))]
    for sentence, remedy in found:
        yield Fault(path, sentence, remedy)
    if not found:
        samples = {name: _SAMPLES.get(parameter.type, "x") for name, parameter in known.items()}
        try:
            format_argument(template, {"parameters": samples})
        except BadTemplate as error:
            yield Fault(path, f"cannot be filled in: {error.cause}", "write the parameter without a format")


def locks_taken(demands: Sequence[LockDemand], parameters: Sequence[Parameter]) -> Mapping[str, Taken]:
    """How much of each lock one run may take at most, as far as that is known: of the names that no free text is in."""
    known = {parameter.name: parameter for parameter in parameters}
    choices: dict[str, Sequence[PropertyValue]] = {}
    looked_at = []
    for index, lock in enumerate(demands):
        found = _choices_in(lock.name, known)
        if found is not None:
            looked_at.append((index, lock))
            choices.update(found)
    most: dict[str, Taken] = {}
    for values in islice(product(*choices.values()), COMBINATIONS_MAX):
        for name, taken in _taken_with(looked_at, dict(zip(choices, values, strict=True))).items():
            if name not in most or taken.count > most[name].count:
                most[name] = taken
    return most


def _taken_with(demands: Sequence[tuple[int, LockDemand]], values: Mapping[str, PropertyValue]) -> Mapping[str, Taken]:
    found: dict[str, Taken] = {}
    for index, lock in demands:
        name = filled_in(lock.name, values)
        before = found.get(name, Taken())
        found[name] = Taken(count=before.count + lock.count, places=(*before.places, index))
    return found


def _choices_in(template: str, known: Mapping[str, Parameter]) -> Mapping[str, Sequence[PropertyValue]] | None:
    """The values that each parameter of the template can have; None if one of them is free, or nothing to be named."""
    try:
        names = [name.removeprefix("parameters.") for name in names_in(template)]
        found = {name: _choices(known[name]) for name in names}
        filled_in(template, {name: options[0] for name, options in found.items()})
    except (ValueError, LookupError, BadTemplate, UnknownValue):
        return None
    return found


def _choices(parameter: Parameter) -> Sequence[PropertyValue]:
    if parameter.type is ParameterType.BOOLEAN:
        return (False, True)
    return parameter.options if parameter.type is ParameterType.CHOICE else ()


def _value_faults(name: str, known: Mapping[str, Parameter]) -> Iterator[tuple[str, str]]:
    group, dot, key = name.partition(".")
    if group != "parameters" or not dot:
        remedy = (
            f"did you mean {{parameters.{name}}}?" if name in known else "write {parameters.NAME}, or {{ for a brace"
        )
        yield f"names {{{name}}}, and when a run is made only its parameters are known", remedy
    elif key not in known:
        close = did_you_mean(key, known)
        listed = f"known parameters: {', '.join(known) or 'none'}"
        remedy = close.replace("`", "{parameters.", 1).replace("`", "}", 1) if close else listed
        yield f"names the unknown value {{{name}}}", remedy
    elif known[key].type is ParameterType.SECRET:
        yield f"names the secret {{{name}}}, and a name is shown to everybody", "name another parameter"
    elif not known[key].required and known[key].default is None:
        yield f"names {{{name}}}, which a run may lack", f"give the parameter `{key}` a default, or `required: true`"
