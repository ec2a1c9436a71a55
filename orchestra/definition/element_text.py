"""Elements of a pipeline in words: what a reader of a page, or of a terminal, learns of each in one line."""

from collections.abc import Iterator, Sequence

from orchestra.durations import format_duration
from orchestra.elements import Approval, Element, Pipeline, Rule, Verdict

_ENDS = {Verdict.APPROVE: "then it counts as given", Verdict.REJECT: "then it counts as rejected"}


def describe_elements(pipeline: Pipeline) -> Sequence[tuple[str, str]]:
    """Each element's name with its line, those of `finally` last."""
    ordinary = [(element.name, describe_element(element)) for element in pipeline.elements]
    closing = [(element.name, f"{describe_element(element)}; when all others are over") for element in pipeline.closing]
    return [*ordinary, *closing]


def describe_element(element: Element) -> str:
    """`runs build for each os, python, 2 at a time; after plan; if parameters.env == "production"`."""
    parts = [_asked(element.approval) if element.approval else _run(element)]
    if element.after:
        parts.append(f"after {', '.join(_before(name, rules) for name, rules in element.after.items())}")
    if element.condition:
        parts.append(f"if {' '.join(element.condition.split())}")
    parts += _allowed(element)
    return "; ".join(parts)


def _run(element: Element) -> str:
    words = f"runs {element.job}"
    if element.matrix is not None:
        words += f" for each {', '.join(element.matrix.axes)}"
    elif element.for_each:
        words += f" for each of {element.for_each}"
    if element.same_worker_as:
        words += f" on the worker of {element.same_worker_as}"
    if element.max_parallel is not None:
        words += f", {element.max_parallel} at a time"
    return f"{words}, until one fails" if element.fail_fast else words


def _asked(approval: Approval) -> str:
    words = f"asks {', '.join(approval.by) or 'everybody who may run the pipeline'}"
    if approval.timeout_seconds is None:
        return words
    return f"{words} for {format_duration(approval.timeout_seconds)} at most, {_ENDS[approval.on_timeout]}"


def _before(name: str, rules: Sequence[Rule]) -> str:
    return name if tuple(rules) == (Rule.SUCCEEDED,) else f"{name} ({' or '.join(rules)})"


def _allowed(element: Element) -> Iterator[str]:
    if element.allow_failure:
        yield "may fail"
    elif element.allowed_exit_codes:
        yield f"may fail with exit code {' or '.join(map(str, element.allowed_exit_codes))}"
