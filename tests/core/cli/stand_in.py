"""A small HTTP server on a real socket that answers as the API does, and can be made to break."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def content(self) -> object:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Told:
    """One answer; `breaks` closes the connection instead of answering."""

    status: int = 200
    content: object = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    pieces: tuple[bytes, ...] | None = None
    """A stream: sent one by one, then the connection is closed."""


Answering = Told | Callable[[Asked], Told]


class StandIn:
    """Routes to answers; several answers of one route come one after the other, the last one stays."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._routes: dict[tuple[str, str], list[Answering]] = {}
        self._lock = threading.Lock()
        self.address = ""

    def on(self, method: str, path: str, *answers: Answering) -> None:
        """Answer this route so."""
        self._routes[method, path] = list(answers)

    def asked_for(self, method: str, path: str) -> list[Asked]:
        """The requests of one route."""
        return [asked for asked in self.asked if (asked.method, asked.path) == (method, path)]

    def answer(self, asked: Asked) -> Told:
        """The answer to a request."""
        with self._lock:
            self.asked.append(asked)
            answers = self._routes.get((asked.method, asked.path))
            if not answers:
                return problem(404, f"there is no {asked.path}")
            chosen = answers.pop(0) if len(answers) > 1 else answers[0]
        return chosen(asked) if callable(chosen) else chosen


def problem(status: int, detail: str, errors: list[dict[str, str]] | None = None, *, retry_after: str = "") -> Told:
    """An RFC 9457 answer."""
    content = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "errors": errors or []}
    waits = {"Retry-After": retry_after} if retry_after else {}
    return Told(status=status, content=content, headers={"Content-Type": "application/problem+json"} | waits)


@contextmanager
def serving(stand_in: StandIn) -> Iterator[StandIn]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(parts.query, keep_blank_values=True)
            asked = Asked(method=self.command, path=parts.path, query=query, headers=headers, body=body)
            told = stand_in.answer(asked)
            if told.breaks:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._send(told)

        def _send(self, told: Told) -> None:
            self.send_response(told.status)
            if told.pieces is not None:
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for piece in told.pieces:
                    self.wfile.write(piece)
                self.close_connection = True
                return
            content = told.body if told.body is not None else json.dumps(told.content).encode()
            if told.status == 204:
                content = b""
            for name, value in ({"Content-Type": "application/json"} | told.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        stand_in.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="stand-in")
        thread.start()
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()


def event(name: str, content: object, identity: str | None = None) -> bytes:
    """A server-sent event."""
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {name}\ndata: {json.dumps(content)}\n\n".encode()


def a_run(number: int = 482, state: str = "pending", **fields: object) -> dict[str, object]:
    """A run as the API shows it."""
    shown: dict[str, object] = {
        "id": number,
        "url": f"/api/v1/runs/{number}",
        "project": "ops",
        "job": "backup",
        "job_version": 1,
        "state": state,
        "reason": "",
        "source": "user ana",
        "parameters": {},
        "worker": None,
        "stop_requested": None,
        "created_at": "2026-03-01T10:00:00.000Z",
        "started_at": None,
        "ended_at": None,
        "exit_code": None,
    }
    return shown | fields


def a_page(*items: object, following: str | None = None, count: int | None = None) -> Told:
    """A list as the API sends it."""
    total = {"value": len(items) if count is None else count, "exact": count is None}
    return Told(content={"items": list(items), "next": following, "total": total})
