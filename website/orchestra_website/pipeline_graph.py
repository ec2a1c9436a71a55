"""A pipeline's elements as a drawing: a column for each step of the way, rows so that few lines cross, pure numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from orchestra.elements import Rule
from orchestra.pipeline.states import OPEN_STATES, ElementState
from orchestra.queries.elements import ElementView
from orchestra_website.pipeline_shown import begun_at, ended_at

NODES_MAX = 300
"""Beyond that nobody can read a drawing: the table has them all."""
POINTS_MAX = 3000
"""Of all lines together: a graph in which everything waits for everything is no drawing either."""
NODE_WIDTH, NODE_HEIGHT = 168, 48
HEADING = 16
"""The line above all elements, for words about their columns."""
_COLUMN_GAP, _ROW_GAP, _LINE_GAP, _MARGIN = 44, 18, 14, 8
_SWEEPS = 4
_LETTERS = 18
_UNHAPPY = frozenset({Rule.FAILED, Rule.EXCEPTION, Rule.ABORTED, Rule.CANCELLED})
_NOT_TAKEN = frozenset({ElementState.SKIPPED, ElementState.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One element in the drawing; x and y are its upper left corner."""

    element: ElementView
    number: int
    """Its place in the definition, from 1: its row in the table has it too."""
    x: float
    y: float

    @property
    def label(self) -> str:
        """Its name, as much of it as there is room for."""
        name = self.element.name
        return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"

    @property
    def address(self) -> str:
        """Its run; of several, or of none, its row in the table."""
        runs = self.element.instances
        return f"/runs/{runs[0].run}" if len(runs) == 1 and runs[0].run is not None else f"#element-{self.number}"

    @property
    def begun_at(self) -> datetime | None:
        """When it began; None if what it shows is that of an earlier pipeline."""
        is_reused = any(each.is_reused for each in self.element.instances)
        return None if is_reused else begun_at(self.element)

    @property
    def ended_at(self) -> datetime | None:
        """When it was over."""
        return ended_at(self.element)

    @property
    def count(self) -> str:
        """`6/8` of a matrix or list: so many of its runs are over."""
        runs = self.element.instances
        is_single = len(runs) <= 1 and not any(each.key for each in runs)
        return "" if is_single else f"{sum(each.state not in OPEN_STATES for each in runs)}/{len(runs)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """The line from an element to one that waits for it."""

    path: str
    """As SVG has it."""
    rule: str
    """`succeeded`, `failed`, or `other`."""
    way: str
    """`taken`, `open`, or `off` if what it leads to never began."""
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineGraph:
    """Where everything stands, in pixels."""

    width: int
    height: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    closing_x: float | None
    """Left of what runs when all else is over; None if nothing does."""
    node_width: int = NODE_WIDTH
    node_height: int = NODE_HEIGHT


def draw_pipeline(elements: Sequence[ElementView]) -> PipelineGraph | None:
    """The drawing of these elements, in the order of the definition; None if there are too many to be read."""
    if not 0 < len(elements) <= NODES_MAX:
        return None
    column = {each.name: each.column for each in elements}
    # Counted before anything is made of them: 300 elements may have millions.
    if sum(each.column - column[before] + 1 for each in elements for before in each.after) > POINTS_MAX:
        return None
    layers = _Layers(elements)
    layers.order()
    tops = layers.place()
    nodes = tuple(
        Node(element=each, number=number, x=_left(each.column), y=tops[each.name])
        for number, each in enumerate(elements, start=1)
    )
    named = {each.name: each for each in elements}
    closing = [each.column for each in elements if each.is_closing]
    return PipelineGraph(
        width=_left(max(each.column for each in elements)) + NODE_WIDTH + _MARGIN,
        height=round(max(tops[name] + layers.height(name) for name in tops)) + _MARGIN,
        nodes=nodes,
        edges=tuple(
            Edge(
                path=layers.path(chain, tops),
                rule=rule_of(named[chain[-1]].after[chain[0]]),
                way=_way(named[chain[-1]].state),
                words=f"{chain[-1]} after {chain[0]}: {' or '.join(named[chain[-1]].after[chain[0]])}",
            )
            for chain in layers.chains
        ),
        closing_x=_left(min(closing)) - _COLUMN_GAP / 2 if closing else None,
    )


def rule_of(rules: Sequence[Rule]) -> str:
    """How a line with these rules is drawn."""
    if tuple(rules) == (Rule.SUCCEEDED,):
        return "succeeded"
    return "failed" if _UNHAPPY.issuperset(rules) else "other"


def _way(state: ElementState) -> str:
    if state in _NOT_TAKEN:
        return "off"
    return "open" if state is ElementState.BLOCKED else "taken"


class _Layers:
    """Columns of elements and of the points at which long lines pass them."""

    def __init__(self, elements: Sequence[ElementView]) -> None:
        self._elements = {each.name for each in elements}
        self._column = {each.name: each.column for each in elements}
        self._columns: list[list[str]] = [[] for _ in range(max(self._column.values()) + 1)]
        for each in elements:
            self._columns[each.column].append(each.name)
        self._before: dict[str, list[str]] = {}
        self._behind: dict[str, list[str]] = {}
        self.chains: list[list[str]] = []
        for each in elements:
            for before in each.after:
                self._add_line(before, each.name)

    def _add_line(self, start: str, end: str) -> None:
        """A line over several columns has a point in each that it passes, so that it has a way between the elements."""
        chain = [start]
        for passed in range(self._column[start] + 1, self._column[end]):
            # No element has a line break in its name.
            point = f"{start}\n{end}\n{passed}"
            self._columns[passed].append(point)
            self._column[point] = passed
            chain.append(point)
        chain.append(end)
        self.chains.append(chain)
        for one, other in pairwise(chain):
            self._behind.setdefault(one, []).append(other)
            self._before.setdefault(other, []).append(one)

    def height(self, name: str) -> float:
        """Of an element or of a point."""
        return NODE_HEIGHT if name in self._elements else 0

    def path(self, chain: Sequence[str], tops: Mapping[str, float]) -> str:
        """The line through these: bent between columns, straight where it passes one."""
        x, y = _left(self._column[chain[0]]) + NODE_WIDTH, tops[chain[0]] + NODE_HEIGHT / 2
        parts = [f"M{x} {y:g}"]
        for name in chain[1:]:
            to, below = _left(self._column[name]), tops[name] + self.height(name) / 2
            bend = (to - x) // 2
            parts.append(f"C{x + bend} {y:g} {to - bend} {below:g} {to} {below:g}")
            x, y = to, below
            if name not in self._elements:
                x += NODE_WIDTH
                parts.append(f"H{x}")
        return "".join(parts)

    def order(self) -> None:
        """Each column by the middle of its neighbours, forth and back: few lines cross then (the barycentre method)."""
        for sweep in range(_SWEEPS):
            is_forth = sweep % 2 == 0
            neighbours = self._before if is_forth else self._behind
            columns = self._columns if is_forth else self._columns[::-1]
            for beside, column in pairwise(columns):
                rank = {name: place for place, name in enumerate(beside)}
                wish = {name: _middle_of(neighbours.get(name, ()), rank, place) for place, name in enumerate(column)}
                column.sort(key=wish.__getitem__)

    def place(self) -> dict[str, float]:
        """The upper edge of each: as near to what comes before as the order allows."""
        tops: dict[str, float] = {}
        for column in self._columns:
            wishes = []
            for name in column:
                middles = [tops[each] + self.height(each) / 2 for each in self._before.get(name, ()) if each in tops]
                wishes.append(sum(middles) / len(middles) - self.height(name) / 2 if middles else 0.0)
            floor, moved = float("-inf"), 0.0
            for name, wish in zip(column, wishes, strict=True):
                tops[name] = max(wish, floor)
                moved += tops[name] - wish
                floor = tops[name] + self.height(name) + (_ROW_GAP if name in self._elements else _LINE_GAP)
            # Those that had to make room went down: the column as a whole goes up again by as much.
            for name in column:
                tops[name] -= moved / len(column)
        highest = min(tops.values())
        return {name: round(top - highest + HEADING + _MARGIN, 1) for name, top in tops.items()}


def _middle_of(neighbours: Sequence[str], rank: Mapping[str, int], place: int) -> float:
    found = [rank[each] for each in neighbours if each in rank]
    return sum(found) / len(found) if found else float(place)


def _left(column: int) -> int:
    return _MARGIN + column * (NODE_WIDTH + _COLUMN_GAP)
