"""The HTTP client below the commands: one connection, repeats that are safe, refusals that arrive."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestra.network.client import ApiClient, api, path_with
from orchestra.network.event_stream import EventParser
from orchestra.network.problems import RequestRefused, ServerUnreachable
from tests.core.cli.stand_in import StandIn, Told


def client_of(server: str, *, answer_seconds_max: float = 5.0) -> ApiClient:
    """A client that repeats at once."""
    return ApiClient(
        server=server,
        token=None,
        new_key=lambda: "key",
        pause=lambda _seconds: None,
        user_agent="test",
        answer_seconds_max=answer_seconds_max,
    )


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that treats each connection so, on a raw socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    speak(connection)

        thread = threading.Thread(target=accept, name="speaking")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_one_connection_serves_many_requests(server: StandIn) -> None:
    """A command of several questions pays for one connection."""
    server.on("GET", "/api/v1/me", Told(content={}))
    client = client_of(server.address)

    client.get(api("me"))
    kept = client._kept
    client.get(api("me"))

    assert kept is not None
    assert client._kept is kept
    client.close()


def test_a_refusal_of_a_body_that_is_too_large_arrives() -> None:
    """Though the server closes before it has read it all."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        body = b'{"status":413,"detail":"the body is larger than 1 MiB"}'
        head = f"HTTP/1.1 413 Too Large\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    with speaking(refuse) as address, pytest.raises(RequestRefused, match="larger than 1 MiB"):
        client_of(address).put(api("x"), "a" * (8 << 20))


def test_a_server_that_never_answers_is_given_up() -> None:
    """After the bound, twice for what may be repeated."""
    asked = []

    def stay_silent(connection: socket.socket) -> None:
        asked.append(connection.recv(1000)[:4])
        connection.recv(1000)

    with speaking(stay_silent) as address, pytest.raises(ServerUnreachable, match="timed out"):
        client_of(address, answer_seconds_max=0.3).get(api("me"))
    assert asked == [b"GET ", b"GET "]


def test_a_change_without_a_key_is_never_sent_twice(server: StandIn) -> None:
    """Nobody could tell the repeat from a second wish."""
    server.on("DELETE", "/api/v1/tokens/4", Told(breaks=True))

    with pytest.raises(ServerUnreachable):
        client_of(server.address).delete(api("tokens", 4))
    assert len(server.asked) == 1


def test_a_redirect_is_not_followed(server: StandIn) -> None:
    """The token would go elsewhere."""
    server.on("GET", "/api/v1/me", Told(status=302, headers={"Location": "http://evil.example"}))
    client = client_of(server.address)

    with pytest.raises(RequestRefused, match="redirects elsewhere"):
        client.get(api("me"))
    client.close()


def test_paths_and_queries_are_quoted() -> None:
    """What is None is left out, a list repeats its name."""
    assert api("runs", 7, "a/b ü") == "/api/v1/runs/7/a%2Fb%20%C3%BC"
    assert path_with("/x", {"a": None, "b": ["1", "2"], "c": "&"}) == "/x?b=1&b=2&c=%26"
    assert path_with("/x", {"a": None}) == "/x"


def test_events_are_put_together_from_their_lines() -> None:
    """Several data lines, comments, an id that stays."""
    lines = [": ping", "id: 4", "event: log", "data: one", "data:two", "", "retry: 2000", "", "data: three", ""]
    parser = EventParser()

    events = [event for line in lines if (event := parser.feed(line)) is not None]

    assert [(event.name, event.text, event.id) for event in events] == [
        ("", "", None),
        ("log", "one\ntwo", "4"),
        ("message", "three", "4"),
    ]
