"""Finds templates of elements that can never be filled in: what they name is unknown, or comes too late."""

from collections.abc import Collection, Iterator

from orchestra.definition.faults import Fault
from orchestra.definition.problems import Path
from orchestra.definition.surroundings import Surroundings
from orchestra.definition.templates import field_faults
from orchestra.definition.values import did_you_mean
from orchestra.elements import Element
from orchestra.limits import ARGUMENT_BYTES_MAX
from orchestra.specification import ParameterType

_GROUPS = ("parameters", "results", "matrix", "item", "run")
_RUN_NAMES = ("number",)
_REMEDY = "write {parameters.NAME}, {results.ELEMENT.NAME}, {run.number} or {{ for a brace"
_LIST_REMEDY = "write `for-each: results.ELEMENT.NAME`, with an element before this one"


def template_faults_of(template: str, element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    """What is wrong with one text of an element."""
    if "\0" in template or len(template.encode(errors="surrogatepass")) >= ARGUMENT_BYTES_MAX:
        yield Fault(path, f"must be shorter than {ARGUMENT_BYTES_MAX >> 10} KiB, without a NUL character")
    for sentence, remedy in field_faults(template, lambda name: _name_faults(name, element, around)):
        yield Fault(path, sentence, remedy)


def list_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    """What is wrong with `for-each`, a path to a result of an element before."""
    group, _, rest = element.for_each.partition(".")
    if group != "results" or "." not in rest or "{" in rest:
        sentence = f'must be results.ELEMENT.NAME, got "{element.for_each[:80]}"'
        yield Fault(path, sentence, _LIST_REMEDY)
        return
    for sentence, remedy in result_faults(rest, element, around):
        yield Fault(path, sentence, remedy.replace("{", "`").replace("}", "`"))


def result_faults(rest: str, element: Element, around: Surroundings) -> Iterator[tuple[str, str]]:
    """What is wrong with `plan.targets` of `results.plan.targets`."""
    name = around.element_in(rest)
    if name is None:
        first = rest.partition(".")[0]
        if first in around.elements:
            yield f"names no result of `{first}`", f"write {{results.{first}.NAME}}"
            return
        known = around.before(element)
        remedy = did_you_mean(first, known) or f"known are {', '.join(known[:10]) or 'none: nothing is before it'}"
        yield f"names the results of the unknown element `{first}`", remedy
    elif not around.is_before(name, element):
        own = "itself" if name == element.name else f"`{name}`, which is not over before it begins"
        remedy = f"add `after: {name}`" if name != element.name and name not in around.closing else "remove it"
        yield f"names the results of {own}", remedy


def _name_faults(full: str, element: Element, around: Surroundings) -> Iterator[tuple[str, str]]:
    group, dot, name = full.partition(".")
    if group == "item":
        if not element.for_each:
            yield f"names {{{full}}} without `for-each`", "add `for-each: results.ELEMENT.NAME`, or remove it"
        elif dot and not name:
            yield f"names the unknown value {{{full}}}", "write {item}, or {item.NAME}"
    elif group not in _GROUPS or not name:
        yield from _unknown(full, around)
    elif group == "parameters":
        yield from _parameter_faults(name, around)
    elif group == "results":
        yield from result_faults(name, element, around)
    elif group == "matrix":
        axes = element.matrix.axes if element.matrix else {}
        if not axes:
            yield f"names {{{full}}} without a matrix", "give the element a `matrix`, or remove it"
        elif name not in axes:
            yield f"names the unknown value {{{full}}}", _near(name, "matrix", axes)
    elif name not in _RUN_NAMES:
        yield f"names the unknown value {{{full}}}", "write {run.number}, the number of the pipeline's run"


def _parameter_faults(name: str, around: Surroundings) -> Iterator[tuple[str, str]]:
    parameter = around.parameters.get(name)
    if parameter is None:
        yield f"names the unknown value {{parameters.{name}}}", _near(name, "parameters", around.parameters)
    elif parameter.type is ParameterType.SECRET:
        yield f"names the secret `{name}`, which stands in no text", "give the job a secret parameter of the same name"


def _unknown(full: str, around: Surroundings) -> Iterator[tuple[str, str]]:
    bare = full.rpartition(".")[2]
    remedy = f"did you mean {{parameters.{bare}}}?" if bare in around.parameters else _REMEDY
    yield f"names the unknown value {{{full}}}", remedy


def _near(name: str, group: str, known: Collection[str]) -> str:
    close = did_you_mean(name, known)
    if close:
        return close.replace("`", "{" + group + ".", 1).replace("`", "}", 1)
    words = "its axes are" if group == "matrix" else f"known {group}:"
    return f"{words} {', '.join(known) or 'none'}"
