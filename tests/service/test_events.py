"""What happens, as a stream: each event once and in order, for those who may see it, over interruptions too."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import msgspec
import pytest

from orchestra.commands.bearer_texts import BearerText
from orchestra.policy import Role
from orchestra.queries.events import EVENT_TYPES, EventView, read_event_types
from orchestra.storage.database import Database, Signal, Topic
from orchestra.web import event_tail
from tests.service.given import World, job
from tests.service.listening import SECONDS_MAX, StreamEvent, events_of, listening

RUNS = "/api/v1/projects/ops/jobs/backup/runs"
EVENTS = "/api/v1/events"


@pytest.fixture
async def people(world: World) -> AsyncIterator[tuple[World, str, BearerText]]:
    """The service on a port, with an administrator's token."""
    token = await world.user("root", Role.ADMINISTRATOR)
    async with listening(world.app, closing=world.closing) as server:
        yield world, server.address, token


def client_of(address: str, token: BearerText) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {token.text}"}
    return httpx2.AsyncClient(base_url=address, headers=headers, timeout=SECONDS_MAX)


def view(event: StreamEvent) -> EventView:
    return msgspec.json.decode(event.text, type=EventView)


async def make_run(client: httpx2.AsyncClient, path: str = RUNS) -> int:
    return int((await client.post(path, json={})).json()["id"])


async def test_what_happens_arrives_with_everything_that_a_page_needs(
    people: tuple[World, str, BearerText],
) -> None:
    _, address, token = people
    async with client_of(address, token) as client, client.stream("GET", EVENTS) as response:
        assert response.headers["content-type"] == "text/event-stream"
        events = events_of(response)

        run = await make_run(client)
        made = await anext(events)
        await client.post(f"/api/v1/runs/{run}/cancel", json={"reason": "not needed"})
        ended = await anext(events)

    assert (made.name, view(made).run, view(made).job, view(made).actor) == ("run.created", run, "backup", "user root")
    assert (ended.name, view(ended).detail) == ("run.cancelled", "cancelled by user root: not needed")
    assert [str(view(event).id) for event in (made, ended)] == [event.id for event in (made, ended)]


async def test_whoever_comes_back_gets_what_was_missed_and_nothing_twice(
    people: tuple[World, str, BearerText],
) -> None:
    _, address, token = people
    async with client_of(address, token) as client:
        async with client.stream("GET", EVENTS) as response:
            events = events_of(response)
            first = await make_run(client)
            seen = await anext(events)
        missed = [await make_run(client) for _ in range(3)]

        async with client.stream("GET", EVENTS, headers={"last-event-id": seen.id or ""}) as response:
            events = events_of(response)
            caught_up = [view(await anext(events)).run for _ in missed]
            live = await make_run(client)
            newest = view(await anext(events)).run

    assert view(seen).run == first
    assert caught_up == missed
    assert newest == live


async def test_while_little_happens_nobody_waits_for_the_pause_of_a_busy_instance(
    people: tuple[World, str, BearerText], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, address, token = people
    monkeypatch.setattr(event_tail, "EVENT_PAUSE_SECONDS_MAX", 2 * SECONDS_MAX)
    async with client_of(address, token) as client, client.stream("GET", EVENTS) as response:
        events = events_of(response)
        made = []
        for _ in range(3):
            made.append(await make_run(client))
            assert view(await anext(events)).run == made[-1]

    assert len(set(made)) == 3


async def test_only_what_was_asked_for_is_sent(people: tuple[World, str, BearerText]) -> None:
    world, address, token = people
    await world.project("shop", job("deploy"))
    path = f"{EVENTS}?project=shop&types=run.cancelled,run.due"
    async with client_of(address, token) as client, client.stream("GET", path) as response:
        events = events_of(response)
        other = await make_run(client)
        await client.post(f"/api/v1/runs/{other}/cancel", json={})
        wanted = await make_run(client, "/api/v1/projects/shop/jobs/deploy/runs")

        await client.post(f"/api/v1/runs/{wanted}/cancel", json={})

        assert view(await anext(events)).run == wanted


async def test_events_outside_the_scope_are_never_sent(people: tuple[World, str, BearerText]) -> None:
    world, address, token = people
    await world.project("shop", job("deploy"))
    ana = await world.user("ana", (Role.VIEWER, "shop"))
    async with (
        client_of(address, token) as root,
        client_of(address, ana) as client,
        client.stream("GET", EVENTS) as response,
    ):
        events = events_of(response)
        await make_run(root)

        allowed = await make_run(root, "/api/v1/projects/shop/jobs/deploy/runs")

        assert view(await anext(events)).run == allowed
        refused = await client.get(f"{EVENTS}?project=ops")
        assert refused.status_code == 404


async def test_a_worker_that_changed_is_shown_as_it_is(people: tuple[World, str, BearerText]) -> None:
    world, address, token = people
    await world.worker("atlas")
    async with client_of(address, token) as client, client.stream("GET", f"{EVENTS}?types=worker.*") as response:
        events = events_of(response)
        await client.patch("/api/v1/workers/atlas", json={"state": "draining", "reason": "new disk"})

        changed = await anext(events)

    assert (changed.name, changed.id) == ("worker.changed", None)
    assert msgspec.json.decode(changed.text)["state"] == "draining"


async def test_a_stream_ends_with_bye_when_its_listener_loses_the_right(
    people: tuple[World, str, BearerText],
) -> None:
    world, address, token = people
    ana = await world.user("ana", Role.VIEWER)
    async with (
        client_of(address, token) as root,
        client_of(address, ana) as client,
        client.stream("GET", EVENTS) as response,
    ):
        events = events_of(response)
        await make_run(root)
        await anext(events)

        await root.patch("/api/v1/users/ana", json={"enabled": False})
        world.clock.advance(1.0)
        await make_run(root)

        assert [event.name async for event in events] == ["bye"]


async def test_a_stream_ends_with_bye_when_the_process_does(small_world: World) -> None:
    token = await small_world.user("root", Role.ADMINISTRATOR)
    async with (
        listening(small_world.app, closing=small_world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", EVENTS) as response,
    ):
        server.closing.set()

        assert [event.name async for event in events_of(response)] == ["bye"]


async def test_a_quiet_stream_says_that_it_lives_and_how_far_it_has_looked(small_world: World) -> None:
    token = await small_world.user("root", Role.ADMINISTRATOR)
    async with (
        listening(small_world.app, closing=small_world.closing) as server,
        client_of(server.address, token) as client,
        client.stream("GET", f"{EVENTS}?types=run.due") as response,
    ):
        lines = response.aiter_lines()
        begun = [await anext(lines) for _ in range(2)]
        await make_run(client)
        small_world.clock.advance(15.0)
        await small_world.database.write(lambda _: None, signals=[Signal(Topic.RUN)])

        heard = [await anext(lines) for _ in range(2)]

    assert begun == ["retry: 2000", ""]
    assert heard == [": still here", "id: 1"]


async def test_a_late_commit_of_another_process_is_not_skipped(postgres_database: Database, postgres_url: str) -> None:
    world = World(postgres_database)
    await world.project()
    token = await world.user("root", Role.ADMINISTRATOR)
    other = await asyncpg.connect(postgres_url)
    async with listening(world.app, closing=world.closing) as server, client_of(server.address, token) as client:
        run = await make_run(client)
        async with client.stream("GET", EVENTS) as response:
            events = events_of(response)
            transaction = other.transaction()
            await transaction.start()
            late = await other.fetchval(
                "insert into run_events (run_id, at, kind, actor, detail) values ($1, 1, 'due', 'x', '') returning id",
                run,
            )
            early = await make_run(client)

            first = asyncio.ensure_future(anext(events))
            looked = world.parts.events
            await looked.look_once()
            is_held_back = looked.settled_to < late and not first.done()
            await transaction.commit()
            arrived = [view(await first), view(await anext(events))]
    await other.close()

    assert is_held_back
    assert [event.id for event in arrived] == [late, late + 1]
    assert arrived[1].run == early


@pytest.mark.parametrize(
    ("query", "headers", "sentence"),
    [
        ("?types=run.*,nonsense", {}, "'nonsense' fits no type of event"),
        ("?kind=run", {}, "use project, types"),
        ("", {"last-event-id": "7-1"}, "Last-Event-ID is none of ours"),
        ("", {"last-event-id": "999"}, "has not happened"),
        ("?project=nowhere", {}, "there is no project 'nowhere'"),
    ],
)
async def test_what_makes_no_sense_is_refused_before_the_stream_begins(
    small_world: World, query: str, headers: dict[str, str], sentence: str
) -> None:
    client = await small_world.administrator()

    answer = await client.get(EVENTS + query, headers=headers)

    assert answer.status_code in (400, 404)
    assert sentence in answer.text


def test_types_are_chosen_by_patterns() -> None:
    assert read_event_types("").kinds is None
    assert read_event_types("run.*").workers is False
    assert read_event_types("run.*").kinds is None
    assert read_event_types("worker.changed").kinds == ()
    assert read_event_types("run.retry-planned,run.stop-*").kinds == ("retry planned", "stop asked")
    assert all(read_event_types(kind) for kind in EVENT_TYPES)
