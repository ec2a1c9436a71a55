"""Conditions of elements: CEL (cel.dev) over what the pipeline knows, which must come to true or false."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from orchestra.errors import OrchestraError

NAMES = ("parameters", "results", "states", "matrix", "item", "run")
"""What an expression may name: the pipeline's parameters, results and states by element, and its own combination."""


class BadCondition(OrchestraError):
    """A condition that cannot be read, or whose evaluation failed."""

    def __init__(self, expression: str, cause: str) -> None:
        super().__init__(expression, cause)
        self.expression = expression
        self.cause = cause

    def __str__(self) -> str:
        return f"the condition `{self.expression}` {self.cause}"


class CelMissing(OrchestraError):
    """The library that reads conditions is not installed: a base install validates everything else."""

    def __str__(self) -> str:
        return "conditions need the package common-expression-language: install job-orchestra[server]"


class _Program(Protocol):
    def execute(self, context: dict[str, object] | None = ...) -> object: ...

    def variables(self) -> list[str]: ...


def check_condition(expression: str, sample: Mapping[str, object]) -> None:
    """Raises BadCondition for what can never be evaluated. `sample` has values of the right types for all that is known
    beforehand; what is not known, such as results, is left out, and then only the grammar and the names are checked."""
    program = _compiled(expression)
    bound_inside = set(_macro_names(expression))
    unknown = [name for name in program.variables() if name not in NAMES and name not in bound_inside]
    if unknown:
        raise BadCondition(expression, f"names the unknown `{unknown[0]}`: known are {', '.join(NAMES)}")
    if all(name in sample or name not in NAMES for name in program.variables()):
        is_fulfilled(expression, sample)


def is_fulfilled(expression: str, values: Mapping[str, object]) -> bool:
    """Whether the condition holds for these values; raises BadCondition, with the values that it names."""
    program = _compiled(expression)
    given = {name: values.get(name, {}) for name in NAMES}
    try:
        outcome = program.execute(given)
    except Exception as error:
        cause = f"cannot be evaluated: {_cause(error)}; values: {_named(program, given)}"
        raise BadCondition(expression, cause) from error
    if not isinstance(outcome, bool):
        cause = f"is {_shown(outcome)} and not true or false; values: {_named(program, given)}"
        raise BadCondition(expression, cause)
    return outcome


def _named(program: _Program, values: Mapping[str, object]) -> str:
    return _shown({name: value for name, value in values.items() if name in program.variables()})


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> _Program:
    # Loaded with the first condition: the package takes 14 MiB, and most pipelines have none.
    try:
        import cel
    except ImportError as error:
        raise CelMissing from error
    try:
        return cel.compile(expression)
    except Exception as error:
        raise BadCondition(expression, f"is no CEL: {_cause(error)}") from error


def _macro_names(expression: str) -> list[str]:
    """The names that `all`, `exists`, `filter` and `map` bind: they are listed like variables."""
    return re.findall(r"\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_][A-Za-z0-9_]*)", expression)


def _cause(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no {error.args[0]!r}"
    # The library explains at length; its first sentence says what it is.
    text = str(error).partition("ERROR: ")[2] or str(error)
    return text.splitlines()[0].partition(". ")[0].strip()[:300] if text else type(error).__name__


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:299] + "…"
