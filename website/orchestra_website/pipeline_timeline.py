"""When the runs of a pipeline waited and ran: bars over one span of time, and the chain that made it so long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestra.pipeline.states import OPEN_STATES, ElementState
from orchestra.queries.elements import ElementView, InstanceView
from orchestra_website.words import duration_text

ROWS_MAX = 300
"""Beyond that the first ones are shown: the table of elements has them all."""
WIDTH, ROW_HEIGHT, LABEL_WIDTH = 1160, 24, 250
HEADING = 22
_LETTERS = 28
_TICKS_MAX = 8
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_NEVER = frozenset({ElementState.BLOCKED, ElementState.SKIPPED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A part of a row: it waited, or it ran."""

    kind: str
    """`waiting` for a worker, `asking` a person, or `running`."""
    begin: float
    """In per cent of the span."""
    length: float
    words: str

    @property
    def x(self) -> float:
        """Its left edge in the drawing."""
        return round(LABEL_WIDTH + self.begin * (WIDTH - LABEL_WIDTH) / 100, 1)

    @property
    def width(self) -> float:
        """At least so wide that it can be seen."""
        return round(max(2.0, self.length * (WIDTH - LABEL_WIDTH) / 100), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineRow:
    """One run of an element, an approval, or an element that has none."""

    element: str
    key: str
    state: str
    run: int | None
    is_reused: bool
    bars: tuple[Bar, ...]
    begun_at: datetime | None
    waited: float | None
    """Seconds."""
    took: float | None
    is_critical: bool
    """Nothing else could have begun or ended earlier without it."""

    @property
    def label(self) -> str:
        """As much of its name as there is room for: of a combination the values alone."""
        values = ", ".join(part.partition("=")[2] or part for part in self.key.split(", "))
        name = f"{self.element} {values}".rstrip()
        return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """All rows over one span."""

    rows: tuple[TimelineRow, ...]
    total: int
    ticks: tuple[tuple[float, str], ...]
    """Where a line stands, in pixels, and what it says."""
    now_x: float | None
    """The present, if the pipeline goes on."""
    seconds: float
    width: int = WIDTH
    row_height: int = ROW_HEIGHT
    heading: int = HEADING

    @property
    def height(self) -> int:
        """In pixels."""
        return HEADING + ROW_HEIGHT * len(self.rows) + 4


@dataclass(frozen=True, slots=True)
class _Span:
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return max(0.001, (self.end - self.begin).total_seconds())

    def percent(self, at: datetime) -> float:
        """Where an instant is; those outside are at the edge."""
        return round(min(1.0, max(0.0, (at - self.begin).total_seconds() / self.seconds)) * 100, 2)

    def bar(self, kind: str, begin: datetime, end: datetime | None) -> Bar:
        """A part that goes on ends at the end of the span."""
        last = end or self.end
        left = self.percent(begin)
        words = f"{kind} {duration_text((last - begin).total_seconds())}"
        return Bar(kind=kind, begin=left, length=round(self.percent(last) - left, 2), words=words)


def timeline_of(
    elements: Sequence[ElementView], *, begin: datetime, ended_at: datetime | None, now: datetime
) -> Timeline:
    """The rows in the order of the definition, from the pipeline's beginning to its end, or to now."""
    span = _Span(begin, max(ended_at or now, begin + timedelta(milliseconds=1)))
    critical = critical_runs(elements)
    rows = [
        row
        for each in elements
        for row in ([_asked(each, span, critical)] if each.approval else _rows(each, span, critical))
    ]
    return Timeline(
        rows=tuple(rows[:ROWS_MAX]),
        total=len(rows),
        ticks=_ticks(span.seconds),
        now_x=None if ended_at else float(WIDTH),
        seconds=span.seconds,
    )


def critical_runs(elements: Sequence[ElementView]) -> frozenset[tuple[str, str]]:
    """Element and key of each link of the chain: from what ended last back to what each of them waited for longest."""
    last = {each.name: found for each in elements if (found := _last_end(each)) is not None}
    if not last:
        return frozenset()
    named = {each.name: each for each in elements}
    ordinary = [each.name for each in elements if not each.is_closing]
    name: str | None = max(last, key=lambda each: last[each][0])
    chain = []
    while name is not None:
        chain.append((name, last[name][1]))
        before = named[name].after or (dict.fromkeys(ordinary, ()) if named[name].is_closing else {})
        name = max((each for each in before if each in last), key=lambda each: last[each][0], default=None)
    return frozenset(chain)


def _last_end(element: ElementView) -> tuple[float, str] | None:
    """When the element's last run ended (one that goes on is the latest of all) and its key."""
    if element.state in _NEVER:
        return None
    if element.approval is not None:
        end = _end_of(element.approval.decided_at, element.state)
        return None if end is None else (end, "")
    ends = [(_end_of(each.ended_at, each.state), each.key) for each in element.instances if not each.is_reused]
    return max(((end, key) for end, key in ends if end is not None), default=None)


def _end_of(at: datetime | None, state: ElementState) -> float | None:
    """None for what ended without a time of its own, such as an answer that is used again."""
    if at is not None:
        return at.timestamp()
    return float("inf") if state in OPEN_STATES else None


def _rows(element: ElementView, span: _Span, critical: frozenset[tuple[str, str]]) -> list[TimelineRow]:
    if not element.instances:
        return [_row(element, "", str(element.state), None, critical)]
    return [_of_run(element, each, span, critical) for each in element.instances]


def _of_run(element: ElementView, each: InstanceView, span: _Span, critical: frozenset[tuple[str, str]]) -> TimelineRow:
    bars: list[Bar] = []
    waited = took = None
    if each.created_at is not None and not each.is_reused:
        free = each.started_at or each.ended_at or span.end
        waited = (free - each.created_at).total_seconds()
        bars.append(span.bar("waiting", each.created_at, free))
        if each.started_at is not None:
            took = ((each.ended_at or span.end) - each.started_at).total_seconds()
            bars.append(span.bar("running", each.started_at, each.ended_at))
    facts = {"waited": waited, "took": took}
    state = str(each.run_state or each.state)
    return _row(element, each.key, state, each, critical, bars=tuple(bars), facts=facts)


def _asked(element: ElementView, span: _Span, critical: frozenset[tuple[str, str]]) -> TimelineRow:
    approval = element.approval
    assert approval is not None
    if approval.asked_at is None:
        return _row(element, "", str(element.state), None, critical)
    # Whoever stops a pipeline answers nothing, and yet nobody is asked any more.
    is_asked = element.state is ElementState.WAITING
    end = approval.decided_at or (None if is_asked else approval.asked_at)
    bars = (span.bar("asking", approval.asked_at, end),)
    facts = {"waited": ((end or span.end) - approval.asked_at).total_seconds(), "took": None}
    return _row(element, "", str(element.state), None, critical, bars=bars, facts=facts)


def _row(
    element: ElementView,
    key: str,
    state: str,
    each: InstanceView | None,
    critical: frozenset[tuple[str, str]],
    *,
    bars: tuple[Bar, ...] = (),
    facts: Mapping[str, float | None] | None = None,
) -> TimelineRow:
    known = facts or {}
    return TimelineRow(
        element=element.name,
        key=key,
        state=state,
        run=each.run if each else None,
        is_reused=each.is_reused if each else False,
        bars=bars,
        begun_at=each.started_at if each else element.approval.asked_at if element.approval else None,
        waited=known.get("waited"),
        took=known.get("took"),
        is_critical=(element.name, key) in critical,
    )


def _ticks(seconds: float) -> tuple[tuple[float, str], ...]:
    """At round distances, few enough to be read."""
    step = next((each for each in _STEPS if seconds / each <= _TICKS_MAX), 0.0) or 86_400 * (seconds // 604_800 + 1)
    count = int(seconds / step)
    area = WIDTH - LABEL_WIDTH
    return tuple(
        (round(LABEL_WIDTH + area * place * step / seconds, 1), duration_text(place * step) if place else "0")
        for place in range(count + 1)
    )
