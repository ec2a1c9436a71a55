"""A run's log as it grows, as server-sent events: only what is committed, in order, to the run's end."""

from collections.abc import AsyncIterator

import msgspec

from orchestra.queries.run_views import RunView
from orchestra.web.run_follower import Bye, Grown, Looked, Quiet, RunFollower
from orchestra.web.server_events import BYE, PING, RETRY, server_event


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
                yield server_event("end", news.view)
            case Looked():
                pass
            case Quiet():
                yield PING
            case Bye():
                yield BYE


def _log_event(news: Grown) -> bytes:
    event = LogEvent(attempt=news.attempt, offset=news.piece.start, text=news.piece.text)
    return server_event("log", event, place=f"{news.attempt}-{news.piece.end}")
