"""Finds templates in arguments that can never be filled in: a worker would refuse them, but only at the run."""

import re
import string
from collections.abc import Callable, Collection, Iterator, Mapping

from orchestra.definition.values import did_you_mean
from orchestra.limits import FORMAT_WIDTH_MAX

RUN_NAMES = ("number", "attempt", "job", "project", "worker")
_FREE_GROUPS = ("environment", "results")
"""What is in them is known only on the worker."""
_LATER_GROUPS = ("element", "elements", "secrets")
_PIPELINE_GROUPS = ("matrix", "item")
"""Known to an element only: a job is the same whoever runs it."""
_NUMBERS = re.compile(r"\d+")
_WIDTH_DIGITS_MAX = len(str(FORMAT_WIDTH_MAX)) + 1
"""Not one fewer: a width may begin with the zero that fills it up."""


def template_faults(template: str, parameters: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with the templates of one argument of a command, as (sentence, repair)."""
    groups: Mapping[str, Collection[str]] = {"parameters": parameters, "run": RUN_NAMES}
    return field_faults(template, lambda name: _name_faults(name, groups))


def field_faults(template: str, name_faults: Callable[[str], Iterator[tuple[str, str]]]) -> Iterator[tuple[str, str]]:
    """What is wrong with the form of a template, and what somebody says of each name in it."""
    if "{" not in template and "}" not in template:
        return
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        yield f"holds a brace that is no template ({str(error).lower()})", "write {{ or }} for a literal brace"
        return
    for _, name, specification, conversion in pieces:
        if name is None:
            continue
        if conversion:
            yield f"holds the conversion !{conversion}, which is not allowed", f"write {{{name}}}"
        # The length is looked at first: Python refuses to read a number of thousands of digits.
        widths = _NUMBERS.findall(specification or "")
        if any(len(number) > _WIDTH_DIGITS_MAX or int(number) > FORMAT_WIDTH_MAX for number in widths):
            yield f"pads a value to more than {FORMAT_WIDTH_MAX} characters", "write a smaller width"
        if "{" in (specification or ""):
            yield f"holds a template within the template {{{name}}}", "write the width as a number"
        yield from name_faults(name)


def names_in(template: str) -> tuple[str, ...]:
    """The names that a template without a fault has in it, each once: `parameters.env`."""
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    return tuple(dict.fromkeys(names))


def _name_faults(name: str, groups: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    group, dot, key = name.partition(".")
    if group in _PIPELINE_GROUPS:
        parameter = key or group
        remedy = f'give the job a parameter, and the element `with: {{ {parameter}: "{{{name}}}" }}`'
        yield f"names {{{name}}}, which only an element of a pipeline knows", remedy
    elif group in _LATER_GROUPS:
        yield f"names {{{name}}}, which is not supported yet by this version", "remove it"
    elif group in _FREE_GROUPS and key:
        return
    elif group not in groups or not dot:
        known = [f"{word}.{each}" for word, names in groups.items() for each in names]
        meant = [full for full in known if full.partition(".")[2] == group][:1]
        remedy = f"did you mean {{{meant[0]}}}?" if meant else "write {parameters.NAME}, {run.number} or {{ for a brace"
        yield f"names the unknown value {{{name}}}", remedy
    elif key not in groups[group]:
        close = did_you_mean(key, groups[group])
        listed = ", ".join(groups[group]) or "none"
        remedy = close.replace("`", "{" + group + ".", 1).replace("`", "}", 1) if close else f"known {group}: {listed}"
        yield f"names the unknown value {{{name}}}", remedy
