"""The server around the applications: where it cannot listen, and how it ends."""

import asyncio
import os
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from orchestra.errors import PortInUse
from orchestra.network.hosts import is_loopback
from orchestra.network.server import serve
from tests.service.listening import SECONDS_MAX, listening

PROGRAM = """
import asyncio, sys
from starlette.applications import Starlette
from orchestra.network.server import serve

async def bye() -> None:
    print("bye", flush=True)

asyncio.run(serve(
    Starlette(), host="127.0.0.1", port=0, closing=asyncio.Event(), before_close=bye,
    ready=lambda port: print(port, flush=True),
))
print("over", flush=True)
"""


async def nothing() -> None:
    """Nobody to say goodbye to."""


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortInUse) as refused:
            await serve(
                Starlette(),
                host="127.0.0.1",
                port=port,
                closing=asyncio.Event(),
                before_close=nothing,
                ready=lambda _: None,
            )

    assert str(refused.value) == (
        f"cannot listen on 127.0.0.1:{port} (Address already in use): stop what listens there, or give another --port"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
async def test_an_address_that_is_not_ours_is_one_sentence(host: str) -> None:
    with pytest.raises(PortInUse, match="cannot listen on"):
        await serve(Starlette(), host=host, port=0, closing=asyncio.Event(), before_close=nothing, ready=lambda _: None)


@pytest.mark.parametrize(
    ("host", "proxies", "is_told"),
    [("127.0.0.1", (), False), ("localhost", (), False), ("0.0.0.0", (), True), ("0.0.0.0", ("10.0.0.1",), False)],
)
async def test_who_listens_to_other_machines_without_a_proxy_is_told_what_that_means(
    host: str, proxies: tuple[str, ...], is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    closing = asyncio.Event()

    await serve(
        Starlette(),
        host=host,
        port=0,
        closing=closing,
        before_close=nothing,
        ready=lambda _: closing.set(),
        trusted_proxies=proxies,
    )

    assert any("open_to_others" in message for message in caplog.messages) == is_told


@pytest.mark.parametrize(
    ("host", "is_ours_alone"),
    [("::1", True), ("127.8.8.8", True), ("::", False), ("", False), ("192.0.2.1", False), ("build.example", False)],
)
def test_loopback_is_told_from_every_other_address(host: str, is_ours_alone: bool) -> None:
    assert is_loopback(host) is is_ours_alone


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_status_0(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0

        os.kill(process.pid, number)
        said, _ = process.communicate(timeout=SECONDS_MAX)

    assert (process.returncode, said.split()) == (0, ["bye", "over"])


async def test_an_open_request_is_finished_before_the_end() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: object) -> PlainTextResponse:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("done")

    closing = asyncio.Event()
    app = Starlette(routes=[Route("/slow", slow)])
    async with listening(app, closing=closing) as server, httpx2.AsyncClient(base_url=server.address) as client:
        asked = asyncio.create_task(client.get("/slow"), name="slow request")
        await asyncio.wait_for(begun.wait(), SECONDS_MAX)
        closing.set()
        go_on.set()

        answer = await asked

    assert answer.text == "done"


async def test_a_farewell_that_hangs_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestra.network.server.FAREWELL_SECONDS_MAX", 0.05)

    async def hang() -> None:
        await asyncio.Event().wait()

    async with listening(Starlette(), closing=asyncio.Event(), before_close=hang) as server:
        await server.stop()

    assert server.task.done()


@pytest.mark.parametrize(
    ("trusted", "said"),
    [((), "127.0.0.1 http"), (("127.0.0.1",), "192.0.2.7 https"), (("192.0.2.1",), "127.0.0.1 http")],
)
async def test_only_a_named_proxy_says_where_a_request_comes_from(trusted: tuple[str, ...], said: str) -> None:
    async def origin(request: Request) -> PlainTextResponse:
        assert request.client is not None
        return PlainTextResponse(f"{request.client.host} {request.url.scheme}")

    app = Starlette(routes=[Route("/", origin)])
    claimed = {"x-forwarded-for": "198.51.100.1, 192.0.2.7", "x-forwarded-proto": "https"}

    async with (
        listening(app, closing=asyncio.Event(), trusted_proxies=trusted) as server,
        httpx2.AsyncClient() as client,
    ):
        answer = await client.get(server.address, headers=claimed)

    assert answer.text == said
