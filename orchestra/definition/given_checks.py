"""Checks what an element gives to its job against the parameters of the job, as far as that is known beforehand."""

import string
from collections.abc import Iterator, Mapping

from orchestra.definition.element_templates import template_faults_of
from orchestra.definition.faults import Fault
from orchestra.definition.parameters import value_fault
from orchestra.definition.problems import Path
from orchestra.definition.surroundings import Surroundings
from orchestra.definition.values import did_you_mean
from orchestra.elements import Element, MatrixValue
from orchestra.specification import JobSpecification, Parameter, ParameterType


def given_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    """What is wrong with the `with` of the element at this path."""
    wrong: set[str] = set()
    for name, value in element.parameters.items():
        if isinstance(value, str):
            found = list(template_faults_of(value, element, around, (*path, "with", name)))
            yield from found
            wrong.update(name for _ in found)
    job = around.job_of(element)
    if job is not None:
        values = {name: value for name, value in element.parameters.items() if name not in wrong}
        yield from value_faults(values, element, job, around.parameters, path)


def value_faults(
    values: Mapping[str, MatrixValue],
    element: Element,
    job: JobSpecification,
    own: Mapping[str, Parameter],
    path: Path,
) -> Iterator[Fault]:
    """What the job does not take of these values, and what it needs besides; `own` are the pipeline's parameters."""
    known = {parameter.name: parameter for parameter in job.parameters}
    for name, value in values.items():
        place = (*path, "with", name)
        parameter = known.get(name)
        if parameter is None:
            listed = f"known are {', '.join(known)}" if known else "the job has none"
            yield Fault(place, f"is no parameter of the job `{element.job}`", did_you_mean(name, known) or listed)
        elif parameter.type is ParameterType.SECRET:
            remedy = "a secret is passed on by giving the pipeline a secret parameter of the same name"
            yield Fault(place, f"is a secret of the job `{element.job}`", remedy)
        else:
            literal = plain_value(value)
            fault = None if literal is None else value_fault(parameter, literal)
            if fault is not None:
                yield Fault(place, fault, "correct the value")
    for parameter in job.parameters:
        if parameter.required and parameter.default is None and parameter.name not in element.parameters:
            yield from _missing(parameter, element, own, path)


def plain_value(value: MatrixValue) -> MatrixValue | None:
    """The value if it is known beforehand, with `{{` for a brace; None if a template is to be filled in."""
    if not isinstance(value, str) or ("{" not in value and "}" not in value):
        return value
    try:
        pieces = list(string.Formatter().parse(value))
    except ValueError:
        return None
    if any(name is not None for _, name, _, _ in pieces):
        return None
    return "".join(literal for literal, _, _, _ in pieces)


def _missing(parameter: Parameter, element: Element, own: Mapping[str, Parameter], path: Path) -> Iterator[Fault]:
    name = parameter.name
    if parameter.type is not ParameterType.SECRET:
        sentence = f"gives no value for the parameter `{name}`, which the job `{element.job}` requires"
        yield Fault((*path, "with"), sentence, f"add `with: {{ {name}: … }}`, or a default to the job")
    elif name not in own or own[name].type is not ParameterType.SECRET:
        sentence = f"needs the secret `{name}` for the job `{element.job}`, which the pipeline does not have"
        remedy = f"add `parameters: {{ {name}: {{ type: secret, required: true }} }}` to the pipeline"
        yield Fault((*path, "job"), sentence, remedy)
