"""Logs that grow before the reader's eyes: as a page that goes on, and as fragments for the script."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest

from orchestra.limits import LIVE_SECONDS_MAX
from orchestra.storage.database import Database
from tests.service.given import World
from tests.service.listening import SECONDS_MAX, events_of, listening
from tests.service.test_log_stream import client_of, end, grow, running_world


class Lines(msgspec.Struct):
    attempt: int
    line: int
    html: str
    open: str


class Waiting(msgspec.Struct):
    html: str


class Look(msgspec.Struct):
    state: str
    head: str
    steps: str
    title: str


async def until(pieces: AsyncIterator[str], words: str) -> str:
    """What comes up to and including these words."""
    text = ""
    async with asyncio.timeout(SECONDS_MAX):
        async for piece in pieces:
            text += piece
            if words in text:
                return text
    raise AssertionError(f"{words!r} did not come: {text[-500:]!r}")


async def test_a_page_follows_a_log_without_a_script_and_ends_with_the_result(database: Database) -> None:
    world, token, run = await running_world(database)
    await world.attempt(run, 1, b"one\ntwo <b>\nth")

    async with (
        listening(world.app, closing=world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/runs/{run}/log/live") as response,
    ):
        pieces = response.aiter_text()
        first = await until(pieces, ">3</a>th")
        await grow(world, run, 1, b"one\ntwo <b>\nthree\nfour\n", ended=True)
        second = await until(pieces, 'id="L4"')
        await end(world, run)
        last = await until(pieces, "</html>")

    assert response.headers["x-accel-buffering"] == "no"
    assert "no-store" in response.headers["cache-control"]
    assert first.startswith("<!doctype html>")
    assert "two &lt;b&gt;" in first
    assert second.startswith("ree\n")
    assert "failed" in re.sub(r"<[^>]*>", "", last)
    assert 'id="result"' in last


async def test_the_page_ends_after_a_while_and_says_how_to_go_on(database: Database) -> None:
    world, token, run = await running_world(database)
    await world.attempt(run, 1, b"one\n")

    async with (
        listening(world.app, closing=world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/runs/{run}/log/live") as response,
    ):
        pieces = response.aiter_text()
        await until(pieces, 'id="L1"')
        world.clock.advance(LIVE_SECONDS_MAX + 1)
        await grow(world, run, 1, b"one\ntwo\n")
        last = await until(pieces, "</html>")

    assert f'<a href="/runs/{run}/log/live?attempt=1&amp;line=3">continue from line 3</a>' in last


async def test_a_page_begins_at_the_line_that_is_asked_for(small_world: World) -> None:
    client = await small_world.administrator()
    run = (await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]
    await small_world.worker("atlas")
    log = b"".join(b"line %d\n" % number for number in range(1, 2001))
    await small_world.attempt(run, 1, log, ended_at=small_world.clock.now(), state="failed")
    await small_world.attempt(run, 2, b"again\n", ended_at=small_world.clock.now(), state="succeeded")
    await small_world.change_run(run, state="succeeded", ended_at=small_world.clock.now(), attempt=2)

    newest = await client.get(f"/runs/{run}/log/live")
    first = await client.get(f"/runs/{run}/log/live?attempt=1")
    placed = await client.get(f"/runs/{run}/log/live?attempt=1&line=1990")

    assert re.findall(r'id="L(\d+)"', newest.text) == ["1"]
    assert re.findall(r'id="L(\d+)"', first.text) == [*map(str, range(1501, 2001)), "1"]
    assert re.findall(r'id="L(\d+)"', placed.text) == [*map(str, range(1990, 2001)), "1"]
    assert "Attempt 2" in placed.text
    assert first.text.count("<pre") == first.text.count("</pre>")


async def events(response: httpx2.Response, count: int) -> list[tuple[str, str, str | None]]:
    found: list[tuple[str, str, str | None]] = []
    async with asyncio.timeout(SECONDS_MAX):
        async for event in events_of(response):
            found.append((event.name, event.text, event.id))
            if len(found) == count:
                break
    return found


async def test_the_script_gets_lines_the_open_one_and_the_run_when_it_changes(database: Database) -> None:
    world, token, run = await running_world(database)
    await world.attempt(run, 1, b"one\ntwo\nth")

    async with (
        listening(world.app, closing=world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/runs/{run}/log/follow?attempt=1&line=2") as response,
    ):
        stream = events_of(response)
        lines = msgspec.json.decode((first := await anext(stream)).text, type=Lines)
        look = msgspec.json.decode((await anext(stream)).text, type=Look)
        await grow(world, run, 1, b"one\ntwo\nthree\n", ended=True)
        grown = msgspec.json.decode((await anext(stream)).text, type=Lines)
        await end(world, run, "succeeded")
        rest = [event async for event in stream]

    assert (first.name, first.id, lines.line, lines.attempt) == ("lines", "1-3", 3, 1)
    assert re.findall(r">(\d+)</a>(\w+)", lines.html) == [("2", "two")]
    assert re.findall(r">(\d+)</a>(\w+)", lines.open) == [("3", "th")]
    assert re.findall(r">(\d+)</a>(\w+)", grown.html) == [("3", "three")]
    assert (look.state, "Abort" in look.head) == ("running", True)
    assert [event.name for event in rest][-2:] == ["run", "end"]
    assert msgspec.json.decode(rest[-2].text, type=Look).state == "succeeded"


async def test_the_script_goes_on_behind_the_last_event_and_may_want_the_run_alone(sqlite_database: Database) -> None:
    world, token, run = await running_world(sqlite_database)
    await world.attempt(run, 1, b"one\ntwo\n", ended_at=world.clock.now(), state="succeeded")
    await end(world, run, "succeeded")

    async with listening(world.app, closing=world.closing) as server, client_of(server.address, token) as client:
        async with client.stream("GET", f"/runs/{run}/log/follow", headers={"last-event-id": "1-2"}) as response:
            resumed = await events(response, 3)
        async with client.stream("GET", f"/runs/{run}/log/follow?only=run") as response:
            alone = await events(response, 2)

    assert [name for name, _, _ in resumed] == ["lines", "run", "end"]
    assert re.findall(r"</a>(\w+)", msgspec.json.decode(resumed[0][1], type=Lines).html) == ["two"]
    assert [name for name, _, _ in alone] == ["run", "end"]


async def test_the_script_gets_the_reasons_for_waiting_when_they_change(database: Database) -> None:
    world, token, run = await running_world(database)
    await world.change_run(run, state="pending", attempt=0)

    async with (
        listening(world.app, closing=world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/runs/{run}/log/follow?only=run") as response,
    ):
        stream = events_of(response)
        names = [(await anext(stream)).name]
        first = await anext(stream)
        await world.quarantine("backup", reason="2 attempts were lost within 1h: #1, #2")
        await grow(world, run, 1, b"")
        second = await anext(stream)

    assert [*names, first.name, second.name] == ["run", "waiting", "waiting"]
    assert "quarantine" not in msgspec.json.decode(first.text, type=Waiting).html
    assert "2 attempts were lost within 1h" in msgspec.json.decode(second.text, type=Waiting).html


@pytest.mark.parametrize(("path", "kind"), [("live", "text/html"), ("follow", "text/event-stream")])
async def test_the_head_of_a_stream_does_not_wait_for_the_run(small_world: World, path: str, kind: str) -> None:
    client = await small_world.administrator()
    run = (await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]

    answer = await client.head(f"/runs/{run}/log/{path}")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)


async def test_an_event_id_of_somebody_else_is_refused(small_world: World) -> None:
    client = await small_world.administrator()
    run = (await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]

    answer = await client.get(f"/runs/{run}/log/follow", headers={"last-event-id": "seven"})

    assert answer.status_code == 400


async def test_an_open_page_does_not_hold_up_the_end_of_the_website(sqlite_database: Database) -> None:
    world, token, run = await running_world(sqlite_database)
    await world.attempt(run, 1, b"one\n")

    async with (
        listening(world.app, closing=world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"/runs/{run}/log/live") as response,
    ):
        pieces = response.aiter_text()
        await until(pieces, 'id="L1"')
        server.closing.set()
        last = await until(pieces, "</html>")

    assert "the run goes on" in last
