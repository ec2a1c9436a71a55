"""Requests that never become whole: they cost a bounded time and memory, and nobody else notices."""

import asyncio

import pytest

from orchestra.limits import REQUEST_HEAD_BYTES_MAX
from tests.service.given import World
from tests.service.listening import SECONDS_MAX, listening

SIGN_IN = b"POST /api/v1/sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
TRIGGER = b"POST /api/v1/projects/ops/jobs/backup/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
LIVE = b"GET /api/v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer_to(world: World, *pieces: bytes) -> bytes:
    """Everything that comes until the server closes the connection, however little is sent."""
    async with listening(world.app, closing=world.closing) as server:
        port = int(server.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await asyncio.wait_for(reader.read(), SECONDS_MAX)
        finally:
            writer.close()


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", LIVE + b"GET"])
async def test_a_head_that_is_not_whole_in_time_ends_the_connection(
    small_world: World, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("orchestra.network.bounded_http.REQUEST_HEAD_SECONDS_MAX", 0.05)

    answer = await answer_to(small_world, sent)

    assert answer.count(b"HTTP/1.1 200") == sent.count(LIVE)


async def test_a_head_without_an_end_is_refused_at_the_bound(small_world: World) -> None:
    pieces = [b"GET / HTTP/1.1\r\nX: ", *[b"a" * 8192] * (REQUEST_HEAD_BYTES_MAX // 8192)]

    answer = await answer_to(small_world, *pieces)

    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b"The head of the request is too large.")


async def test_a_body_that_does_not_come_is_refused_and_the_connection_ends(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestra.web.endpoint.BODY_SECONDS_MAX", 0.05)

    answer = await answer_to(small_world, SIGN_IN)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"the body has not come within" in answer


async def test_the_body_of_a_refused_request_is_not_waited_for(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestra.network.bounded_http.REQUEST_HEAD_SECONDS_MAX", 0.05)

    answer = await answer_to(small_world, TRIGGER)

    assert answer.startswith(b"HTTP/1.1 401")


async def test_a_request_in_small_pieces_and_two_in_one_are_answered(small_world: World) -> None:
    last = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    pieces = [LIVE + LIVE, *(LIVE[place : place + 1] for place in range(len(LIVE))), last]

    answer = await answer_to(small_world, *pieces)

    assert answer.count(b"HTTP/1.1 200") == 4
