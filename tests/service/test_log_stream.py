"""Logs as they grow: what is committed arrives once, whole characters only, to the run's end."""

import asyncio

import httpx2
import msgspec

from orchestra.commands.bearer_texts import BearerText
from orchestra.policy import Role
from orchestra.storage.database import Database, Signal, Topic
from orchestra.storage.tables import attempts, runs
from tests.service.given import World
from tests.service.listening import SECONDS_MAX, StreamEvent, events_of, listening

RUNS = "/api/v1/projects/ops/jobs/backup/runs"


class LogShown(msgspec.Struct, forbid_unknown_fields=True):
    attempt: int
    offset: int
    text: str


async def grow(world: World, run: int, attempt: int, log: bytes, *, ended: bool = False) -> None:
    """Commits more log, as a master does, and signals it."""
    world.logs.content[run, attempt] = log
    values: dict[str, object] = {"log_length": len(log)}
    if ended:
        values |= {"ended_at": world.clock.now(), "state": "failed"}
    await world.database.write(
        lambda connection: connection.execute(
            attempts.update().where(attempts.c.run_id == run, attempts.c.number == attempt).values(**values)
        ),
        signals=[Signal(Topic.RUN, str(run))],
    )


async def end(world: World, run: int, state: str = "failed") -> None:
    values = {"state": state, "ended_at": world.clock.now()}
    await world.database.write(
        lambda connection: connection.execute(runs.update().where(runs.c.id == run).values(**values)),
        signals=[Signal(Topic.RUN, str(run))],
    )


async def running_world(database: Database) -> tuple[World, BearerText, int]:
    world = World(database)
    await world.project()
    token = await world.user("root", Role.ADMINISTRATOR)
    async with world.client(token) as client:
        run = (await client.post(RUNS, json={})).json()["id"]
    await world.worker("atlas")
    await world.change_run(run, state="running", attempt=1)
    return world, token, run


def client_of(address: str, token: BearerText) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {token.text}"}
    return httpx2.AsyncClient(base_url=address, headers=headers, timeout=SECONDS_MAX)


async def read_all(client: httpx2.AsyncClient, run: int, **headers: str) -> list[StreamEvent]:
    async with client.stream("GET", f"/api/v1/runs/{run}/log/stream", headers=headers) as response:
        assert response.status_code == 200
        return [event async for event in events_of(response)]


async def test_a_stream_brings_what_is_committed_while_it_grows_and_ends_with_the_run(database: Database) -> None:
    world, token, run = await running_world(database)
    await world.attempt(run, 1, "grüße ".encode())
    texts: list[str] = []

    async with listening(world.app, closing=world.closing) as server, client_of(server.address, token) as client:
        async with client.stream("GET", f"/api/v1/runs/{run}/log/stream") as response:
            events = events_of(response)
            first = await anext(events)
            # The second byte of the last character is not committed yet.
            await grow(world, run, 1, "grüße aus Ö".encode()[:-1])
            second = await anext(events)
            await grow(world, run, 1, "grüße aus Östersund\n".encode(), ended=True)
            third = await anext(events)
            await end(world, run)
            last = await anext(events)
        for event in (first, second, third):
            texts.append(msgspec.json.decode(event.text, type=LogShown).text)

    assert texts == ["grüße ", "aus ", "Östersund\n"]
    assert (second.id, third.id) == ("1-12", f"1-{len('grüße aus Östersund'.encode()) + 1}")
    assert (last.name, msgspec.json.decode(last.text)["state"]) == ("end", "failed")


async def test_a_stream_resumes_where_the_listener_was(sqlite_database: Database) -> None:
    world, token, run = await running_world(sqlite_database)
    await world.attempt(run, 1, b"one\ntwo\n", ended_at=world.clock.now(), state="succeeded")
    await end(world, run, "succeeded")

    async with listening(world.app, closing=world.closing) as server, client_of(server.address, token) as client:
        events = await read_all(client, run, **{"last-event-id": "1-4"})

    assert [event.name for event in events] == ["log", "end"]
    assert msgspec.json.decode(events[0].text, type=LogShown) == LogShown(attempt=1, offset=4, text="two\n")


async def test_a_stream_goes_on_with_the_next_attempt(sqlite_database: Database) -> None:
    world, token, run = await running_world(sqlite_database)
    await world.attempt(run, 1, b"first\xc3", ended_at=world.clock.now(), state="failed")
    await world.attempt(run, 2, b"second", ended_at=world.clock.now(), state="succeeded")
    await end(world, run, "succeeded")

    async with listening(world.app, closing=world.closing) as server, client_of(server.address, token) as client:
        events = await read_all(client, run, **{"last-event-id": "1-0"})

    pieces = [msgspec.json.decode(event.text, type=LogShown) for event in events[:-1]]
    assert [(piece.attempt, piece.text) for piece in pieces] == [(1, "first"), (1, "\ufffd"), (2, "second")]


async def test_a_stream_ends_when_its_listener_loses_the_right_to_listen(sqlite_database: Database) -> None:
    world, _, run = await running_world(sqlite_database)
    await world.attempt(run, 1, b"one\n")
    token = await world.user("ana", Role.VIEWER)

    async with (
        listening(world.app, closing=world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/api/v1/runs/{run}/log/stream") as response,
    ):
        events = events_of(response)
        await anext(events)
        await world.database.write(
            lambda connection: connection.exec_driver_sql("update users set disabled_at = 1 where name = 'ana'")
        )
        world.clock.advance(1.0)
        await grow(world, run, 1, b"one\nsecret\n")
        rest = [event.name async for event in events]

    assert rest == ["bye"]


async def test_the_head_of_a_stream_does_not_wait_for_the_run(small_world: World) -> None:
    client = await small_world.administrator()
    run = (await client.post(RUNS, json={})).json()["id"]

    answer = await client.head(f"/api/v1/runs/{run}/log/stream")

    assert answer.headers["content-type"] == "text/event-stream"


async def test_an_open_stream_does_not_hold_up_the_end_of_the_service(sqlite_database: Database) -> None:
    world, token, run = await running_world(sqlite_database)
    await world.attempt(run, 1, b"hello\n")
    order: list[str] = []

    async def say_bye() -> None:
        order.append("bye")

    async with (
        listening(world.app, closing=world.closing, before_close=say_bye) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/api/v1/runs/{run}/log/stream") as response,
    ):
        events = events_of(response)
        await anext(events)
        begun = asyncio.get_running_loop().time()
        server.closing.set()
        order.extend([event.name async for event in events])
        await server.stop()
        took = asyncio.get_running_loop().time() - begun

    assert sorted(order) == ["bye", "bye"]
    assert took < 5, "the grace for open requests is 10 s: the stream was not told"


async def test_a_stream_of_an_unknown_run_is_404(small_world: World) -> None:
    client = await small_world.administrator()

    answer = await client.get("/api/v1/runs/999/log/stream")

    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no run #999")
