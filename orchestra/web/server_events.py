"""Server-sent events: the headers of a stream, its pieces, and where a listener wants to go on."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from orchestra.web.asking import Asking
from orchestra.web.errors import BadRequest

UNGATHERED: Final[Mapping[str, str]] = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
"""The headers of what comes in pieces: nobody between us and the listener may gather them."""
STREAM_HEADERS: Final[Mapping[str, str]] = {**UNGATHERED, "content-type": "text/event-stream"}
RETRY: Final = b"retry: 2000\n\n"
PING: Final = b": ping\n\n"
_encoder = msgspec.json.Encoder()


def server_event(name: str, value: object, *, place: str = "") -> bytes:
    """One event; `place` is what `Last-Event-ID` will say behind it."""
    begun = f"id: {place}\n" if place else ""
    return f"{begun}event: {name}\ndata: ".encode() + _encoder.encode(value) + b"\n\n"


BYE: Final = server_event("bye", {})


def last_place(asking: Asking, form: re.Pattern[str]) -> tuple[int, ...] | None:
    """The numbers of the listener's `Last-Event-ID`, None without one; raises BadRequest for one that is not ours."""
    last = asking.request.headers.get("last-event-id")
    if not last:
        return None
    found = form.fullmatch(last)
    if found is None:
        raise BadRequest("Last-Event-ID is none of ours: send the id of the last event, as it came")
    return tuple(int(number) for number in found.groups())
