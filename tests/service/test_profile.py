"""What everybody does to the own account, what tokens are limited to, and how administrators let people in."""

import httpx2
import pytest

from orchestra.commands.bearer_texts import BearerText
from orchestra.policy import Role
from orchestra.web.assemble import WebSettings, build_application, build_web_parts
from orchestra_service.assemble import service_routes
from tests.service.given import World

PASSWORD = "correct horse battery"
OWN = {"sec-fetch-site": "same-origin"}
API = "/api/v1"


async def session_of(world: World, name: str, **headers: str) -> httpx2.AsyncClient:
    client = world.client(None, **OWN, **headers)
    answer = await client.post(f"{API}/sign-in", json={"name": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return client


async def given_ana(world: World) -> httpx2.AsyncClient:
    root = await world.administrator()
    body = {"name": "ana", "password": PASSWORD, "roles": [{"role": "operator", "project": "ops"}]}
    await root.post(f"{API}/users", json=body)
    return root


async def test_everybody_sees_and_ends_the_own_sessions_and_no_others(world: World) -> None:
    root = await given_ana(world)
    await root.post(f"{API}/users", json={"name": "ben", "password": PASSWORD, "roles": [{"role": "viewer"}]})
    first = await session_of(world, "ana", **{"user-agent": "Firefox/1 on Linux"})
    second = await session_of(world, "ana")
    ben = await session_of(world, "ben")

    listed = (await second.get(f"{API}/me/sessions")).json()["items"]
    numbers = [session["id"] for session in listed]
    foreign = await ben.delete(f"{API}/me/sessions/{numbers[1]}")
    ended = await second.delete(f"{API}/me/sessions/{numbers[1]}")
    again = await second.delete(f"{API}/me/sessions/{numbers[1]}")

    assert [session["current"] for session in listed] == [True, False]
    assert (listed[1]["agent"], listed[1]["address"]) == ("Firefox/1 on Linux", "127.0.0.1")
    assert [each.status_code for each in (foreign, ended, again)] == [404, 204, 404]
    assert (await first.get(f"{API}/me")).status_code == 401
    assert (await second.get(f"{API}/me")).status_code == 200


async def test_signing_out_everywhere_ends_all_and_leaves_the_tokens(world: World) -> None:
    await given_ana(world)
    one, two = await session_of(world, "ana"), await session_of(world, "ana")
    secret = (await one.post(f"{API}/tokens", json={"name": "ci"})).json()["secret"]

    answer = await one.delete(f"{API}/me/sessions")

    assert answer.status_code == 204
    assert [(await each.get(f"{API}/me")).status_code for each in (one, two)] == [401, 401]
    assert (await world.client(BearerText(kind="user", text=secret)).get(f"{API}/me")).status_code == 200


async def test_signing_in_anew_replaces_the_session_of_the_browser(world: World) -> None:
    await given_ana(world)
    client = await session_of(world, "ana")
    old = client.cookies["orchestra"]

    await client.post(f"{API}/sign-in", json={"name": "ana", "password": PASSWORD})

    assert client.cookies["orchestra"] != old
    thief = world.client(None, cookie=f"orchestra={old}")
    assert (await thief.get(f"{API}/me")).status_code == 401
    assert len((await client.get(f"{API}/me/sessions")).json()["items"]) == 1


async def test_other_roles_end_the_sessions_and_the_same_ones_do_not(world: World) -> None:
    root = await given_ana(world)
    client = await session_of(world, "ana")

    await root.patch(f"{API}/users/ana", json={"roles": [{"role": "operator", "project": "ops"}]})
    kept = await client.get(f"{API}/me")
    await root.patch(f"{API}/users/ana", json={"roles": [{"role": "viewer"}]})

    assert kept.status_code == 200
    assert (await client.get(f"{API}/me")).status_code == 401


async def test_the_zone_is_one_that_is_known(small_world: World) -> None:
    await given_ana(small_world)
    client = await session_of(small_world, "ana")

    changed = await client.patch(f"{API}/me", json={"zone": "Europe/Paris"})
    refused = await client.patch(f"{API}/me", json={"zone": "../../etc/passwd"})

    assert changed.json()["zone"] == "Europe/Paris"
    assert (await client.get(f"{API}/me")).json()["zone"] == "Europe/Paris"
    assert refused.status_code == 422
    assert "is no time zone" in refused.json()["errors"][0]["message"]


async def test_it_is_written_down_that_somebody_is_there(world: World) -> None:
    root = await world.administrator()

    first = (await root.get(f"{API}/users/root")).json()["last_seen_at"]
    world.clock.advance(60.0)
    soon = (await root.get(f"{API}/users/root")).json()["last_seen_at"]
    world.clock.advance(300.0)
    later = (await root.get(f"{API}/users/root")).json()["last_seen_at"]

    assert first == soon == "2025-11-21T04:40:00Z"
    assert later == "2025-11-21T04:46:00Z"


async def test_a_limited_token_may_read_and_do_what_it_is_limited_to_and_nothing_else(world: World) -> None:
    root = await world.administrator()
    made = (await root.post(f"{API}/tokens", json={"name": "ci", "scopes": ["run"]})).json()
    limited = world.client(BearerText(kind="user", text=made["secret"]))

    statuses = {
        what: (await limited.request(method, f"{API}{path}", json=body)).status_code
        for what, method, path, body in (
            ("trigger", "POST", "/projects/ops/jobs/backup/runs", {}),
            ("read", "GET", "/runs", None),
            ("switch", "PATCH", "/projects/ops/jobs/backup", {"enabled": False}),
            ("make tokens", "POST", "/tokens", {"name": "all"}),
            ("users", "GET", "/users", None),
        )
    }

    assert made["scopes"] == ["read", "run"]
    assert statuses == {"trigger": 201, "read": 200, "switch": 403, "make tokens": 403, "users": 403}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"name": "ci", "scopes": ["everything"]}, "'everything' is none: use read, run"),
        ({"name": "ci", "scopes": ["own-account"]}, "'own-account' is none"),
        ({"name": "ci", "scopes": ["manage-users"]}, "the owner has no permission for manage-users"),
    ],
)
async def test_a_token_is_limited_to_what_its_owner_may(
    small_world: World, body: dict[str, object], sentence: str
) -> None:
    ana = small_world.client(await small_world.user("ana", Role.OPERATOR))

    refused = await ana.post(f"{API}/tokens", json=body)

    assert refused.status_code == 422
    assert sentence in refused.json()["errors"][0]["message"]


async def test_a_role_that_is_taken_away_is_gone_from_limited_tokens_too(world: World) -> None:
    root = await world.administrator()
    await root.post(f"{API}/users", json={"name": "ana", "roles": [{"role": "operator"}]})
    made = (await root.post(f"{API}/tokens", json={"name": "ci", "user": "ana", "scopes": ["run"]})).json()
    limited = world.client(BearerText(kind="user", text=made["secret"]))

    await root.patch(f"{API}/users/ana", json={"roles": [{"role": "viewer"}]})

    assert (await limited.post(f"{API}/projects/ops/jobs/backup/runs", json={})).status_code == 403
    assert (await limited.get(f"{API}/runs")).status_code == 200


async def test_an_administrator_resets_by_a_link_and_never_sets_a_password(world: World) -> None:
    root = await given_ana(world)
    session = await session_of(world, "ana")

    set_by_root = await root.patch(f"{API}/users/ana", json={"password": "a long enough one"})
    earlier = (await root.post(f"{API}/users/ana/link", json={})).json()["path"]
    made = await root.post(f"{API}/users/ana/link", json={"reset": True})
    by_old = await world.client().post(f"{API}/sign-in", json={"name": "ana", "password": PASSWORD})
    by_earlier = await world.client().post(f"{API}/sign-in", json={"link": earlier.partition("=")[2]})
    client = world.client(None, **OWN)
    by_link = await client.post(f"{API}/sign-in", json={"link": made.json()["path"].partition("=")[2]})
    chosen = await client.patch(f"{API}/users/ana", json={"password": "a long enough one"})

    assert set_by_root.status_code == 422
    assert "is set by ana alone" in set_by_root.json()["errors"][0]["message"]
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert (await session.get(f"{API}/me")).status_code == 401
    assert [each.status_code for each in (by_old, by_earlier, by_link, chosen)] == [401, 401, 200, 200]


async def test_no_link_is_made_for_a_disabled_user(small_world: World) -> None:
    root = await given_ana(small_world)
    await root.patch(f"{API}/users/ana", json={"enabled": False})

    assert (await root.post(f"{API}/users/ana/link", json={})).status_code == 409


async def test_it_is_told_what_somebody_may_do_where_and_by_which_role(small_world: World) -> None:
    root = await given_ana(small_world)

    async def may(permission: str) -> tuple[bool, list[str], list[str]]:
        found = (await root.get(f"{API}/users/ana/permissions")).json()["items"]
        [view] = [each for each in found if each["permission"] == permission]
        return view["everywhere"], view["projects"], view["by"]

    assert await may("run") == (False, ["ops"], ["operator@ops"])
    assert await may("own-account") == (True, [], ["operator@ops"])
    assert await may("steer-workers") == (False, [], [])
    await root.patch(f"{API}/users/ana", json={"enabled": False})
    assert await may("run") == (False, [], [])
    roles = (await root.get(f"{API}/roles")).json()["items"]
    assert [role["role"] for role in roles] == list(Role)
    assert {role["role"] for role in roles if "read-audit" in role["permissions"]} == {"administrator", "auditor"}


async def test_behind_tls_every_answer_says_that_it_stays_so(small_world: World) -> None:
    parts = build_web_parts(
        database=small_world.database,
        clock=small_world.clock,
        logs=small_world.logs,
        sealing=small_world.sealing,
        closing=small_world.closing,
        settings=WebSettings(secure_cookies=True, password_rounds=10),
    )
    transport = httpx2.ASGITransport(app=build_application(parts, service_routes(parts)))

    async with httpx2.AsyncClient(transport=transport, base_url="https://orchestra.test") as client:
        answer = await client.get(f"{API}/runs")
    plain = await small_world.client().get(f"{API}/runs")
    parts.passwords.close()

    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in plain.headers
