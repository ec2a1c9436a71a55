"""Server-sent events without I/O: lines go in, events come out."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """One event of a stream: its name, its data, and the id to resume behind it."""

    name: str
    text: str
    id: str | None


COMMENT = ""
"""The name of what a comment becomes: the server is there, and has nothing to say."""


class EventParser:
    """Puts the lines of a `text/event-stream` together (WHATWG HTML, section 9.2.6); comments are told too."""

    def __init__(self) -> None:
        self._name = ""
        self._lines: list[str] = []
        self._id: str | None = None

    def feed(self, line: str) -> ServerEvent | None:
        """Take one line without its end; an empty line completes an event, if one was begun."""
        if not line:
            return self._complete()
        field, _, value = line.partition(":")
        if not field:
            return ServerEvent(name=COMMENT, text="", id=self._id)
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._lines.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> ServerEvent | None:
        name, lines = self._name, self._lines
        self._name, self._lines = "", []
        if not lines:
            return None
        return ServerEvent(name=name or "message", text="\n".join(lines), id=self._id)
