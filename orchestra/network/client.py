"""The HTTP client of the command line: one kept connection, keys that make repeats harmless, problems as errors."""

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from orchestra.network.event_stream import EventParser, ServerEvent
from orchestra.network.problems import AnswerUnreadable, RequestRefused, ServerUnreachable, problem_of

ANSWER_SECONDS_MAX: Final = 30.0
STREAM_SILENCE_SECONDS_MAX: Final = 40.0
"""The server sends a comment every 15 s on an idle stream."""
ANSWER_BYTES_MAX: Final = 64 << 20
EVENT_LINE_BYTES_MAX: Final = 8 << 20
REPEAT_SECONDS: Final = (0.1, 0.3, 1.0, 2.0, 4.0)
"""The pauses before a request that may safely be repeated is sent again."""
RETRY_AFTER_SECONDS_MAX: Final = 10.0
API: Final = "/api/v1"

Shape = TypeVar("Shape")
Query = Mapping[str, str | int | list[str] | None]
_BROKEN = (http.client.HTTPException, OSError)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A successful answer, whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    server: str

    def read(self, shape: type[Shape]) -> Shape:
        """The body as this shape; fields that we do not know are left out. Raises AnswerUnreadable."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AnswerUnreadable(self.server, str(error)) from None


class ApiClient:
    """Speaks to one server, one request at a time.

    A request that only reads, or that carries an Idempotency-Key, is repeated when its connection breaks in the middle:
    the key makes the server recognise the repeat, so that one command is one run whatever the network does. A server
    that cannot be reached at all is said at once.
    """

    def __init__(
        self,
        *,
        server: str,
        token: str | None,
        new_key: Callable[[], str],
        pause: Callable[[float], None],
        user_agent: str,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self.server = server
        self._parts = urlsplit(server)
        self._token = token
        self._new_key = new_key
        self._pause = pause
        self._user_agent = user_agent
        self._answer_seconds_max = answer_seconds_max
        self._kept: http.client.HTTPConnection | None = None

    def get(self, path: str, query: Query | None = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Read something."""
        return self._send("GET", path_with(path, query), None, headers or {})

    def post(self, path: str, content: object = None, *, key: str | None = None) -> Answer:
        """Ask for a change under an Idempotency-Key (a new one, unless the caller keeps one over several calls)."""
        return self._send("POST", path, content, {"Idempotency-Key": key or self._new_key()})

    def put(
        self, path: str, content: object, query: Query | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Replace something; saying the same twice is saying it once."""
        return self._send("PUT", path_with(path, query), content, headers or {})

    def patch(self, path: str, content: object) -> Answer:
        """Change some fields of something to these values."""
        return self._send("PATCH", path, content, {})

    def delete(self, path: str) -> Answer:
        """Take something away."""
        return self._send("DELETE", path, None, {})

    @contextmanager
    def events(
        self, path: str, query: Query | None = None, *, last_id: str | None = None, seconds_max: float | None = None
    ) -> Iterator[Iterator[ServerEvent]]:
        """A stream of events on a connection of its own; it ends when the connection does, `last_id` resumes it.

        No wait for the next line exceeds `seconds_max` or the silence bound; TimeoutError is raised as it is.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        bound = min(STREAM_SILENCE_SECONDS_MAX, seconds_max or STREAM_SILENCE_SECONDS_MAX)
        connection = self._connect(bound)
        try:
            try:
                response = self._exchange(connection, "GET", path_with(path, query), None, headers)
            except TimeoutError:
                raise
            except _BROKEN as error:
                raise ServerUnreachable(self.server, _cause(error)) from None
            if response.status >= 300:
                self._refuse(response, self._body_of(response))
            yield _events_of(response)
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of the kept connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _send(self, method: str, target: str, content: object, headers: Mapping[str, str]) -> Answer:
        body = None if content is None else msgspec.json.encode(content)
        repeatable = method in ("GET", "PUT", "PATCH") or "Idempotency-Key" in headers
        answered_before = self._kept is not None
        for index in range(len(REPEAT_SECONDS) + 1):
            last = index == len(REPEAT_SECONDS)
            reached = self._kept is not None
            try:
                if self._kept is None:
                    self._kept = self._connect(self._answer_seconds_max)
                    self._kept.connect()
                reached = True
                response = self._exchange(self._kept, method, target, body, headers)
                whole = self._body_of(response)
            except _BROKEN as error:
                self.close()
                # Who was never reached is not there; a connection that broke may be a server that restarts.
                patient = not (isinstance(error, TimeoutError) and index)
                if last or not patient or not repeatable or not (reached or answered_before or index):
                    raise ServerUnreachable(self.server, _cause(error)) from None
                self._pause(REPEAT_SECONDS[index])
                continue
            if response.will_close:
                self.close()
            if response.status < 300:
                found = {name.lower(): value for name, value in response.getheaders()}
                return Answer(status=response.status, headers=found, body=whole, server=self.server)
            if response.status not in (429, 503) or last or not repeatable or not self._wait_as_told(response):
                self._refuse(response, whole)
        raise AssertionError("the last try returns or raises")

    def _connect(self, seconds_max: float) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, self._parts.port, timeout=seconds_max, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, self._parts.port, timeout=seconds_max)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        sent = {"Accept": "application/json", "User-Agent": self._user_agent} | dict(headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, f"{self._parts.path}{target}", body=body, headers=sent)
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a body that is too large answers before it has read it all: the answer may be there.
            if connection.sock is None:
                raise
        return connection.getresponse()

    def _body_of(self, response: http.client.HTTPResponse) -> bytes:
        body = response.read(ANSWER_BYTES_MAX + 1)
        if len(body) > ANSWER_BYTES_MAX:
            raise AnswerUnreadable(self.server, f"more than {ANSWER_BYTES_MAX >> 20} MiB")
        response.close()
        return body

    def _wait_as_told(self, response: http.client.HTTPResponse) -> bool:
        """Wait as Retry-After says, if it says so in a bearable number of seconds."""
        told = response.getheader("Retry-After") or ""
        if not told.isdigit() or int(told) > RETRY_AFTER_SECONDS_MAX:
            return False
        self._pause(float(told))
        return True

    def _refuse(self, response: http.client.HTTPResponse, body: bytes) -> None:
        content_type = response.getheader("Content-Type") or ""
        raise RequestRefused(problem_of(response.status, response.reason, content_type, body))


def path_with(path: str, query: Query | None) -> str:
    """The path with its query; what is None is left out, a list repeats its name."""
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def api(*segments: str | int) -> str:
    """A path of the API out of its segments, each quoted, so that no name can climb out of its place."""
    return API + "".join("/" + quote(str(segment), safe="") for segment in segments)


def _events_of(response: http.client.HTTPResponse) -> Iterator[ServerEvent]:
    parser = EventParser()
    while True:
        try:
            line = response.readline(EVENT_LINE_BYTES_MAX)
        except TimeoutError:
            raise
        except _BROKEN:
            return
        if not line.endswith(b"\n"):
            return
        event = parser.feed(line.rstrip(b"\r\n").decode("utf-8", errors="replace"))
        if event is not None:
            yield event


def _cause(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text or type(error).__name__).lower().rstrip(".")
