"""Logs that grow before the reader's eyes: a page that goes on without a script, and the fragments for the script."""

import re
from functools import partial

from starlette.responses import Response, StreamingResponse

from orchestra.clock import to_datetime
from orchestra.identifiers import AttemptNumber
from orchestra.limits import LIVE_LINES_FIRST, LIVE_SECONDS_MIN
from orchestra.queries.run_overview import RunOverview, run_overview
from orchestra.web.asking import Asking, number_asked
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra.web.run_follower import LogPosition, RunFollower
from orchestra.web.server_events import STREAM_HEADERS, UNGATHERED, last_place
from orchestra_website.renderer import Renderer
from orchestra_website.run_follow import LivePage, RunEvent, RunEvents, WaitingEvent, live_page
from orchestra_website.run_shown import ShownRun, committed_log, exit_text, show, step_state

_PLACE_BEHIND = re.compile(r"([1-9]\d{0,8})-([1-9]\d{0,17})", re.ASCII)
_MARK = "<!-- the log -->"


class LivePages:
    """The handlers that stream."""

    def __init__(self, *, parts: WebParts, renderer: Renderer) -> None:
        self._renderer = renderer
        self._database = parts.database
        self._clock = parts.clock
        self._logs = parts.logs
        self._lines = parts.lines
        self._signals = parts.signals
        self._authenticator = parts.authenticator

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", "/runs/{run}/log/live"): self.live, ("GET", "/runs/{run}/log/follow"): self.follow}

    async def live(self, asking: Asking) -> Response:
        """The log from a line on, else its last lines, and then whatever comes, to the result."""
        query = asking.query("attempt", "line")
        shown = await self._shown(asking, number_asked(query, "attempt"))
        line = number_asked(query, "line")
        attempt = shown.attempt
        if attempt is not None and line is None:
            tail = await self._lines.tail(committed_log(shown.run.id, attempt), LIVE_LINES_FIRST)
            line = tail.first
        headers = {**UNGATHERED, "content-type": "text/html; charset=utf-8", "vary": "Cookie"}
        if asking.request.method == "HEAD":
            return Response(headers=headers)
        page = live_page(
            page=LivePage(before=self._half(asking, shown, line or 1), after=partial(self._rest, asking, shown)),
            follower=await self._follower(asking, shown, line or 1),
            run=shown.run.id,
            line=line or 1,
            clock=self._clock,
        )
        return StreamingResponse(page, headers=headers)

    async def follow(self, asking: Asking) -> Response:
        """New lines, and the head, the steps and the reasons for waiting when they change, as server-sent events."""
        query = asking.query("attempt", "line", "only")
        asked = (number_asked(query, "attempt", least=0) or 0, number_asked(query, "line") or 1)
        attempt, line = last_place(asking, _PLACE_BEHIND) or asked
        only_run = query.get("only") == "run"
        shown = await self._shown(asking, attempt or None)
        if asking.request.method == "HEAD":
            return Response(headers=STREAM_HEADERS)
        events = RunEvents(
            follower=await self._follower(asking, shown, None if only_run else line),
            only_run=only_run,
            render=partial(self._rendered, asking),
            render_waiting=partial(self._rendered_waiting, asking),
            run=shown.run.id,
            line=line,
        )
        return StreamingResponse(events.events(), headers=STREAM_HEADERS)

    async def _shown(self, asking: Asking, attempt: int | None) -> ShownRun:
        run, now = asking.run(), self._clock.now()
        overview = await self._database.read(lambda connection: run_overview(connection, asking.who, run, now=now))
        return show(overview, attempt=attempt, now=to_datetime(now))

    async def _follower(self, asking: Asking, shown: ShownRun, line: int | None) -> RunFollower[RunOverview]:
        """From this line on; without one from the log's end."""
        run, attempt = asking.run(), shown.attempt
        position = LogPosition(attempt=AttemptNumber(0), offset=0)
        if attempt is not None:
            log = committed_log(run, attempt)
            offset = log.length if line is None else await self._lines.start_of(log, line)
            position = LogPosition(attempt=AttemptNumber(attempt.number), offset=offset)
        return RunFollower(
            database=self._database,
            logs=self._logs,
            signals=self._signals,
            readmit=partial(self._authenticator.authenticate, asking.request),
            look=lambda connection, who: run_overview(connection, who, run, now=self._clock.now()),
            run=run,
            position=position,
            seconds_between=LIVE_SECONDS_MIN,
        )

    # --- rendering ---

    def _values(self, overview: RunOverview) -> dict[str, object]:
        shown = show(overview, attempt=None, now=to_datetime(self._clock.now()))
        return {"shown": shown, "run": overview.run, "step_state": step_state, "exit_text": exit_text}

    def _rendered(self, asking: Asking, overview: RunOverview) -> RunEvent:
        values = self._values(overview)
        return RunEvent(
            state=overview.run.state,
            attempt=overview.run.attempts[-1].number if overview.run.attempts else 0,
            head=self._renderer.text(asking, "run_head.html", values),
            steps=self._renderer.text(asking, "run_steps.html", values),
            title=self._renderer.text(asking, "run_title.html", values),
        )

    def _rendered_waiting(self, asking: Asking, overview: RunOverview) -> WaitingEvent:
        return WaitingEvent(html=self._renderer.text(asking, "run_waiting.html", {"run": overview.run}))

    def _half(self, asking: Asking, shown: ShownRun, line: int) -> str:
        """The page up to where the log begins."""
        values = {**self._values(shown.overview), "from_line": line, "mark": _MARK}
        return self._renderer.text(asking, "run_live.html", values).partition(_MARK)[0]

    def _rest(self, asking: Asking, shown: ShownRun, overview: RunOverview | None, attempt: int, line: int) -> str:
        """The page behind the log: the result, or where to go on."""
        values = {**self._values(overview or shown.overview), "from_line": line, "mark": _MARK}
        values |= {"is_over": overview is not None, "attempt": attempt or "", "next_line": line}
        return self._renderer.text(asking, "run_live.html", values).partition(_MARK)[2]
