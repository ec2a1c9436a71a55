"""What the declaration of a job's parameters must hold."""

import re
from collections.abc import Iterator, Sequence

from orchestra.definition import bounds
from orchestra.definition.faults import Fault
from orchestra.definition.parameters import value_fault
from orchestra.definition.patterns import BadPattern, PatternEngineMissing, check_pattern
from orchestra.definition.problems import Path
from orchestra.specification import Parameter, ParameterType

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_NUMERIC = frozenset({ParameterType.INTEGER, ParameterType.NUMBER, ParameterType.DURATION})
_TEXTUAL = frozenset({ParameterType.STRING, ParameterType.TEXT})


def parameter_faults(parameters: Sequence[Parameter], job: Path) -> Iterator[Fault]:
    """Everything that forbids to use the parameters of the job at this path."""
    if len(parameters) > bounds.PARAMETERS_MAX:
        yield Fault((*job, "parameters"), f"are more than {bounds.PARAMETERS_MAX}", "remove some")
    variables: dict[str, str] = {}
    for parameter in parameters:
        path = (*job, "parameters", parameter.name)
        if not _NAME.fullmatch(parameter.name):
            yield Fault(path, "is no parameter name: use 1 to 64 of a-z 0-9 _ - with a letter first", "rename it")
        variable = parameter.name.upper().replace("-", "_")
        if variable in variables:
            sentence = f"becomes the variable PARAM_{variable}, as `{variables[variable]}` does"
            yield Fault(path, sentence, "rename one of the two")
        variables[variable] = parameter.name
        yield from _limit_faults(parameter, path)
        yield from _option_faults(parameter, path)
        yield from _value_faults(parameter, path)


def _limit_faults(parameter: Parameter, path: Path) -> Iterator[Fault]:
    for key, limit in (("min", parameter.minimum), ("max", parameter.maximum)):
        if limit is not None and parameter.type not in _NUMERIC:
            yield Fault((*path, key), f"does not fit a parameter of type {parameter.type}", "remove it")
    if parameter.minimum is not None and parameter.maximum is not None and parameter.minimum > parameter.maximum:
        yield Fault((*path, "min"), "is above max", "exchange the two")


def _option_faults(parameter: Parameter, path: Path) -> Iterator[Fault]:
    if parameter.type is ParameterType.CHOICE and not parameter.options:
        yield Fault(path, "is a choice without options", "add `options: [staging, production]`")
    if parameter.options and parameter.type is not ParameterType.CHOICE:
        yield Fault((*path, "options"), f"do not fit a parameter of type {parameter.type}", "write `type: choice`")
    if len(set(parameter.options)) != len(parameter.options):
        yield Fault((*path, "options"), "name a value twice", "remove one of the two")
    if parameter.pattern is None:
        return
    if parameter.type not in _TEXTUAL:
        yield Fault((*path, "pattern"), f"does not fit a parameter of type {parameter.type}", "remove it")
    try:
        check_pattern(parameter.pattern)
    except PatternEngineMissing:
        return
    except BadPattern as error:
        yield Fault(
            (*path, "pattern"), f"is no regular expression of RE2: {error.cause}", "correct it, and quote it with '…'"
        )


def _value_faults(parameter: Parameter, path: Path) -> Iterator[Fault]:
    if parameter.default is None:
        return
    place = (*path, "default")
    if parameter.type is ParameterType.SECRET:
        yield Fault(place, "would write a secret into the definition", "remove it, and give it with each run")
        return
    fault = value_fault(parameter, parameter.default)
    if fault is not None:
        yield Fault(place, fault, "correct the default")
