"""A run's log as it grows, as server-sent events: only what is committed, in order, to the run's end."""

from collections.abc import AsyncIterator

import msgspec

from orchestra.queries.run_views import RunView
from orchestra.web.run_follower import Bye, Grown, Looked, Quiet, RunFollower

_encoder = msgspec.json.Encoder()
RETRY = b"retry: 2000\n\n"
PING = b": ping\n\n"
BYE = b"event: bye\ndata: {}\n\n"


class LogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a `log` event."""

    attempt: int
    offset: int
    """Of the text's first byte in the attempt's log."""
    text: str


async def log_events(follower: RunFollower[RunView]) -> AsyncIterator[bytes]:
    """The stream, until the run is over, the service closes, or the listener goes away or may listen no more."""
    yield RETRY
    async for news in follower.news():
        match news:
            case Grown():
                yield _log_event(news)
            case Looked(is_over=True):
                yield b"event: end\ndata: " + _encoder.encode(news.view) + b"\n\n"
            case Looked():
                pass
            case Quiet():
                yield PING
            case Bye():
                yield BYE


def _log_event(news: Grown) -> bytes:
    event = LogEvent(attempt=news.attempt, offset=news.piece.start, text=news.piece.text)
    place = f"id: {news.attempt}-{news.piece.end}\nevent: log\ndata: ".encode()
    return place + _encoder.encode(event) + b"\n\n"
