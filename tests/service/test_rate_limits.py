"""Limits of the web surface: who asks too often waits, nobody else does, and a busy program is never stopped."""

import httpx2
import msgspec
import pytest

from orchestra.limits import GUESSES_PER_MINUTE, STREAMS_MAX
from orchestra.policy import Role
from orchestra.storage.database import Database
from orchestra.web.rate_settings import RateSettings
from orchestra_service.problems import Problem
from tests.service.given import World
from tests.service.listening import SECONDS_MAX, listening
from tests.support.keepers import until

RUNS = "/api/v1/projects/ops/jobs/backup/runs"
JOBS = "/api/v1/jobs"
EVENTS = "/api/v1/events"


async def limited(database: Database, **limits: int | None) -> World:
    """A service with these limits."""
    world = World(database, rates=RateSettings(**limits))
    await world.project()
    return world


def client_from(world: World, address: str, **headers: str) -> httpx2.AsyncClient:
    """A client at an address."""
    transport = httpx2.ASGITransport(app=world.app, client=(address, 50_000))
    return httpx2.AsyncClient(transport=transport, base_url="http://orchestra.test", headers=headers)


async def statuses(client: httpx2.AsyncClient, path: str, times: int) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


async def test_who_reads_too_often_is_told_when_to_come_again(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=2)
    client = await world.administrator()

    first = await client.get(JOBS)
    second = await client.get(JOBS)
    refused = await client.get(JOBS)

    assert (first.status_code, second.status_code) == (200, 200)
    assert (first.headers["ratelimit-policy"], first.headers["ratelimit"]) == ('"reads";q=2;w=60', '"reads";r=1;t=30')
    assert second.headers["ratelimit"] == '"reads";r=0;t=60'
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert refused.headers["ratelimit"] == '"reads";r=0;t=60'
    problem = msgspec.json.decode(refused.content, type=Problem)
    assert (problem.type, problem.retryable) == ("urn:orchestra:problem:too-many-requests", True)
    assert problem.detail == "more than 2 reads in a minute: try again in 30 s"


async def test_a_bucket_fills_again_evenly_and_not_beyond_its_quota(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=2)
    client = await world.administrator()
    await statuses(client, JOBS, 2)

    world.clock.advance(29.9)
    early = await statuses(client, JOBS, 1)
    world.clock.advance(0.1)
    in_time = await statuses(client, JOBS, 2)
    world.clock.advance(3600)
    later = await statuses(client, JOBS, 3)

    assert (early, in_time, later) == ([429], [200, 429], [200, 200, 429])


async def test_readings_changes_and_bearers_have_buckets_of_their_own(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=1, writes=1)
    root, ana = await world.administrator(), world.client(await world.user("ana", Role.OPERATOR))
    assert await statuses(root, JOBS, 2) == [200, 429]

    change = await root.post(RUNS, json={})
    next_change = await root.post(RUNS, json={})

    assert (change.status_code, change.headers["ratelimit-policy"]) == (201, '"writes";q=1;w=60')
    assert next_change.status_code == 429
    assert await statuses(ana, JOBS, 2) == [200, 429]


async def test_triggers_are_counted_per_user_and_stops_are_none(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, writes=10, triggers=2)
    root = await world.administrator()
    made = await root.post("/api/v1/tokens", json={"name": "second", "kind": "user"})
    second = world.client(authorization=f"Bearer {made.json()['secret']}")

    runs = [await root.post(RUNS, json={}), await second.post(RUNS, json={})]
    refused = await second.post(RUNS, json={})
    run = runs[0].json()["id"]
    stopped = await root.post(f"/api/v1/runs/{run}/abort", json={})
    retried = await root.post(f"/api/v1/runs/{run}/retry", json={})

    assert [each.status_code for each in runs] == [201, 201]
    assert runs[1].headers["ratelimit"] == '"writes";r=9;t=6, "triggers";r=0;t=60'
    assert (refused.status_code, refused.headers["ratelimit-policy"]) == (429, '"triggers";q=2;w=60')
    assert (stopped.status_code, retried.status_code) == (202, 429)
    # What was refused as a trigger took nothing as a change: token, run and stop did.
    assert stopped.headers["ratelimit"] == '"writes";r=7;t=18'


async def test_a_reading_that_is_unchanged_is_not_counted(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=2)
    client = await world.administrator()
    tag = (await client.get(JOBS)).headers["etag"]

    unchanged = [await client.get(JOBS, headers={"if-none-match": tag}) for _ in range(5)]

    assert {each.status_code for each in unchanged} == {304}
    assert {each.headers["ratelimit"].partition(";t")[0] for each in unchanged} == {'"reads";r=1'}
    assert await statuses(client, JOBS, 2) == [200, 429]


async def test_who_shows_no_token_is_counted_by_address(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=3)
    here, there = client_from(world, "192.0.2.1"), client_from(world, "192.0.2.2")
    paths = ("/api", "/api/v1/jobs", "/api/v1/nothing", "/api", "/api/v1/jobs", "/api/v1/nothing", "/nothing")

    told = [(await here.get(path)).status_code for path in paths]

    assert told == [200, 401, 404, 429, 429, 429, 429]
    assert (await there.get("/api")).status_code == 200
    assert await statuses(here, "/api/v1/health/live", 5) == [200] * 5


async def test_neighbours_in_one_ipv6_network_share_a_bucket(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=1)

    told = [await statuses(client_from(world, f"2001:db8::{each}"), "/api", 1) for each in ("1", "2", "1:0:0:0")]
    elsewhere = await statuses(client_from(world, "2001:db8:0:1::1"), "/api", 1)

    assert (told, elsewhere) == ([[200], [429], [429]], [200])


async def test_a_page_that_is_refused_is_a_page(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, reads=1)
    client = await world.administrator()
    await client.get("/runs")

    refused = await client.get("/runs")

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert refused.headers["content-type"].startswith("text/html")
    assert "Too much at once" in refused.text
    assert "More than 1 reads in a minute: try again in 60 s" in refused.text


async def test_wrong_tokens_are_looked_up_so_often_and_known_ones_go_on(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, guesses=3)
    known, other = await world.administrator(), world.client(await world.user("ana", Role.VIEWER))
    assert await statuses(known, JOBS, 1) == [200]
    wrong = [world.client(authorization=f"Bearer orc_u_{each:064x}") for each in range(900, 905)]

    told = [(await client.get(JOBS)).status_code for client in wrong]
    world.clock.advance(5)

    assert told == [401, 401, 401, 429, 429]
    assert await statuses(known, JOBS, 1) == [200]
    assert await statuses(other, JOBS, 1) == [429]
    page = await wrong[0].get("/runs")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=%2Fruns")
    world.clock.advance(15)
    assert await statuses(other, JOBS, 1) == [200]


async def test_wrong_tokens_are_bounded_unasked(small_world: World) -> None:
    client = small_world.client(authorization=f"Bearer orc_u_{900:064x}")

    told = await statuses(client, JOBS, GUESSES_PER_MINUTE + 1)

    assert told == [401] * GUESSES_PER_MINUTE + [429]


async def test_open_streams_are_bounded_and_free_again_when_the_listener_goes(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, streams=1, all_streams=2)
    tokens = [await world.user(name, Role.VIEWER) for name in ("ana", "ben", "cleo")]

    async with listening(world.app, closing=world.closing) as server:
        ana, ben, cleo = (
            httpx2.AsyncClient(base_url=server.address, headers={"authorization": f"Bearer {token.text}"})
            for token in tokens
        )
        async with ana, ben, cleo:
            async with ana.stream("GET", EVENTS) as first, ben.stream("GET", EVENTS) as second:
                own, everybody = await ana.get(EVENTS), await cleo.get(EVENTS)
                reading = await ana.get(JOBS)
            await until(lambda: world.parts.door.limits.streams_open == 0, SECONDS_MAX)
            async with cleo.stream("GET", EVENTS) as third:
                assert third.status_code == 200

    assert (first.status_code, second.status_code, reading.status_code) == (200, 200, 200)
    assert first.headers["ratelimit-policy"] == '"streams";q=1;qu="concurrent-requests"'
    assert first.headers["ratelimit"] == '"streams";r=0'
    assert (own.status_code, own.headers["retry-after"], everybody.status_code) == (429, "10", 429)
    assert own.json()["detail"] == "you have 1 streams and downloads open: close one, or try again in 10 s"
    assert everybody.json()["detail"] == "this server has 2 streams and downloads open: try again in 10 s"


async def test_streams_that_end_by_themselves_are_free_again(sqlite_database: Database) -> None:
    world = await limited(sqlite_database, streams=1)
    await world.worker("atlas")
    client = await world.administrator()
    run = (await client.post(RUNS, json={})).json()["id"]
    await world.attempt(run, 1, b"hello\n", ended_at=world.clock.now(), state="succeeded")

    downloads = [await client.get(f"/api/v1/runs/{run}/log") for _ in range(STREAMS_MAX // 100 + 3)]

    assert [each.text for each in downloads] == ["hello\n"] * len(downloads)
    assert world.parts.door.limits.streams_open == 0


@pytest.mark.parametrize("path", ["/api/v1/runs/999/log/stream", "/api/v1/events?types=nonsense", "/api/v1/audit?x=1"])
async def test_streams_that_are_refused_hold_nothing(small_world: World, path: str) -> None:
    client = await small_world.administrator()

    answer = await client.get(path)

    assert answer.status_code in (400, 404)
    assert small_world.parts.door.limits.streams_open == 0


async def test_unasked_no_answer_speaks_of_limits(small_world: World) -> None:
    client = await small_world.administrator()

    answers = [await client.get(JOBS), await client.post(RUNS, json={}), await client.get("/runs")]

    assert [name for each in answers for name in each.headers if name.startswith("ratelimit")] == []
