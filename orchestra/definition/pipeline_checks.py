"""What a pipeline must hold as a whole: its elements and their order; it runs nothing by itself."""

import re
from collections.abc import Iterator, Mapping, Sequence

from orchestra.definition.condition_checks import parameters_of_condition
from orchestra.definition.element_checks import count_faults, element_faults
from orchestra.definition.faults import Fault
from orchestra.definition.matrix_checks import matrix_hints
from orchestra.definition.problems import Path
from orchestra.definition.rule_checks import impossible_rules
from orchestra.definition.surroundings import Surroundings
from orchestra.definition.values import did_you_mean
from orchestra.elements import Element, MatrixValue, Pipeline
from orchestra.errors import BadName
from orchestra.identifiers import checked_name
from orchestra.limits import ELEMENTS_MAX
from orchestra.pipeline.conditions import CelMissing, check_condition
from orchestra.specification import Execution, JobSpecification, Matching, RetryPolicy

_AFTER_NAMES_SHOWN_MAX = 20
_CIRCLE_NAMES_SHOWN_MAX = 20
_PARAMETER = re.compile(r"(?<!\{)\{parameters\.([^{}:!]+)")


def pipeline_faults(
    specification: JobSpecification, path: Path, *, project: str, jobs: Mapping[str, JobSpecification]
) -> Iterator[Fault]:
    """Everything that forbids to use the pipeline of the job at this path; `jobs` are those of the same definition."""
    pipeline = specification.pipeline
    if pipeline is None:
        return
    yield from _stranger_faults(specification, path)
    yield from count_faults(pipeline.max_parallel, (*path, "max-parallel"))
    if not pipeline.elements:
        yield Fault((*path, "elements"), "are none", "add one such as `build: {}`, which runs the job `build`")
    if len(pipeline.elements) + len(pipeline.closing) > ELEMENTS_MAX:
        sentence = f"are more than {ELEMENTS_MAX:,} together with those of `finally`"
        yield Fault((*path, "elements"), sentence, "let elements run pipelines, or write a matrix")
        return
    yield from _name_faults(pipeline, path)
    around = Surroundings(project=project, jobs=jobs, parameters=specification.parameters, pipeline=pipeline)
    for element, place in element_places(pipeline, path):
        yield from _after_faults(element, around, (*place, "after"))
        yield from element_faults(element, around, place)
    if around.circle:
        yield from _circle_fault(around, path)
    else:
        for name, before, sentence in impossible_rules(around):
            place = (*_place_of(name, around, path), "after", before)
            yield Fault(place, sentence, "correct the rules, or remove the element")


def element_places(pipeline: Pipeline, path: Path) -> Iterator[tuple[Element, Path]]:
    """Each element with its place in the words of the file."""
    for key, elements in (("elements", pipeline.elements), ("finally", pipeline.closing)):
        for element in elements:
            yield element, (*path, key, element.name)


def pipeline_hints(job: JobSpecification, path: Path) -> Iterator[Fault]:
    """What is allowed, but does not do what it seems to; and what cannot be checked here."""
    if job.pipeline is None:
        return
    absent = {each.name for each in job.parameters if not each.required and each.default is None}
    for element, place in element_places(job.pipeline, path):
        if element.matrix is not None:
            yield from matrix_hints(element.matrix, (*place, "matrix"))
        if element.condition and (cause := _unchecked()):
            yield Fault((*place, "if"), f"is not checked here: {cause}")
        for key, named in _parameters_named(element):
            for name in sorted(named & absent):
                # Each is told once, at the first place that needs it.
                absent.discard(name)
                sentence = f"names the parameter `{name}`, which may be missing: then this element could not begin"
                yield Fault((*place, *key), sentence, f"give `{name}` a default, or `required: true`")


def _parameters_named(element: Element) -> Iterator[tuple[Path, frozenset[str]]]:
    """The parameters of the pipeline that the texts of an element need, by the place of the text."""
    yield ("if",), parameters_of_condition(element.condition)
    texts: list[tuple[Path, MatrixValue]] = [
        *((("with", name), value) for name, value in element.parameters.items()),
        *((("worker", name), value) for name, value in element.worker.items()),
        (("approval", "message"), element.approval.message if element.approval else ""),
    ]
    for key, text in texts:
        if isinstance(text, str):
            yield key, frozenset(_PARAMETER.findall(text))


def _unchecked() -> str:
    try:
        check_condition("true", {})
    except CelMissing as missing:
        return str(missing)
    return ""


def _stranger_faults(specification: JobSpecification, path: Path) -> Iterator[Fault]:
    """A file is told of each key when it is read; this is for what comes from a program."""
    wanted = Execution(steps=(), timeout_seconds=specification.execution.timeout_seconds)
    for key, is_given in (
        ("steps", specification.execution != wanted),
        ("worker", specification.matching != Matching()),
        ("retry", specification.retry != RetryPolicy()),
        ("wrapped", specification.wrapped),
    ):
        if is_given:
            sentence = "means nothing here: a pipeline runs nothing by itself"
            yield Fault((*path, key), sentence, "give it to the jobs of its elements")


def _name_faults(pipeline: Pipeline, path: Path) -> Iterator[Fault]:
    seen: set[str] = set()
    for element, place in element_places(pipeline, path):
        try:
            checked_name("element", element.name)
        except BadName:
            plain = re.sub(r"[^a-z0-9._-]+", "-", element.name.lower()).strip("._-")[:64] or "my-element"
            sentence = "is no element name: use 1 to 64 of a-z 0-9 . _ - with a letter or digit first"
            yield Fault(place, sentence, f"write `{plain}`")
        if element.name in seen:
            yield Fault(place, "is there twice", "rename one of them")
        seen.add(element.name)


def _after_faults(element: Element, around: Surroundings, path: Path) -> Iterator[Fault]:
    is_closing = element.name in around.closing
    for name, rules in element.after.items():
        place = (*path, name)
        if name not in around.elements:
            known = [
                each for each in around.elements if each != element.name and (each in around.closing) == is_closing
            ]
            yield Fault(place, "names no element", did_you_mean(name, known) or f"known are {_listed(known)}")
        elif is_closing and name not in around.closing:
            sentence = "names an ordinary element: those of `finally` begin when all ordinary ones are over"
            yield Fault(place, sentence, "remove it; an `if` over `states` can ask how it ended")
        elif not is_closing and name in around.closing:
            sentence = "names an element of `finally`, which begins when all ordinary ones are over"
            yield Fault(place, sentence, "remove it, or move this element to `finally`")
        if not rules:
            yield Fault(place, "names no rule", f"write `{name}: succeeded`")


def _circle_fault(around: Surroundings, path: Path) -> Iterator[Fault]:
    # It is found from each element to the one that it waits for; people read it as it would run.
    shown = " → ".join(_shortened([*reversed(around.circle)]))
    first, waits_for = around.circle[:2]
    place = (*_place_of(first, around, path), "after", waits_for)
    yield Fault(place, f"makes a circle, in which nothing could begin: {shown}", "remove one of its `after`")


def _place_of(name: str, around: Surroundings, path: Path) -> Path:
    return (*path, "finally" if name in around.closing else "elements", name)


def _shortened(path: list[str]) -> list[str]:
    """A circle of thousands by its beginning and its end."""
    left_out = len(path) - _CIRCLE_NAMES_SHOWN_MAX
    if left_out <= 0:
        return path
    half = _CIRCLE_NAMES_SHOWN_MAX // 2
    return [*path[:half], f"({left_out:,} more)", *path[-half:]]


def _listed(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _AFTER_NAMES_SHOWN_MAX else ""
    return ", ".join(names[:_AFTER_NAMES_SHOWN_MAX]) + more if names else "none"
