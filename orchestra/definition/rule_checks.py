"""Finds rules of elements that can never hold, whatever the runs come to."""

from collections.abc import Iterator, Mapping

from orchestra.definition.surroundings import Surroundings
from orchestra.elements import Element, Rule
from orchestra.pipeline.states import OPEN_STATES, ElementState, holds

_ENDS = frozenset(ElementState) - OPEN_STATES
_NOT_BEGUN = frozenset({ElementState.SKIPPED, ElementState.CANCELLED})
"""Of every other end an element's own rules have held."""
_STEPS_MAX = 200_000
"""A pipeline may be written so that this takes for ever: what is not found here is skipped when it runs."""

States = frozenset[ElementState]


def impossible_rules(around: Surroundings) -> Iterator[tuple[str, str, str]]:
    """(element, element before it, why its rules for that one can never hold); the order has no circle."""
    budget = [_STEPS_MAX]
    accepted = {rules: _accepted(rules) for element in around.elements.values() for rules in element.after.values()}
    is_plain = all(ElementState.SUCCEEDED in states for states in accepted.values())
    for element in around.elements.values():
        single = list(_impossible_alone(element, around, accepted))
        yield from single
        # If every element may have succeeded, then all of them can, and no two rules contradict each other.
        if not single and not is_plain and len(element.after) > 1:
            yield from _contradiction(element, around, accepted, budget)


def _impossible_alone(
    element: Element, around: Surroundings, accepted: Mapping[tuple[Rule, ...], States]
) -> Iterator[tuple[str, str, str]]:
    for name, rules in element.after.items():
        before = around.elements.get(name)
        if before is None or not rules or accepted[rules] & _possible(before):
            continue
        if before.approval is not None:
            ends = "an approval is given, rejected (failed), cancelled or skipped"
        else:
            ends = "its failure is allowed and counts as succeeded"
        yield element.name, name, f"can never be {_words(element, name)}: {ends}"


def _contradiction(
    element: Element, around: Surroundings, accepted: Mapping[tuple[Rule, ...], States], budget: list[int]
) -> Iterator[tuple[str, str, str]]:
    """Follows what must have been: an element that succeeded has begun, so its own rules have held."""
    wanted: dict[str, States] = {}
    cause: dict[str, Element] = {}
    followed: set[str] = set()
    open_elements = [(element, "")]
    while open_elements and budget[0] > 0:
        current, through = open_elements.pop()
        for name, rules in current.after.items():
            budget[0] -= 1
            before = around.elements.get(name)
            if before is None:
                continue
            states = wanted.get(name, _possible(before)) & accepted[rules]
            if not states:
                yield _told(element, name, current, through, cause.get(name, current))
                return
            wanted[name] = states
            cause.setdefault(name, current)
            if not states & _NOT_BEGUN and name not in followed:
                followed.add(name)
                open_elements.append((before, through or name))


def _told(element: Element, name: str, current: Element, through: str, other: Element) -> tuple[str, str, str]:
    sentence = f"contradicts another of its rules: {current.name} begins only if {name} is {_words(current, name)}"
    if other is not element:
        sentence += f", and {other.name} only if it is {_words(other, name)}"
    # Pointed at is a rule that the element has itself.
    return element.name, name if name in element.after else through, sentence


def _words(element: Element, name: str) -> str:
    return " or ".join(element.after[name])


def _accepted(rules: tuple[Rule, ...]) -> States:
    return frozenset(state for state in _ENDS if holds(rules, state))


def _possible(element: Element) -> States:
    """What it may count as for those after it."""
    if element.approval is not None:
        can_break = bool(element.condition) or "{" in element.approval.message
        broken = frozenset({ElementState.EXCEPTION}) if can_break else frozenset()
        return _ENDS - {ElementState.ABORTED, ElementState.EXCEPTION} | broken
    if element.allow_failure:
        return _ENDS - {ElementState.FAILED, ElementState.EXCEPTION}
    return _ENDS
