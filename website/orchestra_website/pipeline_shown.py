"""A pipeline's elements as tables show them: counted by state, chosen by state or name, a bounded part at a time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestra.pipeline.states import ElementState
from orchestra.queries.elements import ElementView, InstanceView
from orchestra.specification import JobSpecification

ELEMENTS_SHOWN_MAX = 300
"""Rows of one page."""
INSTANCES_SHOWN_MAX = 50
"""Of the runs of one matrix or list, in the table of all elements."""
INSTANCES_OF_ONE_MAX = 400
"""Where only one element is shown, a part at a time."""
_TELLING_FIRST = (
    ElementState.EXCEPTION,
    ElementState.FAILED,
    ElementState.ABORTED,
    ElementState.WAITING,
    ElementState.RUNNING,
    ElementState.BLOCKED,
    ElementState.CANCELLED,
    ElementState.SKIPPED,
    ElementState.SUCCEEDED,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementRow:
    """One element in the table."""

    number: int
    """Its place in the definition, from 1."""
    element: ElementView
    condition: str
    """CEL, as the definition has it."""
    instances: tuple[InstanceView, ...]
    """The most telling first, if there are too many of them."""
    reused_from: int | None
    """The pipeline whose outcome is used again."""

    @property
    def is_folded(self) -> bool:
        """Whether it has several runs."""
        return len(self.element.instances) > 1 or any(each.key for each in self.element.instances)

    @property
    def left_out(self) -> int:
        """How many of its runs are not shown."""
        return len(self.element.instances) - len(self.instances)

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many of its runs are in which state, the most telling first."""
        return counts_of(self.element.instances)

    @property
    def begun_at(self) -> datetime | None:
        """When its first run started, or a person was asked."""
        return begun_at(self.element)

    @property
    def ended_at(self) -> datetime | None:
        """When its last run ended; None if one goes on."""
        return ended_at(self.element)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownElements:
    """The part of the elements that a page shows."""

    rows: tuple[ElementRow, ...]
    counts: tuple[tuple[str, int], ...]
    total: int
    state: str
    """Only those that are in it; empty: all."""
    name: str
    """Only this one; empty: all."""
    first: int
    """The place of the first one shown among those that were chosen (elements, or runs of the only one), from 1."""
    shown: int
    chosen: int
    at_a_time: int

    @property
    def earlier(self) -> int | None:
        """Where the part before begins."""
        return max(1, self.first - self.at_a_time) if self.first > 1 else None

    @property
    def later(self) -> int | None:
        """Where the part behind begins."""
        behind = self.first + self.shown
        return behind if self.shown and behind <= self.chosen else None

    @property
    def asked(self) -> dict[str, str]:
        """The query that keeps the choice on the other parts."""
        return {name: text for name, text in (("state", self.state), ("element", self.name)) if text}


def begun_at(element: ElementView) -> datetime | None:
    """When the first run of an element started, or a person was asked; None if neither has."""
    if element.approval is not None:
        return element.approval.asked_at
    return min((each.started_at for each in element.instances if each.started_at), default=None)


def ended_at(element: ElementView) -> datetime | None:
    """When the last run of an element ended, or a person answered; None if it goes on."""
    if element.approval is not None:
        return element.approval.decided_at
    ends = [each.ended_at for each in element.instances]
    return None if None in ends else max((end for end in ends if end), default=None)


def counts_of(found: Sequence[ElementView] | Sequence[InstanceView]) -> tuple[tuple[str, int], ...]:
    """How many are in which state, the most telling first."""
    counted = Counter(each.state for each in found)
    return tuple((str(state), counted[state]) for state in _TELLING_FIRST if counted[state])


def shown_elements(
    view: Sequence[ElementView],
    specification: JobSpecification,
    *,
    state: str = "",
    name: str = "",
    first: int = 1,
    retry_of: int | None = None,
) -> ShownElements:
    """The rows for what was asked."""
    conditions = _conditions(specification)
    chosen = [
        (number, each)
        for number, each in enumerate(view, start=1)
        if (not state or each.state == state) and (not name or each.name == name)
    ]
    begin = 0 if name else first - 1
    rows = tuple(
        ElementRow(
            number=number,
            element=each,
            condition=conditions.get(each.name, ""),
            instances=_part_of(each.instances, first) if name else _telling(each.instances),
            reused_from=retry_of if each.reason == f"done in #{retry_of}" else None,
        )
        for number, each in chosen[begin : begin + ELEMENTS_SHOWN_MAX]
    )
    return ShownElements(
        rows=rows,
        counts=counts_of(view),
        total=len(view),
        state=state,
        name=name,
        first=first,
        shown=sum(len(row.instances) for row in rows) if name else len(rows),
        chosen=sum(len(row.element.instances) for row in rows) if name else len(chosen),
        at_a_time=INSTANCES_OF_ONE_MAX if name else ELEMENTS_SHOWN_MAX,
    )


def _conditions(specification: JobSpecification) -> Mapping[str, str]:
    pipeline = specification.pipeline
    return {} if pipeline is None else {each.name: each.condition for each in (*pipeline.elements, *pipeline.closing)}


def _telling(instances: tuple[InstanceView, ...]) -> tuple[InstanceView, ...]:
    """As many as a row has room for, by state only if those are not all."""
    if len(instances) <= INSTANCES_SHOWN_MAX:
        return instances
    return tuple(_by_state(instances)[:INSTANCES_SHOWN_MAX])


def _part_of(instances: tuple[InstanceView, ...], first: int) -> tuple[InstanceView, ...]:
    if len(instances) <= INSTANCES_OF_ONE_MAX:
        return instances[first - 1 :]
    return tuple(_by_state(instances)[first - 1 : first - 1 + INSTANCES_OF_ONE_MAX])


def _by_state(instances: tuple[InstanceView, ...]) -> list[InstanceView]:
    return sorted(instances, key=lambda each: _TELLING_FIRST.index(each.state))
