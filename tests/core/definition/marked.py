"""Bodies of jobs with a mark `§` at the place where a mistake is expected to be told."""

from orchestra.definition.problems import Problem
from orchestra.definition.reader import examine_definition

MARK = "§"


def told(head: str, body: str) -> tuple[Problem, tuple[int, int]]:
    """The only problem of the definition with this body of its last job, and the place that is marked."""
    marked = head + "".join(f"    {line}\n" for line in body.splitlines())
    line, text = next((number, text) for number, text in enumerate(marked.splitlines(), 1) if MARK in text)
    (problem,) = examine_definition(marked.replace(MARK, ""), "orchestra.yaml").problems
    return problem, (line, text.index(MARK) + 1)
