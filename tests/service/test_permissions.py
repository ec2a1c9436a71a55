"""What belongs to a project, told and hidden by it; every role at every route is in `test_permission_matrix`."""

import pytest
from starlette.responses import Response

from orchestra.policy import Role
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Door, build_routes
from orchestra.web.errors import RouteWithoutPolicy
from orchestra_service.policy import POLICY
from orchestra_service.problems import Problems
from tests.service.given import World, job


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
