"""The door for workers over a real socket: who is let in, and who has to leave again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import update
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from orchestra.clock import SystemClock
from orchestra.commands.bearer_texts import new_bearer_text
from orchestra.commands.bootstrap import first_administrator, local_worker_user
from orchestra.limits import GREETINGS_AT_ONCE_MAX, SUBPROTOCOL
from orchestra.network.server import serve
from orchestra.protocol.codec import CloseCode, encode
from orchestra.storage.database import Database
from orchestra.storage.tables import tokens
from orchestra_master.listener import Listener, TokenWatch
from tests.master.conftest import MasterWorld
from tests.support.worker_end import PATIENCE_SECONDS, hello


async def make_token(database: Database, kind: str) -> str:
    """A valid token of the kind."""
    token = new_bearer_text(kind, lambda length: bytes(range(length)))
    now = SystemClock().now()
    if kind == "worker":
        await database.write(lambda c: local_worker_user(c, "builders", token=token, now=now))
    else:
        await database.write(lambda c: first_administrator(c, token=token, now=now))
    return token.text


@pytest.fixture
async def port(world: MasterWorld) -> AsyncIterator[int]:
    """Where the master's door is open."""
    closing, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(
                Starlette(routes=[world.master.listener.route()]),
                host="127.0.0.1",
                port=0,
                closing=closing,
                before_close=world.master.say_bye,
                ready=ready.set_result,
            )
        )
        yield await ready
        closing.set()


@asynccontextmanager
async def connection(
    port: int, token: str | None, *, origin: str | None = None, protocol: str = SUBPROTOCOL
) -> AsyncIterator[ClientConnection]:
    """A worker's socket."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Origin": origin} if origin else {}
    address = f"ws://127.0.0.1:{port}/worker/v1"
    async with connect(address, additional_headers=headers, subprotocols=[protocol], proxy=None) as socket:  # type: ignore[list-item]  # Subprotocol is a NewType of str
        yield socket


async def status_of(port: int, token: str | None, *, stays: bool = False, **more: str) -> int:
    """The HTTP status with which a handshake was refused; 101 if it was not, with `stays` after the connection."""
    try:
        async with connection(port, token, **more) as socket:
            if stays:
                await socket.wait_closed()
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_only_a_valid_worker_token_opens_the_door(world: MasterWorld, port: int) -> None:
    good, person = await make_token(world.database, "worker"), None
    statuses = [
        await status_of(port, good),
        await status_of(port, person),
        await status_of(port, "not a token"),
        await status_of(port, "orc_w_" + "0" * 64),
    ]

    assert statuses == [101, 401, 401, 401]
    assert world.master.listener.refused == 3


async def test_a_persons_token_does_not_open_the_workers_door(world: MasterWorld, port: int) -> None:
    assert await status_of(port, await make_token(world.database, "user")) == 401


async def test_browsers_and_foreign_protocols_are_turned_away(world: MasterWorld, port: int) -> None:
    good = await make_token(world.database, "worker")

    assert await status_of(port, good, origin="https://evil.example") == 403
    assert await status_of(port, good, protocol="chat") == 400


async def test_a_revoked_token_ends_the_connection_that_it_opened(world: MasterWorld, port: int) -> None:
    good = await make_token(world.database, "worker")
    async with connection(port, good) as socket:
        await socket.send(str(encode([hello()])[0]))
        await socket.recv()
        await world.database.write(lambda c: c.execute(update(tokens).values(revoked_at=1)))

        await TokenWatch(listener=world.master.listener).run_once()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == CloseCode.REFUSED


async def test_more_workers_than_are_greeted_at_once_wait_and_all_come_in(world: MasterWorld, port: int) -> None:
    good = await make_token(world.database, "worker")

    statuses = await asyncio.gather(*(status_of(port, good) for _ in range(5 * GREETINGS_AT_ONCE_MAX)))

    assert set(statuses) == {101}


async def test_bad_tokens_take_nobodys_place(world: MasterWorld, port: int) -> None:
    good = await make_token(world.database, "worker")

    bad = [asyncio.ensure_future(status_of(port, "orc_w_" + "0" * 64)) for _ in range(10 * GREETINGS_AT_ONCE_MAX)]
    welcome = await status_of(port, good)

    assert welcome == 101
    assert set(await asyncio.gather(*bad)) == {401}


async def test_a_socket_that_says_nothing_keeps_the_others_waiting_for_a_moment_only(
    world: MasterWorld, port: int
) -> None:
    good = await make_token(world.database, "worker")
    async with AsyncExitStack() as stack:
        for _ in range(GREETINGS_AT_ONCE_MAX):
            await stack.enter_async_context(connection(port, good))

        assert await status_of(port, good) == 101


async def test_who_waits_while_the_master_closes_is_told_to_come_again(world: MasterWorld, port: int) -> None:
    good = await make_token(world.database, "worker")
    # A crowd at once, because a place is free again after half a second, in which a slow machine opens but a few.
    crowd = [asyncio.ensure_future(status_of(port, good, stays=True)) for _ in range(3 * GREETINGS_AT_ONCE_MAX)]
    await until_somebody_waits(world.master.listener)
    await world.master.say_bye()

    over, _ = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
    assert {each.result() for each in over} == {503}
    for each in crowd:
        each.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def until_somebody_waits(listener: Listener) -> None:
    """Until a worker has a good token and no place."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not listener.waiting:  # noqa: ASYNC110 - the room sets no event for its visitors
            await asyncio.sleep(0)
