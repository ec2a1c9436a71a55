"""Logs over HTTP: by range, by their last lines, and live."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from functools import partial

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import LOG_PIECE_BYTES, TAIL_BYTES_MAX, TAIL_LINES_MAX
from orchestra.queries.addresses import API
from orchestra.queries.run_logs import LogExtent, logs_of_run
from orchestra.queries.runs import show_run
from orchestra.web.asking import Asking, number_asked
from orchestra.web.endpoint import Handlers
from orchestra.web.errors import RangeBeyondEnd
from orchestra.web.log_text import start_of_last_lines
from orchestra.web.parts import WebParts
from orchestra.web.run_follower import LogPosition, RunFollower
from orchestra.web.server_events import STREAM_HEADERS, last_place
from orchestra_service.log_stream import log_events
from orchestra_service.operation import EVENTS, Field, Operation

_log = logging.getLogger("orchestra.service")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_PLACE_BEHIND = re.compile(r"(\d{1,9})-(\d{1,18})", re.ASCII)
# What a job prints is shown as text and can never become a page of ours.
_TEXT_HEADERS = {"content-type": "text/plain; charset=utf-8", "content-security-policy": "default-src 'none'; sandbox"}

_TAIL = Field("tail", "The last so many lines only.", {"type": "integer", "minimum": 0, "maximum": TAIL_LINES_MAX})
_RANGE_ASKED = Field("Range", "`bytes=0-99`, `bytes=100-` or `bytes=-100`; anything else is ignored.")
_PLACE = (
    Field("attempt", "The attempt to begin with; the newest by itself.", {"type": "integer", "minimum": 0}),
    Field("offset", "The byte of its log to begin with.", {"type": "integer", "minimum": 0}),
)
LAST_EVENT_ID = Field("Last-Event-ID", "The `id` of the last event that came: goes on behind it.")


class LogRoutes:
    """The handlers for logs."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._authenticator = parts.authenticator
        self._logs = parts.logs
        self._signals = parts.signals

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {
            ("GET", f"{API}/runs/{{run}}/log"): Operation(
                self.newest, kind="text/plain", query=(_TAIL,), headers=(_RANGE_ASKED,), also=(206, 416)
            ),
            ("GET", f"{API}/runs/{{run}}/attempts/{{attempt}}/log"): Operation(
                self.of_attempt, kind="text/plain", query=(_TAIL,), headers=(_RANGE_ASKED,), also=(206, 416)
            ),
            ("GET", f"{API}/runs/{{run}}/log/stream"): Operation(
                self.stream, kind=EVENTS, query=_PLACE, headers=(LAST_EVENT_ID,)
            ),
        }

    async def newest(self, asking: Asking) -> Response:
        """The log of the newest attempt."""
        run = asking.run()
        known = await self._database.read(lambda connection: logs_of_run(connection, asking.who, run))
        return await self._serve(asking, run, known.newest)

    async def of_attempt(self, asking: Asking) -> Response:
        """The log of one attempt."""
        run = asking.run()
        known = await self._database.read(lambda connection: logs_of_run(connection, asking.who, run))
        return await self._serve(asking, run, known.of(asking.attempt()))

    async def stream(self, asking: Asking) -> Response:
        """The log as it grows."""
        position = _position(asking)
        run = asking.run()
        # Unknown runs are refused before the stream begins: afterwards there is no status code left to say it with.
        await self._database.read(lambda connection: logs_of_run(connection, asking.who, run))
        if asking.request.method == "HEAD":
            return Response(headers=STREAM_HEADERS)
        follower = RunFollower(
            database=self._database,
            logs=self._logs,
            signals=self._signals,
            readmit=partial(self._authenticator.authenticate, asking.request),
            look=lambda connection, who: show_run(connection, who, run),
            run=run,
            position=position,
        )
        return StreamingResponse(log_events(follower), headers=STREAM_HEADERS)

    async def _serve(self, asking: Asking, run: RunId, extent: LogExtent) -> Response:
        query = asking.query("tail")
        status, start, end = 200, 0, extent.length
        asked = asking.request.headers.get("range")
        lines = number_asked(query, "tail", least=0, most=TAIL_LINES_MAX)
        if lines is not None:
            start = await self._start_of_tail(run, extent, lines)
        elif asked is not None and (found := _RANGE.fullmatch(asked)) and found.group() != "bytes=-":
            status = 206
            start, end = _bounds(found[1], found[2], extent.length)
        headers = {
            **_TEXT_HEADERS,
            "accept-ranges": "bytes",
            "content-length": str(end - start),
            "x-log-length": str(extent.length),
            "x-log-offset": str(start),
            "x-log-attempt": str(extent.attempt),
            "x-log-complete": "true" if extent.is_complete else "false",
        }
        if status == 206:
            headers["content-range"] = f"bytes {start}-{end - 1}/{extent.length}"
        if asking.request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return StreamingResponse(self._pieces(run, extent.attempt, start, end), status_code=status, headers=headers)

    async def _pieces(self, run: RunId, attempt: AttemptNumber, start: int, end: int) -> AsyncIterator[bytes]:
        while start < end:
            length = min(LOG_PIECE_BYTES, end - start)
            content = await asyncio.to_thread(self._logs.read, run, attempt, start, length)
            if not content:
                # The length is sent already: breaking off is the only way left to say that bytes are missing.
                _log.error("log_bytes_missing run=%s attempt=%s at=%s committed=%s", run, attempt, start, end)
                raise ClientDisconnect
            yield content
            start += len(content)

    async def _start_of_tail(self, run: RunId, extent: LogExtent, lines: int) -> int:
        start = max(0, extent.length - TAIL_BYTES_MAX)
        if start == extent.length or lines == 0:
            return extent.length
        pieces = [piece async for piece in self._pieces(run, extent.attempt, start, extent.length)]
        return start + start_of_last_lines(b"".join(pieces), lines)


def _bounds(first: str, last: str, length: int) -> tuple[int, int]:
    """RFC 9110, section 14.1.2: first and last byte, or the last so many bytes."""
    if not first:
        start, end = max(0, length - int(last)), length
    else:
        start, end = int(first), length if not last else min(length, int(last) + 1)
    if start >= end:
        raise RangeBeyondEnd(length)
    return start, end


def _position(asking: Asking) -> LogPosition:
    query = asking.query("offset", "attempt")
    attempt, offset = last_place(asking, _PLACE_BEHIND) or [
        number_asked(query, name, least=0) or 0 for name in ("attempt", "offset")
    ]
    return LogPosition(attempt=AttemptNumber(attempt), offset=offset)
