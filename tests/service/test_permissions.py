"""Every role at every route: generated from the policy table, so that no route is forgotten."""

import re

import pytest
from starlette.responses import Response

from orchestra.policy import Permission, Role
from orchestra.queries.addresses import API
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Door, build_routes
from orchestra.web.errors import RouteWithoutPolicy
from orchestra.web.needs import Open
from orchestra_service.policy import POLICY
from orchestra_service.problems import Problems
from tests.service.given import World, job

ROLE_PLACES = [(role, None) for role in Role] + [(Role.OPERATOR, "ops"), (Role.VIEWER, "ops")]

# Who gets through each door, said a second time and by hand: a slip in either table shows.
READERS = {"administrator", "auditor", "operator", "viewer", "operator@ops", "viewer@ops"}
ADMITTED = {
    Permission.READ: READERS,
    Permission.OWN_ACCOUNT: READERS,
    Permission.RUN: {"administrator", "operator", "operator@ops"},
    Permission.SWITCH_JOBS: {"administrator", "operator", "operator@ops"},
    Permission.STEER_WORKERS: {"administrator", "operator"},
    Permission.DEFINE: {"administrator"},
    Permission.READ_USERS: {"administrator", "auditor"},
    Permission.MANAGE_USERS: {"administrator"},
    Permission.READ_METRICS: {"administrator", "auditor", "operator", "viewer"},
    Permission.READ_AUDIT: {"administrator", "auditor"},
}


def filled(path: str) -> str:
    """The path with names that fit nothing."""
    values = {"run": "1", "attempt": "1", "token": "99", "user": "nobody", "worker": "nobody"}
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "nothing"), path)


@pytest.mark.parametrize(("role", "project"), ROLE_PLACES, ids=lambda value: str(value or "everywhere"))
async def test_a_role_gets_through_exactly_the_doors_that_the_policy_opens(
    small_world: World, role: Role, project: str | None
) -> None:
    token = await small_world.user("ana", (role, project) if project else role)
    name = f"{role}@{project}" if project else str(role)
    # Streams say goodbye at once instead of going on for ever.
    small_world.closing.set()
    wrong = []

    async with small_world.client(token) as client:
        for (method, path), need in POLICY.items():
            answer = await client.request(method, filled(path), json={} if method != "GET" else None)
            admitted = need is Open.TO_ALL or name in ADMITTED[need]
            refused_at_the_door = answer.status_code == 403 and "you lack the permission" in answer.text
            if isinstance(need, Permission) and refused_at_the_door == admitted and path != f"{API}/users/{{user}}":
                wrong.append((method, path, answer.status_code))
            if answer.status_code >= 500:
                wrong.append((method, path, answer.status_code))

    assert not wrong


async def test_without_a_token_only_open_routes_answer(small_world: World) -> None:
    client = small_world.client()

    open_by_accident = [
        (method, path)
        for (method, path), need in POLICY.items()
        if need is not Open.TO_ALL and (await client.request(method, filled(path))).status_code != 401
    ]

    assert not open_by_accident


async def test_a_route_without_a_row_in_the_policy_stops_the_build(small_world: World) -> None:
    async def anything(_asking: Asking) -> Response:
        raise AssertionError

    with pytest.raises(RouteWithoutPolicy, match=r"routes and their permissions differ: DELETE /everything"):
        build_routes(
            Door(authenticator=None, random_bytes=bytes, metrics=None),  # type: ignore[arg-type]  # never reached
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
