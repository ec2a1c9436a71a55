"""What belongs to a project, told and hidden by it; every role at every route is in `test_permission_matrix`."""

import pytest
from starlette.responses import Response

from orchestra.clock import after
from orchestra.policy import Role
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Door, build_routes
from orchestra.web.errors import RouteWithoutPolicy
from orchestra_service.policy import POLICY
from orchestra_service.problems import Problems
from tests.service.given import World, job

SHOP_AND_OPS = ("shop/jobs/deploy", "ops/jobs/backup")


async def test_a_route_without_a_row_in_the_policy_stops_the_build(small_world: World) -> None:
    async def anything(_asking: Asking) -> Response:
        raise AssertionError

    with pytest.raises(RouteWithoutPolicy, match=r"routes and their permissions differ: DELETE /everything"):
        build_routes(
            Door(authenticator=None, limits=None, random_bytes=bytes, metrics=None),  # type: ignore[arg-type]  # never reached
            POLICY,
            {**dict.fromkeys(POLICY, anything), ("DELETE", "/everything"): anything},
            Problems(),
        )


async def test_what_is_outside_the_scope_does_not_exist(world: World) -> None:
    await world.project("shop", job("deploy"))
    root = await world.administrator()
    foreign = (await root.post("/api/v1/projects/shop/jobs/deploy/runs", json={})).json()["id"]
    own = (await root.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]
    ana = world.client(await world.user("ana", (Role.OPERATOR, "ops")))

    statuses = {
        path: (await ana.request(method, path, json={} if method != "GET" else None)).status_code
        for method, path in (
            ("GET", f"/api/v1/runs/{foreign}"),
            ("GET", f"/api/v1/runs/{foreign}/log"),
            ("GET", f"/api/v1/runs/{foreign}/log/stream"),
            ("GET", f"/api/v1/runs/{foreign}/results"),
            ("POST", f"/api/v1/runs/{foreign}/abort"),
            ("POST", f"/api/v1/runs/{foreign}/retry"),
            ("POST", "/api/v1/projects/shop/jobs/deploy/runs"),
            ("GET", "/api/v1/projects/shop/jobs/deploy"),
        )
    }
    listed = (await ana.get("/api/v1/runs")).json()
    jobs = (await ana.get("/api/v1/jobs")).json()
    projects = (await ana.get("/api/v1/projects")).json()

    assert set(statuses.values()) == {404}
    assert [run["id"] for run in listed["items"]] == [own]
    assert listed["total"]["value"] == 1
    assert {found["project"] for found in jobs["items"]} == {"ops"}
    assert [found["name"] for found in projects["items"]] == ["ops"]


async def test_a_viewer_of_one_project_and_operator_of_another_triggers_only_there(world: World) -> None:
    await world.project("shop", job("deploy"))
    ana = world.client(await world.user("ana", (Role.VIEWER, "ops"), (Role.OPERATOR, "shop")))

    refused = await ana.post("/api/v1/projects/ops/jobs/backup/runs", json={})
    made = await ana.post("/api/v1/projects/shop/jobs/deploy/runs", json={})

    assert (refused.status_code, made.status_code) == (403, 201)
    assert "trigger and stop runs" in refused.json()["detail"]


async def test_a_busy_worker_names_only_the_runs_that_one_may_see(world: World) -> None:
    await world.project("shop", job("deploy"))
    root = await world.administrator()
    for number in range(2):
        await world.worker(f"w{number}", slots=2)
    foreign = (await root.post("/api/v1/projects/shop/jobs/deploy/runs", json={})).json()["id"]
    both = [(await root.post(f"/api/v1/projects/{job}/runs", json={})).json()["id"] for job in SHOP_AND_OPS]
    waiting = (await root.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]
    await world.change_run(foreign, state="running", worker_id=1, slots=2)
    for run in both:
        await world.change_run(run, state="running", worker_id=2)
    await world.change_run(waiting, pending_at=after(world.clock.now(), -3600.0))
    ana = world.client(await world.user("ana", (Role.OPERATOR, "ops")))

    said = {
        path: (await ana.get(path)).text
        for path in (
            f"/api/v1/runs/{waiting}",
            f"/api/v1/runs/{waiting}/waiting",
            "/api/v1/projects/ops/jobs/backup",
            "/api/v1/workers/w0/jobs",
            "/api/v1/workers/w1/jobs",
            "/api/v1/attention",
        )
    }
    whole = (await root.get(f"/api/v1/runs/{waiting}/waiting")).text

    assert all(f"#{run}" not in text for text in said.values() for run in (foreign, both[0]))
    assert "is busy: 2 of 2 slots used by runs of other projects" in said[f"/api/v1/runs/{waiting}/waiting"]
    assert f"is busy: 2 of 2 slots used by #{both[1]}, and runs of other projects" in said["/api/v1/attention"]
    assert f"used by #{foreign}" in whole
    assert f"used by #{both[0]}, #{both[1]}" in whole
