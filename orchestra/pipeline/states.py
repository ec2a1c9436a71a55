"""The life of an element, what its rules ask of those before it, and what the elements make of the whole pipeline."""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from orchestra.elements import Element, Rule
from orchestra.lifecycle import RunState


class ElementState(StrEnum):
    """Where an element, or one run of its matrix or list, is in its life. The final ones are those of runs."""

    BLOCKED = "blocked"
    """Waits for elements before it, or until fewer run at a time."""
    WAITING = "waiting"
    """Waits for a person."""
    RUNNING = "running"
    """Its run is not over, whatever that one waits for."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    EXCEPTION = "exception"


OPEN_STATES = frozenset({ElementState.BLOCKED, ElementState.WAITING, ElementState.RUNNING})
_BAD = frozenset({ElementState.FAILED, ElementState.EXCEPTION})
_FINISHED = frozenset(ElementState) - OPEN_STATES - {ElementState.SKIPPED}

_STATES_OF_RULE: Mapping[Rule, frozenset[ElementState]] = {
    Rule.SUCCEEDED: frozenset({ElementState.SUCCEEDED}),
    Rule.FAILED: _BAD,
    Rule.FINISHED: _FINISHED,
    Rule.SKIPPED: frozenset({ElementState.SKIPPED}),
    Rule.ABORTED: frozenset({ElementState.ABORTED}),
    Rule.CANCELLED: frozenset({ElementState.CANCELLED}),
    Rule.EXCEPTION: frozenset({ElementState.EXCEPTION}),
}

_WORST_FIRST = (ElementState.EXCEPTION, ElementState.FAILED, ElementState.ABORTED, ElementState.CANCELLED)
"""What one of them is, all of them are together; if none is, then succeeded as soon as one succeeded."""

_PIPELINE_STATE: Mapping[ElementState, RunState] = {
    ElementState.EXCEPTION: RunState.EXCEPTION,
    ElementState.FAILED: RunState.FAILED,
    ElementState.ABORTED: RunState.FAILED,
    ElementState.CANCELLED: RunState.FAILED,
    ElementState.SUCCEEDED: RunState.SUCCEEDED,
    ElementState.SKIPPED: RunState.SUCCEEDED,
}
"""Of a pipeline that nobody has stopped: one that was is aborted. A cancelled or aborted element is a failure of it,
because somebody took away what it needed."""


def counted_as(state: ElementState, *, is_allowed: bool) -> ElementState:
    """What an end counts as for rules and for the whole: a failure that is allowed is a success."""
    return ElementState.SUCCEEDED if is_allowed and state in _BAD else state


def is_allowed(element: Element, state: ElementState, exit_code: int | None) -> bool:
    """Whether the element's job may fail like this."""
    if state not in _BAD:
        return False
    return element.allow_failure or (state is ElementState.FAILED and exit_code in element.allowed_exit_codes)


def holds(rules: Iterable[Rule], state: ElementState) -> bool:
    """Whether one of the rules accepts what an element before has come to."""
    return any(state in _STATES_OF_RULE[rule] for rule in rules)


def is_bad(state: ElementState) -> bool:
    """Whether it ends the others where `fail-fast` is said."""
    return state in _BAD


def together(states: Collection[ElementState]) -> ElementState:
    """What several ends are as one: the worst of them; none at all, or only skipped ones, is skipped."""
    for worst in _WORST_FIRST:
        if worst in states:
            return worst
    return ElementState.SUCCEEDED if ElementState.SUCCEEDED in states else ElementState.SKIPPED


def state_of_pipeline(states: Collection[ElementState], *, was_stopped: bool) -> RunState:
    """What a pipeline has come to, by what its elements count as."""
    return RunState.ABORTED if was_stopped else _PIPELINE_STATE[together(states)]
