"""What is wrong with a request is told as a problem, always in the same form, and changes nothing."""

import logging
from collections.abc import AsyncIterator

import pytest

from orchestra.policy import Role
from tests.service.given import World

REFUSALS = [
    ("GET", "/api/v1/nothing", None, 404, "there is nothing at '/api/v1/nothing'"),
    ("GET", "/api/v1/runs/", None, 404, "there is nothing at '/api/v1/runs/'"),
    ("DELETE", "/api/v1/runs", None, 405, "DELETE is not possible here: use GET or HEAD"),
    (
        "GET",
        "/api/v1/runs?colour=red",
        None,
        400,
        "/colour: is no filter here: use status, project, job, worker, source",
    ),
    ("GET", "/api/v1/runs?status=done", None, 400, "/status: 'done' is no state: use scheduled, waiting, pending"),
    ("GET", "/api/v1/runs?limit=201", None, 400, "/limit: must be a whole number from 1 to 200"),
    ("GET", "/api/v1/runs?cursor=zzz", None, 400, "/cursor: is no cursor of this list: take the one in `next`"),
    (
        "GET",
        "/api/v1/runs?created_after=2026-01-01T00:00",
        None,
        400,
        "/created_after: must be an instant with its zone",
    ),
    ("GET", "/api/v1/runs?sort=job", None, 400, "/sort: must be id or -id"),
    ("GET", "/api/v1/runs/7", None, 404, "there is no run #7"),
    ("GET", "/api/v1/runs/seven", None, 404, "there is no run 'seven'"),
    ("GET", "/api/v1/runs/99999999999999999999", None, 404, "there is no run '99999999999999999999'"),
    ("GET", "/api/v1/workers/atlas", None, 404, "there is no worker 'atlas'"),
    ("GET", "/api/v1/workers?all=1", None, 400, "/all: is unknown here: use limit, cursor"),
    ("POST", "/api/v1/runs/7/abort", b"{", 400, "the body is no JSON"),
    ("POST", "/api/v1/runs/7/abort", b'{"reason": 5}', 422, "/reason: expected `str`, got `int`"),
    ("POST", "/api/v1/runs/7/abort", b"[" * 100_000, 422, ": expected `object`, got `array`"),
    ("POST", "/api/v1/runs/7/abort", b'{"why": 5}', 422, "/why: is unknown here"),
    ("PATCH", "/api/v1/projects/ops/jobs/backup", b"{}", 422, "/enabled: is missing"),
    ("POST", "/api/v1/runs/7/abort", b'"' + b"x" * (1 << 20) + b'"', 413, "the body is larger than 1048576 bytes"),
    (
        "PATCH",
        "/api/v1/workers/atlas",
        b'{"state": "quarantined"}',
        422,
        "/state: must be online, draining or disabled",
    ),
    ("GET", "/api/v1/runs?token=orc_u_" + "0" * 64, None, 400, "a token does not belong in the URL"),
    ("GET", "/api/v1/me?access_token=x", None, 400, "a token does not belong in the URL"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "sentence"), REFUSALS, ids=lambda value: str(value)[:40])
async def test_a_refusal_is_a_problem_with_a_sentence(
    small_world: World, method: str, path: str, body: bytes | None, status: int, sentence: str
) -> None:
    client = await small_world.administrator()

    answer = await client.request(method, path, content=body)

    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert set(problem) == {"type", "title", "status", "detail", "instance", "errors", "retryable"}
    assert problem["detail"].startswith(sentence)
    assert problem["instance"] == answer.headers["x-request-id"]
    assert problem["status"] == status


async def test_a_body_without_a_length_is_cut_off_at_the_bound(small_world: World) -> None:
    client = await small_world.administrator()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    answer = await client.post("/api/v1/projects/ops/jobs/backup/runs", content=endless())

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/api/v1/health/live", "/api/v1/nothing", "/", "/sign-in", "/api/v1/runs"])
async def test_every_answer_carries_the_security_headers(small_world: World, path: str) -> None:
    answer = await small_world.client().get(path)

    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "cache-control" in answer.headers
    assert len(answer.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic cm9vdDpyb290",
        "Bearer orc_u_" + "g" * 64,
        "Bearer orc_u_" + "0" * 64,
        "Bearer \xff",
    ],
)
async def test_a_token_that_is_none_is_401_and_makes_no_noise(
    small_world: World, header: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = small_world.client()

    answer = await client.get("/api/v1/me", headers=[(b"authorization", header.encode("latin-1"))])

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert not [record for record in caplog.records if record.name.startswith("orchestra")]


async def test_our_own_mistake_is_500_with_the_requests_id_and_nothing_else(
    small_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await small_world.administrator()
    await small_world.database.write(
        lambda connection: connection.exec_driver_sql("update jobs set version_id = 'x' where name = 'backup'")
    )
    run = await client.post("/api/v1/projects/ops/jobs/resize/runs", json={})
    await small_world.change_run(run.json()["id"], parameters="no json")

    answer = await client.get(run.headers["location"])

    assert (answer.status_code, answer.json()["title"]) == (500, "unexpected")
    assert "Traceback" not in answer.text
    assert answer.json()["instance"] in caplog.text


async def test_health_says_whether_the_database_answers(small_world: World) -> None:
    client = small_world.client()
    ready = await client.get("/api/v1/health/ready")
    await small_world.database.close()

    away, live = await client.get("/api/v1/health/ready"), await client.get("/api/v1/health/live")

    assert (ready.status_code, away.status_code, live.status_code) == (200, 503, 200)
    assert away.headers["retry-after"] == "2"
    assert away.json()["retryable"] is True


async def test_filters_find_runs_by_state_source_parameter_and_result(world: World) -> None:
    client = await world.administrator()
    path = "/api/v1/projects/ops/jobs/resize/runs"
    three = (await client.post(path, json={"parameters": {"replicas": 3}})).json()["id"]
    four = (await client.post(path, json={"parameters": {"replicas": 4}})).json()["id"]
    other = (await client.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]
    await client.post(f"/api/v1/runs/{four}/cancel")
    await world.database.write(
        lambda connection: connection.exec_driver_sql(
            f"insert into run_results (run_id, name, value, text) values ({other}, 'version', '\"1.2\"', '1.2')"
        )
    )

    async def found(**filters: str) -> list[int]:
        answer = await client.get("/api/v1/runs", params=filters)
        return [run["id"] for run in answer.json()["items"]]

    assert await found(status="pending") == [other, three]
    assert await found(status="cancelled,pending", sort="id") == [three, four, other]
    assert await found(**{"param.replicas": "4"}) == [four]
    assert await found(**{"result.version": "1.2"}) == [other]
    assert await found(job="ops/resize") == [four, three]
    assert await found(job="backup", project="ops") == [other]
    assert await found(project="nothing") == []
    assert await found(source="user") == [other, four, three]
    assert await found(source="schedule") == []
    assert await found(created_after="2025-11-21T04:40:00Z", created_before="2025-11-21T04:40:00.000001Z") == []


async def test_an_operator_may_not_steer_a_worker_from_one_project(small_world: World) -> None:
    await small_world.worker("atlas")
    bound = small_world.client(await small_world.user("ana", (Role.OPERATOR, "ops")))
    everywhere = small_world.client(await small_world.user("ben", Role.OPERATOR))

    refused = await bound.patch("/api/v1/workers/atlas", json={"state": "draining"})
    done = await everywhere.patch("/api/v1/workers/atlas", json={"state": "draining", "reason": "new disk"})

    assert (refused.status_code, done.status_code) == (403, 200)
    assert (done.json()["state"], done.json()["reason"]) == ("draining", "by ben: new disk")


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/projects/%00/jobs/x", "/api/v1/jobs?project=%00", "/api/v1/workers/%00", "/api/v1/runs?job=a%00b"),
        *("/workers/%00", "/projects/%00/schedules", "/runs?worker=%00"),
    ],
)
async def test_a_nul_in_an_address_is_refused_whatever_the_database(world: World, path: str) -> None:
    client = await world.administrator()

    refused = await client.get(path)

    assert refused.status_code == 400
    assert "n address has no NUL character in it: remove the %00" in refused.text
