"""The metrics: what is told, to whom, and that their number is bounded by the program and not by who asks."""

import asyncio

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, insert
from starlette.applications import Starlette

from orchestra.metrics import HttpMetrics, LoopLag
from orchestra.policy import Role
from orchestra.queries.counts import ended_runs
from orchestra.storage.database import Database
from orchestra.storage.tables import run_events
from orchestra.web.endpoint import Door
from orchestra.web.event_tail import EventTail
from orchestra.web.metrics_routes import MetricsRoutes, metrics_alone
from orchestra.web.run_metrics import RunMetrics
from tests.service.given import HandClock, World

RUNS = "/api/v1/projects/ops/jobs/backup/runs"
Samples = dict[str, float]


def samples(text: str) -> Samples:
    """By name and labels, as they stand in the text."""
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_runs_are_told_by_state_and_by_how_they_ended(world: World) -> None:
    root = await world.administrator()
    first = samples((await root.get("/metrics")).text)
    made = [(await root.post(RUNS, json={})).json()["id"] for _ in range(3)]
    await root.post(f"/api/v1/runs/{made[0]}/cancel", json={})

    answer = await root.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    found = samples(answer.text)
    assert found["orchestra_runs{state=pending}"] == 2
    assert found["orchestra_runs{state=running}"] == 0
    assert first["orchestra_runs_ended_total{state=cancelled}"] == 0
    assert found["orchestra_runs_ended_total{state=cancelled}"] == 1
    assert found["orchestra_database_up"] == 1
    assert found["orchestra_database_batch_changes_count"] >= 4
    assert found["process_resident_memory_bytes"] > 0


async def test_requests_are_counted_by_route_and_never_by_address(small_world: World) -> None:
    root = await small_world.administrator()
    for path in ("/api/v1/runs/1", "/api/v1/runs/2", "/api/v1/nowhere/1", "/api/v1/nowhere/2"):
        await root.get(path)
    await root.request("BREW", "/api/v1/runs")

    found = samples((await root.get("/metrics")).text)

    assert found["orchestra_http_requests_total{method=GET}{route=/api/v1/runs/{run}}{status=404}"] == 2
    assert found["orchestra_http_requests_total{method=GET}{route=nowhere}{status=404}"] == 2
    assert found["orchestra_http_requests_total{method=other}{route=/api/v1/runs}{status=405}"] == 1
    assert found["orchestra_http_request_seconds_count{route=/api/v1/runs/{run}}"] == 2


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.VIEWER, 200), (Role.AUDITOR, 200), ((Role.OPERATOR, "ops"), 403), (Role.WORKER, 403), (None, 401)],
)
async def test_only_those_who_may_read_the_whole_instance_read_its_metrics(
    small_world: World, role: Role | tuple[Role, str] | None, status: int
) -> None:
    token = None if role is None else await small_world.user("ana", role)

    answer = await small_world.client(token).get("/metrics")

    assert answer.status_code == status


async def test_a_process_without_other_routes_tells_its_metrics_by_the_same_rule(small_world: World) -> None:
    token = await small_world.user("prometheus", Role.VIEWER)
    registry = CollectorRegistry()
    door = Door(
        authenticator=small_world.parts.authenticator,
        limits=small_world.parts.door.limits,
        random_bytes=small_world.randomness,
        metrics=HttpMetrics(registry=registry, clock=small_world.clock),
    )
    transport = httpx2.ASGITransport(app=Starlette(routes=metrics_alone(door, MetricsRoutes(registry=registry))))
    client = httpx2.AsyncClient(transport=transport, base_url="http://master.test")

    refused = await client.get("/metrics")
    told = await client.get("/metrics", headers={"authorization": f"Bearer {token.text}"})

    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.text == "sign in first: send a valid token in the Authorization header\n"
    assert samples(told.text)["orchestra_http_requests_total{method=GET}{route=/metrics}{status=401}"] == 1


async def test_a_database_that_is_away_is_told_and_not_an_error(sqlite_database: Database) -> None:
    registry, clock = CollectorRegistry(), HandClock()
    tail = EventTail(database=sqlite_database, clock=clock, closing=asyncio.Event())
    metrics = RunMetrics(registry=registry, database=sqlite_database, tail=tail)
    await sqlite_database.close()

    await metrics.refresh()

    assert registry.get_sample_value("orchestra_database_up") == 0


async def test_ends_are_counted_up_to_a_bound_and_the_rest_the_next_time(world: World) -> None:
    root = await world.administrator()
    run = (await root.post(RUNS, json={})).json()["id"]

    def add(connection: Connection) -> None:
        rows = [
            {"run_id": run, "at": 1, "kind": kind, "actor": "x"} for kind in ("broke", "expired", "offered", "broke")
        ]
        connection.execute(insert(run_events), rows)

    await world.database.write(add)

    found, counted_to = await world.database.read(lambda connection: ended_runs(connection, 1, 4))

    assert {state: number for state, number in found.items() if number} == {"exception": 1, "cancelled": 1}
    assert counted_to == 4


async def test_the_loop_tells_how_late_it_is() -> None:
    registry, clock = CollectorRegistry(), HandClock()
    lag = asyncio.create_task(LoopLag(registry=registry, clock=clock, every_seconds=0.0).run(), name="lag")
    await asyncio.sleep(0)

    clock.advance(0.5)
    await asyncio.sleep(0)
    lag.cancel()

    assert registry.get_sample_value("orchestra_event_loop_lag_seconds_sum") == 0.5
