"""The decision about a pipeline: what is to be done now, given how its elements stand.

Pure: the same rows give the same actions, rows to which they were applied give none, and the order in which elements
ended does not matter.
"""

from collections.abc import Iterator, Mapping

from orchestra.elements import Element
from orchestra.errors import OrchestraError
from orchestra.pipeline.actions import Action, Ask, ElementRows, End, Expand, Finish, PipelineFacts, Row, Start, Stop
from orchestra.pipeline.conditions import is_fulfilled
from orchestra.pipeline.expansion import combinations, members
from orchestra.pipeline.graph import Graph
from orchestra.pipeline.states import (
    OPEN_STATES,
    ElementState,
    counted_as,
    holds,
    is_allowed,
    is_bad,
    state_of_pipeline,
    together,
)
from orchestra.pipeline.values import ElementValues

_NAMES_SHOWN_MAX = 5
_VERBS = {
    ElementState.EXCEPTION: "broke",
    ElementState.FAILED: "failed",
    ElementState.ABORTED: "aborted",
    ElementState.CANCELLED: "cancelled",
}
STOPPED, FAILED_FAST = "the pipeline was stopped", "another element failed (fail-fast)"


def resolve(graph: Graph, facts: PipelineFacts) -> list[Action]:
    """What is to be done now. Changes the rows that it was given to what they are afterwards."""
    return _Resolution(graph, facts).decide()


class _Resolution:
    def __init__(self, graph: Graph, facts: PipelineFacts) -> None:
        self._graph = graph
        self._facts = facts
        self._rows = facts.rows
        self._actions: list[Action] = []
        self._starts: dict[tuple[str, str], Start] = {}
        self._has_moved = False
        self._ordinary = [element for element in graph.elements if element.name not in graph.closing]
        self._closing = [element for element in graph.elements if element.name in graph.closing]
        self._values: dict[str, ElementValues] = {}

    def decide(self) -> list[Action]:
        while True:
            self._has_moved = False
            ready = [*self._look_at(self._ordinary, ending=self._ending())]
            if all(self._is_over(element) for element in self._ordinary):
                ready += self._look_at(self._closing, ending="")
            if not self._has_moved:
                self._start(ready)
            if not self._has_moved:
                break
        self._actions += self._starts.values()
        if all(self._is_over(element) for element in self._graph.elements):
            self._finish()
        return self._actions

    # --- looking ---

    def _ending(self) -> str:
        """Why nothing ordinary begins any more; empty while something may."""
        if self._facts.is_stopped:
            return STOPPED
        if self._graph.pipeline.fail_fast and any(is_bad(self._counted(element)) for element in self._ordinary):
            return FAILED_FAST
        return ""

    def _look_at(self, elements: list[Element], *, ending: str) -> Iterator[tuple[Element, Row]]:
        """Decides what needs no run; what may be started now is given back."""
        for element in elements:
            rows = self._rows[element.name]
            if rows.head.state not in OPEN_STATES:
                continue
            if ending:
                self._end_all(element, rows, ending)
            if rows.head.state is ElementState.BLOCKED:
                if self._may_begin(element):
                    yield from self._begin(element, rows)
            elif rows.instances:
                yield from self._look_at_instances(element, rows)

    def _look_at_instances(self, element: Element, rows: ElementRows) -> Iterator[tuple[Element, Row]]:
        if element.fail_fast and any(is_bad(self._counted_row(element, row)) for row in rows.instances):
            for row in rows.instances:
                self._end_or_stop(element, row, f"another run of {element.name} failed (fail-fast)")
        states = [row.state for row in rows.instances]
        if not any(state in OPEN_STATES for state in states):
            counted = [self._counted_row(element, row) for row in rows.instances]
            self._end(element, rows.head, together(counted), _gathered(states))
            return
        running = states.count(ElementState.RUNNING)
        room = len(states) if element.max_parallel is None else element.max_parallel - running
        for row in rows.instances:
            if row.state is ElementState.BLOCKED and room > 0:
                room -= 1
                yield element, row

    def _may_begin(self, element: Element) -> bool:
        """Whether all before it are over and accepted; ends it if one is not as it must be."""
        heads = [self._rows[name].head.state for name in element.after]
        if any(state in OPEN_STATES for state in heads):
            return False
        for name, rules in element.after.items():
            if not holds(rules, self._counted(self._graph.by_name[name])):
                asked = " or ".join(rules)
                words = f"{name} is {self._rows[name].head.state}, and this comes after {asked} only"
                self._end(element, self._rows[element.name].head, ElementState.SKIPPED, words)
                return False
        return True

    # --- beginning ---

    def _begin(self, element: Element, rows: ElementRows) -> Iterator[tuple[Element, Row]]:
        if (element.matrix is not None or element.for_each) and not rows.instances:
            self._expand(element, rows)
        elif self._is_wanted(element, rows.head):
            if element.approval is None:
                yield element, rows.head
            else:
                self._ask(element, rows.head)

    def _expand(self, element: Element, rows: ElementRows) -> None:
        try:
            found = combinations(element.matrix) if element.matrix else members(self._members_of(element))
        except OrchestraError as error:
            self._end(element, rows.head, ElementState.EXCEPTION, str(error))
            return
        if not found:
            self._end(element, rows.head, ElementState.SKIPPED, "it has nothing to run: its list is empty")
            return
        rows.instances.extend(Row(instance=each, state=ElementState.BLOCKED) for each in found)
        rows.head.state = ElementState.RUNNING
        self._act(Expand(element=element.name, instances=found))
        for row in rows.instances:
            self._is_wanted(element, row)

    def _members_of(self, element: Element) -> object:
        return self._values_of(element).member_list(element.for_each)

    def _is_wanted(self, element: Element, row: Row) -> bool:
        """Whether its condition holds; ends it if it does not."""
        if not element.condition:
            return True
        try:
            if is_fulfilled(element.condition, self._values_of(element).condition_values(row.instance)):
                return True
        except OrchestraError as error:
            self._end(element, row, ElementState.EXCEPTION, str(error))
            return False
        self._end(element, row, ElementState.SKIPPED, f"its condition does not hold: {element.condition}")
        return False

    def _ask(self, element: Element, row: Row) -> None:
        assert element.approval is not None
        try:
            asked = self._values_of(element).filled({"message": element.approval.message}, row.instance)
        except OrchestraError as error:
            self._end(element, row, ElementState.EXCEPTION, str(error))
            return
        row.state = ElementState.WAITING
        self._act(Ask(element=element.name, message=str(asked["message"])))

    def _start(self, ready: list[tuple[Element, Row]]) -> None:
        most = self._graph.pipeline.max_parallel
        running = sum(1 for row in self._every_row() if row.state is ElementState.RUNNING) if most is not None else 0
        for element, row in ready:
            if most is not None and running >= most:
                return
            try:
                values = self._values_of(element)
                start = Start(
                    element=element.name,
                    key=row.instance.key,
                    parameters=values.filled(element.parameters, row.instance),
                    worker=values.filled(element.worker, row.instance),
                )
            except OrchestraError as error:
                self._end(element, row, ElementState.EXCEPTION, str(error))
                continue
            self._starts[element.name, row.instance.key] = start
            row.state = ElementState.RUNNING
            running += 1

    # --- ending ---

    def _end_all(self, element: Element, rows: ElementRows, reason: str) -> None:
        for row in rows.instances or [rows.head]:
            self._end_or_stop(element, row, reason)

    def _end_or_stop(self, element: Element, row: Row, reason: str) -> None:
        if row.state is ElementState.RUNNING and self._starts.pop((element.name, row.instance.key), None) is None:
            if row.run is not None and not row.is_stopping:
                row.is_stopping = True
                self._actions.append(Stop(run=row.run, reason=reason))
        elif row.state in OPEN_STATES:
            self._end(element, row, ElementState.CANCELLED, reason)

    def _end(self, element: Element, row: Row, state: ElementState, reason: str) -> None:
        row.state = state
        self._act(End(element=element.name, key=row.instance.key, state=state, reason=reason))

    def _act(self, action: Action) -> None:
        self._has_moved = True
        self._actions.append(action)

    def _finish(self) -> None:
        counted = {element.name: self._counted(element) for element in self._graph.elements}
        state = state_of_pipeline(list(counted.values()), was_stopped=self._facts.is_stopped)
        self._actions.append(Finish(state=state, reason=_blamed(counted)))

    # --- asking ---

    def _is_over(self, element: Element) -> bool:
        return self._rows[element.name].head.state not in OPEN_STATES

    def _counted(self, element: Element) -> ElementState:
        rows = self._rows[element.name]
        # What its runs count as is in the head already.
        return rows.head.state if rows.instances else self._counted_row(element, rows.head)

    @staticmethod
    def _counted_row(element: Element, row: Row) -> ElementState:
        return counted_as(row.state, is_allowed=is_allowed(element, row.state, row.exit_code))

    def _every_row(self) -> Iterator[Row]:
        for rows in self._rows.values():
            yield from rows.instances or [rows.head]

    def _values_of(self, element: Element) -> ElementValues:
        if element.name not in self._values:
            self._values[element.name] = ElementValues(self._facts, element)
        return self._values[element.name]


def _gathered(states: list[ElementState]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))


def _blamed(counted: Mapping[str, ElementState]) -> str:
    """Which elements made it what it is."""
    worst = together(list(counted.values()))
    if worst not in _VERBS:
        return ""
    names = [name for name, state in counted.items() if state is worst]
    more = f" and {len(names) - _NAMES_SHOWN_MAX} more" if len(names) > _NAMES_SHOWN_MAX else ""
    return f"{', '.join(names[:_NAMES_SHOWN_MAX])}{more} {_VERBS[worst]}"
