"""Following a run as fragments of HTML: for the script by server-sent events, without one as a page that goes on."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import msgspec
from markupsafe import Markup

from orchestra.clock import Clock
from orchestra.limits import CHUNK_LINES, LIVE_LINES_MAX, LIVE_SECONDS_MAX
from orchestra.logs.indexed import LogWindow
from orchestra.logs.lines import LogLine
from orchestra.queries.elements import PipelineView
from orchestra.queries.run_overview import RunOverview
from orchestra.queries.runs import RunDetail
from orchestra.web.log_lines import CommittedLog
from orchestra.web.run_follower import Bye, Grown, Looked, Quiet, RunFollower
from orchestra.web.server_events import BYE, PING, RETRY, server_event
from orchestra_website.log_html import AppendedLines, FollowedLines, lines_html

CHUNK_ENDS = Markup('</pre><pre class="log">')


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowStart:
    """Where following begins, behind what a page shows already."""

    attempt: int
    line: int
    """The number of the line that comes next; the open one if there is one."""
    whole: tuple[LogLine, ...]
    lines: Markup
    open: Markup
    """The last line, whose end has not come yet."""


def follow_start(log: CommittedLog, window: LogWindow) -> FollowStart:
    """From the last lines of a log that still grows."""
    lines = window.lines
    is_open = bool(lines) and lines[-1].offset + lines[-1].length >= log.length
    whole = lines[:-1] if is_open else lines
    base = f"/runs/{log.run}/log?attempt={log.attempt}&line="
    return FollowStart(
        attempt=log.attempt,
        line=lines[-1].number + (not is_open) if lines else 1,
        whole=whole,
        lines=lines_html(whole, base),
        open=lines_html(lines[-1:], base) if is_open else Markup(""),
    )


class LinesEvent(msgspec.Struct, frozen=True, kw_only=True):
    """New lines of the log."""

    attempt: int
    line: int
    """The number of the open line."""
    html: str
    """Lines that are whole."""
    open: str


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The run has changed: its head and steps anew."""

    state: str
    attempt: int
    """Whose steps they are."""
    head: str
    steps: str
    title: str


class WaitingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Why the run waits has changed, if only by the time that has passed."""

    html: str


class RunEvents:
    """The news of a run for the script of its pages."""

    def __init__(
        self,
        *,
        follower: RunFollower[RunOverview],
        render: Callable[[RunOverview], RunEvent],
        render_waiting: Callable[[RunOverview], WaitingEvent],
        run: int,
        line: int,
        only_run: bool,
    ) -> None:
        self._follower = follower
        self._render = render
        self._render_waiting = render_waiting
        self._run = run
        self._first_line = line
        self._only_run = only_run
        self._attempt = 0
        self._lines: FollowedLines | None = None
        self._seen: tuple[RunDetail, PipelineView | None] | None = None
        self._seen_waiting: WaitingEvent | None = None

    async def events(self) -> AsyncIterator[bytes]:
        """The stream, until the run is over."""
        yield RETRY
        async for news in self._follower.news():
            match news:
                case Grown():
                    if not self._only_run:
                        yield self._grown(news)
                case Looked():
                    for event in self._looked(news):
                        yield event
                case Quiet():
                    yield PING
                case Bye():
                    yield BYE

    def _looked(self, news: Looked[RunOverview]) -> Iterator[bytes]:
        look = _without_the_moment(news.view.run), news.view.pipeline
        if look != self._seen or news.is_over:
            self._seen = look
            yield server_event("run", self._render(news.view))
        if news.view.run.waiting is not None:
            waiting = self._render_waiting(news.view)
            if waiting != self._seen_waiting:
                self._seen_waiting = waiting
                yield server_event("waiting", waiting)
        if news.is_over:
            yield server_event("end", {})

    def _grown(self, news: Grown) -> bytes:
        if self._lines is None or news.attempt != self._attempt:
            first = self._first_line if self._lines is None else 1
            self._attempt = news.attempt
            self._lines = FollowedLines(first, base=f"/runs/{self._run}/log?attempt={news.attempt}&line=")
        whole, rest = self._lines.feed(news.piece.text)
        event = LinesEvent(attempt=news.attempt, line=self._lines.next_line, html=str(whole), open=str(rest))
        return server_event("lines", event, place=f"{news.attempt}-{event.line}")


def _without_the_moment(run: RunDetail) -> RunDetail:
    """What makes the head look different; logs, contacts and waiting go on all the time."""
    attempts = tuple(msgspec.structs.replace(each, log_length=0, log_digest=None) for each in run.attempts)
    return msgspec.structs.replace(run, log_length=0, worker_last_contact_at=None, attempts=attempts, waiting=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class LivePage:
    """A page that goes on: everything before the log, the words at its end, and everything behind."""

    before: str
    after: Callable[[RunOverview | None, int, int], str]
    """From the run, if it is over; else (None) from the attempt and the line at which to go on."""


async def live_page(
    *,
    page: LivePage,
    follower: RunFollower[RunOverview],
    run: int,
    line: int,
    clock: Clock,
) -> AsyncIterator[str]:
    """The page in pieces, until the run is over or the reader has had enough of it."""
    yield page.before
    until = clock.monotonic() + LIVE_SECONDS_MAX
    attempt, sent, lines = 0, 0, AppendedLines(line, base=f"/runs/{run}/log?line=")
    async for news in follower.news():
        match news:
            case Grown():
                if news.attempt != attempt:
                    if attempt:
                        yield f'</pre><p class="between">Attempt {news.attempt}</p><pre class="log">'
                        line = 1
                    attempt = news.attempt
                    lines = AppendedLines(line, base=f"/runs/{run}/log?attempt={attempt}&line=")
                begun = lines.next_line
                text = lines.feed(news.piece.text)
                chunk = sent // CHUNK_LINES
                sent += lines.next_line - begun
                yield str(text + (CHUNK_ENDS if sent // CHUNK_LINES > chunk else Markup("")))
            case Looked(is_over=True):
                yield str(lines.flush()) + page.after(news.view, attempt, lines.next_line)
                return
            case Looked() | Quiet():
                # A comment shows that the connection lives, and makes an aborted one fail.
                yield str(lines.flush()) or "<!-- -->"
            case Bye():
                break
        if clock.monotonic() > until or sent >= LIVE_LINES_MAX:
            break
    yield page.after(None, attempt, lines.next_line)
