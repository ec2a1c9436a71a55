"""Draws one life as an SVG picture, from its table alone: living states in a row, the ends of each below it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from orchestra.lifecycle import Event, State

BOX_WIDTH = 112
BOX_HEIGHT = 36
GAP = 100
LINE = 22
ARC = 32
"""How much higher an arc goes for each column that it passes."""
MARGIN = 16

STYLE = """\
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .state { font-weight: 600; text-anchor: middle; }
    .event { font-size: 12px; text-anchor: middle; fill: #59636e; }
    .event { paint-order: stroke; stroke: #fff; stroke-width: 4px; }
    .end { font-size: 12px; }
    rect { fill: #ddf4ff; stroke: #0969da; }
    path { fill: none; stroke: #59636e; stroke-width: 1.4; marker-end: url(#tip); }
    #tip path { fill: #59636e; stroke: none; marker-end: none; }
    .back { stroke-dasharray: 5 3; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .event { fill: #9198a1; stroke: #0d1117; }
      rect { fill: #121d2f; stroke: #4493f8; }
      path { stroke: #9198a1; }
      #tip path { fill: #9198a1; }
    }
  </style>
  <defs>
    <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">
      <path d="M0,0 L8,4 L0,8 z"/>
    </marker>
  </defs>"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """From one living state to another, by one or more events; columns count from 0."""

    origin: int
    target: int
    label: str

    @property
    def span(self) -> int:
        """How many columns it goes to the right; negative for a way back."""
        return self.target - self.origin


def drawing(table: Mapping[tuple[State, Event], State], states: type[State], *, title: str) -> str:
    """The picture as the text of an SVG file."""
    living = [state for state in states if any(origin == state for origin, _ in table)]
    ways = list(_ways(table, living))
    ends = [list(_ends(table, state, living)) for state in living]
    above = ARC * max((way.span for way in ways), default=0) + LINE
    below = ARC * max((-way.span for way in ways), default=0) + LINE

    width = 2 * MARGIN + len(living) * BOX_WIDTH + (len(living) - 1) * GAP + MARGIN
    height = 2 * MARGIN + above + BOX_HEIGHT + below + LINE * max(len(lines) for lines in ends)
    top = MARGIN + above
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"  <title>{escape(title)}</title>",
            STYLE,
            *(_arrow(way, top) for way in ways),
            *(_label(way, top) for way in ways),
            *(line for column, state in enumerate(living) for line in _box(column, state, top)),
            *(line for column, words in enumerate(ends) for line in _list(column, words, top + BOX_HEIGHT + below)),
            "</svg>\n",
        )
    )


def _ways(table: Mapping[tuple[State, Event], State], living: Sequence[State]) -> Iterator[Way]:
    for origin, state in enumerate(living):
        for target, other in enumerate(living):
            events = [event for (start, event), end in table.items() if start == state and end == other]
            if events:
                yield Way(origin=origin, target=target, label=", ".join(events))


def _ends(table: Mapping[tuple[State, Event], State], state: State, living: Sequence[State]) -> Iterator[str]:
    for (origin, event), target in table.items():
        if origin == state and target not in living:
            yield f"● {target}" if str(event) == str(target) else f"● {target} ({event})"


def _left(column: int) -> int:
    return MARGIN + column * (BOX_WIDTH + GAP)


def _box(column: int, state: State, top: int) -> Iterator[str]:
    left = _left(column)
    yield f'  <rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
    yield f'  <text class="state" x="{left + BOX_WIDTH // 2}" y="{top + BOX_HEIGHT // 2 + 5}">{escape(state)}</text>'


def _arrow(way: Way, top: int) -> str:
    """To the next column straight, further by an arc above the boxes, back by an arc below them."""
    if way.span == 1:
        left = _left(way.origin) + BOX_WIDTH
        return f'  <path d="M{left},{top + BOX_HEIGHT // 2} H{left + GAP - 1}"/>'
    start, end = _arc_ends(way)
    edge, peak = _arc_heights(way, top)
    kind = "" if way.span > 0 else ' class="back"'
    return f'  <path{kind} d="M{start},{edge} C{start},{peak} {end},{peak} {end},{edge}"/>'


def _label(way: Way, top: int) -> str:
    """The events, beside the middle of the arrow; drawn after all arrows, so that none crosses it out."""
    if way.span == 1:
        middle, height = _left(way.origin) + BOX_WIDTH + GAP // 2, top + BOX_HEIGHT // 2 - 6
    else:
        edge, peak = _arc_heights(way, top)
        # A cubic curve reaches three quarters of the way to its control points.
        middle, height = sum(_arc_ends(way)) // 2, edge + (peak - edge) * 3 // 4 + (-5 if way.span > 0 else 14)
    return f'  <text class="event" x="{middle}" y="{height}">{escape(way.label)}</text>'


def _arc_ends(way: Way) -> tuple[int, int]:
    """Ways out begin a little beside the ends of ways in, so that two arcs between the same states stay apart."""
    aside = 12 if way.span > 0 else -12
    return _left(way.origin) + BOX_WIDTH // 2 + aside, _left(way.target) + BOX_WIDTH // 2 - aside


def _arc_heights(way: Way, top: int) -> tuple[int, int]:
    """Where the arc leaves the boxes, and where it is pulled to."""
    edge = top if way.span > 0 else top + BOX_HEIGHT
    return edge, edge - way.span * ARC


def _list(column: int, words: Sequence[str], top: int) -> Iterator[str]:
    for index, word in enumerate(words):
        yield f'  <text class="end" x="{_left(column) + 4}" y="{top + LINE * index + 12}">{escape(word)}</text>'
