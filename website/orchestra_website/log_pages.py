"""The log of a run by windows: any line of it by its number, its steps, and a search through all of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.responses import Response

from orchestra.clock import to_datetime
from orchestra.limits import CHUNK_LINES, SEARCH_CHARACTERS_MAX, WINDOW_LINES_MAX
from orchestra.logs.indexed import LogWindow
from orchestra.logs.lines import LogLine
from orchestra.queries.run_overview import run_overview
from orchestra.queries.run_views import StepView
from orchestra.web.asking import Asking, number_asked
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import BadQuery
from orchestra.web.log_lines import CommittedLog, Found
from orchestra.web.parts import WebParts
from orchestra_website.ansi import AnsiText
from orchestra_website.log_html import excerpt_html, lines_html
from orchestra_website.refresh import refresh_asked
from orchestra_website.renderer import Renderer
from orchestra_website.run_follow import FollowStart, follow_start
from orchestra_website.run_shown import ShownRun, committed_log, exit_text, show, step_state

_QUERY = ("attempt", "line", "offset", "q", "case", "from", "wrap", "refresh")


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """The lines of one step in the window, in chunks: a browser lays out a few short blocks faster than a long one."""

    step: StepView | None
    is_open: bool
    chunks: tuple[Markup, ...]
    first: int
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchShown:
    """What was looked for, and the lines that have it."""

    text: str
    with_case: bool
    hits: tuple[tuple[int, str, Markup], ...]
    """Number, address, excerpt."""
    onward: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LogShown:
    """What the template shows."""

    window: LogWindow
    sections: tuple[Section, ...]
    steps: tuple[tuple[StepView, int, str], ...]
    """Each with its first line and the address of that."""
    links: Mapping[str, str]
    """Earlier, later, start, end: only those that lead somewhere else."""
    search: SearchShown | None
    wrap: bool
    wrap_link: str
    follow: FollowStart | None
    """The window ends where a log ends that still grows."""
    is_missing: bool
    """The database knows of more than the log folder has."""


class LogPages:
    """The handler of the log's page."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._lines = parts.lines

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/runs/{run}/log"): self.window}

    async def window(self, asking: Asking) -> Response:
        """The window around a line, else the end of the log; or what a search has found."""
        query = asking.query(*_QUERY)
        run, now = asking.run(), self._clock.now()
        overview = await self._database.read(lambda connection: run_overview(connection, asking.who, run, now=now))
        shown = show(overview, attempt=number_asked(query, "attempt"), now=to_datetime(now))
        log = await self._log(shown, query) if shown.attempt else None
        values = {"shown": shown, "run": overview.run, "step_state": step_state, "exit_text": exit_text, "log": log}
        headers = refresh_asked(query, is_over=shown.is_over)
        return await self._renderer.page(asking, "run_log.html", values, headers=headers)

    async def _log(self, shown: ShownRun, query: Mapping[str, str]) -> LogShown:
        assert shown.attempt is not None
        log = committed_log(shown.run.id, shown.attempt)
        search = await self._search(log, query)
        line, offset = number_asked(query, "line"), number_asked(query, "offset", least=0)
        if line is None and offset is not None:
            line = (await self._lines.lines_at(log, (offset,)))[0]
        starts = await self._lines.lines_at(log, tuple(step.log_start for step in shown.steps))
        window = await self._lines.window(log, line) if search is None else LogWindow(lines=(), total=0)
        wrap = "wrap" in query
        is_end = search is None and window.last == window.total
        follow = None
        if is_end and not shown.attempt.ended_at:
            follow = follow_start(log, window)
            window = LogWindow(lines=follow.whole, total=window.total)
        # Addressed by attempt and line, the page is its own permanent link; every other address may show more later.
        base = "" if line is not None and "attempt" in query else _line_address(log, "", wrap=wrap)
        steps = tuple(zip(shown.steps, starts, strict=True))
        # A mebibyte full of colours takes half a second: nobody else shall wait for it.
        sections = await asyncio.to_thread(_sections, window, steps, base, show_all=line is not None)
        return LogShown(
            window=window,
            sections=sections,
            steps=tuple((step, start, _line_address(log, start, wrap=wrap)) for step, start in steps),
            links=_links(log, window, is_end=is_end, wrap=wrap),
            search=search,
            wrap=wrap,
            wrap_link=_address(log, {**_kept(query), **({} if wrap else {"wrap": "1"})}),
            follow=follow,
            is_missing=bool(log.length) and search is None and not window.total,
        )

    async def _search(self, log: CommittedLog, query: Mapping[str, str]) -> SearchShown | None:
        text = query.get("q", "")
        if not text:
            return None
        if len(text) > SEARCH_CHARACTERS_MAX or "\n" in text:
            raise BadQuery([("/q", f"must be one line of at most {SEARCH_CHARACTERS_MAX} characters")])
        with_case = "case" in query
        first = number_asked(query, "from") or 1
        found = await self._lines.search(log, text, ignoring_case=not with_case, first_line=first)
        return _search_shown(log, text, found, with_case=with_case)


def _search_shown(log: CommittedLog, text: str, found: Found, *, with_case: bool) -> SearchShown:
    length = len(text.encode())
    onward = None
    if found.go_on_at is not None:
        again = {"q": text, **({"case": "1"} if with_case else {}), "from": str(found.go_on_at)}
        onward = _address(log, {"attempt": str(log.attempt), **again})
    return SearchShown(
        text=text,
        with_case=with_case,
        hits=tuple(
            (
                hit.number,
                f"{_line_address(log, hit.number)}#L{hit.number}",
                excerpt_html(hit.before, hit.behind, length),
            )
            for hit in found.hits
        ),
        onward=onward,
    )


def _sections(
    window: LogWindow, steps: tuple[tuple[StepView, int], ...], base: str, *, show_all: bool
) -> tuple[Section, ...]:
    """The window cut where steps begin; what went well is folded unless a line was asked for."""
    ansi = AnsiText()
    begins = {start: step for step, start in steps if step.log_end is None or step.log_end > step.log_start}
    before = [step for step, start in steps if start < window.first]
    groups: list[tuple[StepView | None, list[LogLine]]] = [(before[-1] if before else None, [])]
    for line in window.lines:
        if line.number in begins:
            groups.append((begins[line.number], []))
        groups[-1][1].append(line)
    filled = [(step, lines) for step, lines in groups if lines]
    found = []
    for place, (step, lines) in enumerate(filled):
        went_well = step is not None and step_state(step) == "succeeded"
        found.append(
            Section(
                step=step,
                is_open=show_all or not went_well or place == len(filled) - 1,
                chunks=tuple(_chunks(lines, base, ansi)),
                first=lines[0].number,
                last=lines[-1].number,
            )
        )
    return tuple(found)


def _chunks(lines: list[LogLine], base: str, ansi: AnsiText) -> list[Markup]:
    chunks: dict[int, list[LogLine]] = {}
    for line in lines:
        chunks.setdefault((line.number - 1) // CHUNK_LINES, []).append(line)
    return [lines_html(chunk, base, ansi) for chunk in chunks.values()]


def _links(log: CommittedLog, window: LogWindow, *, is_end: bool, wrap: bool) -> dict[str, str]:
    found = {}
    if window.first > 1:
        found["start"] = _line_address(log, 1, wrap=wrap)
        # The window before this one begins one chunk before the line that names it.
        found["earlier"] = _line_address(log, max(1, window.first - WINDOW_LINES_MAX + CHUNK_LINES), wrap=wrap)
    if not is_end and window.lines:
        # After a window that long lines have cut short the next line is asked for itself.
        ahead = CHUNK_LINES if len(window.lines) == WINDOW_LINES_MAX else 0
        found["later"] = _line_address(log, min(window.last + 1 + ahead, window.total), wrap=wrap)
        found["end"] = _address(log, {"attempt": str(log.attempt), **({"wrap": "1"} if wrap else {})})
    return found


def _line_address(log: CommittedLog, line: int | str, *, wrap: bool = False) -> str:
    return _address(log, {"attempt": str(log.attempt), **({"wrap": "1"} if wrap else {}), "line": str(line)})


def _address(log: CommittedLog, query: Mapping[str, str]) -> str:
    return f"/runs/{log.run}/log?{urlencode(query)}" if query else f"/runs/{log.run}/log"


def _kept(query: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in query.items() if name not in ("wrap", "refresh")}
