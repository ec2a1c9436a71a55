"""Users, tokens and sessions: who may sign in, and what ends it."""

import asyncio
from functools import partial

import httpx2
import pytest
from passlib.hash import pbkdf2_sha256
from sqlalchemy import select

from orchestra.clock import Instant
from orchestra.commands.bearer_texts import BearerText, new_bearer_text
from orchestra.commands.bootstrap import add_sign_in_link, first_administrator, local_worker_user
from orchestra.commands.passwords import Passwords
from orchestra.errors import Overloaded
from orchestra.policy import Role
from orchestra.storage.bearers import find_token, may_connect_worker
from orchestra.storage.tables import audit_entries, tokens, users, web_sessions
from tests.service.given import World

PASSWORD = "correct horse battery"
OWN = {"sec-fetch-site": "same-origin"}


async def signed_in(world: World, **headers: str) -> httpx2.AsyncClient:
    root = await world.administrator()
    await root.post("/api/v1/users", json={"name": "ana", "password": PASSWORD, "roles": [{"role": "operator"}]})
    client = world.client(None, **headers)
    answer = await client.post("/api/v1/sign-in", json={"name": "ana", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return client


async def test_a_password_begins_a_session_of_a_week_whose_secret_is_only_in_the_cookie(world: World) -> None:
    client = await signed_in(world)

    me = await client.get("/api/v1/me")

    assert me.json() == {
        "name": "ana",
        "roles": [{"role": "operator", "project": None}],
        "via": "session",
        "zone": "UTC",
    }
    stored = await world.database.read(
        lambda connection: connection.execute(
            select(web_sessions, users).join(users, users.c.id == web_sessions.c.user_id)
        ).all()
    )
    assert client.cookies["orchestra"] not in repr(stored)
    assert PASSWORD not in repr(stored)
    assert "$pbkdf2-sha256$10$" in repr(stored)
    world.clock.advance(7 * 86_400 + 1)
    assert (await client.get("/api/v1/me")).status_code == 401


async def test_a_session_that_is_used_lasts_longer_but_never_beyond_a_month(world: World) -> None:
    client = await signed_in(world)

    statuses = []
    for _ in range(16):
        world.clock.advance(2 * 86_400)
        statuses.append((await client.get("/api/v1/me")).status_code)

    assert statuses == [200] * 14 + [401, 401]


@pytest.mark.parametrize("body", [{"name": "ana", "password": "wrong"}, {"name": "nobody", "password": PASSWORD}])
async def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    small_world: World, body: dict[str, str]
) -> None:
    await signed_in(small_world)

    answer = await small_world.client().post("/api/v1/sign-in", json=body)

    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("name and password do not fit")
    assert "set-cookie" not in answer.headers


async def test_d14_an_unknown_name_and_a_disabled_user_cost_as_many_rounds_as_a_known_one(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await small_world.administrator()
    for name in ("ana", "ben"):
        await root.post("/api/v1/users", json={"name": name, "password": PASSWORD, "roles": []})
    await root.patch("/api/v1/users/ben", json={"enabled": False})
    verified: list[str] = []
    verify = pbkdf2_sha256.verify

    def counted(secret: str, stored: str) -> bool:
        verified.append("$".join(stored.split("$")[:3]))
        return bool(verify(secret, stored))

    monkeypatch.setattr(pbkdf2_sha256, "verify", counted)
    for name, password in (("ana", "wrong"), ("nobody", PASSWORD), ("ben", PASSWORD), ("root", PASSWORD)):
        await small_world.client().post("/api/v1/sign-in", json={"name": name, "password": password})

    assert verified == ["$pbkdf2-sha256$10"] * 4


async def test_a_link_signs_in_once_even_if_two_use_it_at_the_same_moment(world: World) -> None:
    link = new_bearer_text("sign-in", world.randomness)
    await world.user("root", Role.ADMINISTRATOR)
    await world.database.write(
        lambda connection: add_sign_in_link(connection, "root", link=link, now=world.clock.now())
    )

    answers = await asyncio.gather(
        *(world.client().post("/api/v1/sign-in", json={"link": link.text}) for _ in range(4))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_a_new_password_ends_a_link_that_was_not_used(world: World) -> None:
    client = await signed_in(world, **OWN)
    root = world.client(await world.user("boss", Role.ADMINISTRATOR))
    link = (await root.post("/api/v1/users/ana/link", json={})).json()["path"].partition("link=")[2]

    change = {"password": "another good battery", "old_password": PASSWORD}
    changed = await client.patch("/api/v1/users/ana", json=change)
    answer = await world.client().post("/api/v1/sign-in", json={"link": link})

    assert (changed.status_code, answer.status_code) == (200, 401)


async def test_a_wrong_old_password_is_in_the_audit(world: World) -> None:
    client = await signed_in(world, **OWN)

    change = {"password": "another good battery", "old_password": "not this one at all"}
    refused = await client.patch("/api/v1/users/ana", json=change)

    entry = (await world.database.read(lambda c: c.execute(select(audit_entries)).all()))[-1]
    assert refused.status_code == 422
    assert (entry.actor, entry.action, entry.outcome) == ("user ana", "user_password_refused", "refused")
    assert entry.session_id is not None
    assert "not this one" not in repr(entry)


async def test_disabling_ends_a_link_also_after_enabling_again(world: World) -> None:
    root = await world.administrator()
    await world.user("ana", Role.OPERATOR)
    link = (await root.post("/api/v1/users/ana/link", json={})).json()["path"].partition("link=")[2]

    for enabled in (False, True):
        assert (await root.patch("/api/v1/users/ana", json={"enabled": enabled})).status_code == 200
    answer = await world.client().post("/api/v1/sign-in", json={"link": link})

    assert answer.status_code == 401


async def test_the_sign_in_page_shows_a_button_and_only_the_button_uses_the_link(small_world: World) -> None:
    world = small_world
    link = new_bearer_text("sign-in", world.randomness)
    await world.user("root", Role.ADMINISTRATOR)
    await world.database.write(
        lambda connection: add_sign_in_link(connection, "root", link=link, now=world.clock.now())
    )
    client = world.client()

    pages = [await client.get("/sign-in", params={"link": link.text}) for _ in range(2)]
    entered = await client.post("/sign-in", data={"link": link.text}, headers=OWN)
    start = await client.get("/")
    again = await client.post("/sign-in", data={"link": link.text}, headers=OWN)

    assert all("<button>Sign in</button>" in page.text and "<script>" not in page.text for page in pages)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "root" in start.text
    assert again.status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.test"}, 403),
        ({"sec-fetch-site": "same-origin"}, 404),
        ({"origin": "http://orchestra.test"}, 404),
    ],
)
async def test_a_change_by_cookie_must_come_from_our_own_page(
    small_world: World, headers: dict[str, str], status: int
) -> None:
    client = await signed_in(small_world)

    answer = await client.post("/api/v1/runs/7/abort", json={}, headers=headers)

    assert answer.status_code == status


async def test_disabling_a_user_ends_tokens_and_sessions_at_once(world: World) -> None:
    session = await signed_in(world)
    token = world.client(await world.user("ben", Role.VIEWER))
    root = world.client(await world.user("second", Role.ADMINISTRATOR))
    assert (await token.get("/api/v1/me")).status_code == 200

    for name in ("ana", "ben"):
        await root.patch(f"/api/v1/users/{name}", json={"enabled": False})

    assert (await session.get("/api/v1/me")).status_code == 401
    assert (await token.get("/api/v1/me")).status_code == 401
    assert (await world.client().post("/api/v1/sign-in", json={"name": "ana", "password": PASSWORD})).status_code == 401


async def test_another_process_believes_a_revoked_token_for_a_second_at_most(world: World) -> None:
    secret = await world.user("root", Role.ADMINISTRATOR)
    other = World(world.database)
    elsewhere = other.client(secret)
    assert (await elsewhere.get("/api/v1/me")).status_code == 200

    revoked = await world.client(secret).delete("/api/v1/tokens/1")
    other.clock.advance(1.0)

    assert revoked.status_code == 204
    assert (await elsewhere.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("change", [{"enabled": False}, {"roles": []}, {"roles": [{"role": "viewer"}]}])
async def test_the_last_administrator_stays_one(world: World, change: dict[str, object]) -> None:
    root = await world.administrator()

    answer = await root.patch("/api/v1/users/root", json=change)

    assert answer.status_code == 409
    assert answer.json()["detail"] == "user 'root' is the last administrator: make another one first"
    assert (await root.get("/api/v1/users")).status_code == 200


async def test_two_administrators_that_disable_each_other_leave_one(world: World) -> None:
    one, two = world.client(await world.user("one", Role.ADMINISTRATOR)), World(world.database)
    other = two.client(await world.user("two", Role.ADMINISTRATOR))

    await asyncio.gather(
        one.patch("/api/v1/users/two", json={"enabled": False}),
        other.patch("/api/v1/users/one", json={"enabled": False}),
    )

    rows = await world.database.read(
        lambda connection: connection.execute(select(users.c.name).where(users.c.disabled_at.is_(None))).all()
    )
    assert len(rows) == 1


async def test_everybody_changes_the_own_password_with_the_old_one_and_nothing_else(small_world: World) -> None:
    ana = await signed_in(small_world, **OWN)
    elsewhere = small_world.client()
    await elsewhere.post("/api/v1/sign-in", json={"name": "ana", "password": PASSWORD})
    longer = PASSWORD + " staple"

    without = await ana.patch("/api/v1/users/ana", json={"password": longer})
    foreign = await ana.patch("/api/v1/users/root", json={"password": longer})
    roles = await ana.patch("/api/v1/users/ana", json={"roles": [{"role": "administrator"}]})
    short = await ana.patch("/api/v1/users/ana", json={"password": "short", "old_password": PASSWORD})
    done = await ana.patch("/api/v1/users/ana", json={"password": longer, "old_password": PASSWORD})

    assert [answer.status_code for answer in (without, foreign, roles, short, done)] == [422, 403, 403, 422, 200]
    assert (await ana.get("/api/v1/me")).status_code == 200, "the session that did it goes on"
    assert (await elsewhere.get("/api/v1/me")).status_code == 401, "the others have ended"


async def test_a_token_is_shown_once_and_only_its_digest_is_kept(world: World) -> None:
    root = await world.administrator()

    made = await root.post("/api/v1/tokens", json={"name": "ci", "expires_days": 30})

    secret = made.json()["secret"]
    assert made.headers["cache-control"] == "no-store"
    assert secret.startswith("orc_u_")
    assert (await world.client(BearerText(kind="user", text=secret)).get("/api/v1/me")).status_code == 200
    assert secret not in (await root.get("/api/v1/tokens")).text
    stored = await world.database.read(lambda connection: connection.execute(select(tokens)).all())
    assert secret not in repr(stored)
    world.clock.advance(30 * 86_400 + 1)
    assert (await world.client(BearerText(kind="user", text=secret)).get("/api/v1/me")).status_code == 401


async def test_a_worker_token_opens_the_worker_channel_and_nothing_else(world: World) -> None:
    root = await world.administrator()

    made = await root.post("/api/v1/tokens", json={"name": "atlas", "kind": "worker"})

    secret = BearerText(kind="worker", text=made.json()["secret"])
    found = await world.database.read(lambda connection: find_token(connection, secret.digest, now=world.clock.now()))
    assert (made.json()["user"], made.json()["expires_at"]) == ("atlas", None)
    assert found is not None
    assert may_connect_worker(found)
    assert (await world.client(secret).get("/api/v1/runs")).status_code == 403
    assert (await world.client(secret).get("/api/v1/me")).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "x", "expires_days": 367}, 422),
        ({"name": "x", "expires_days": 0}, 422),
        ({"name": "x", "kind": "sign-in"}, 422),
        ({"name": "X y"}, 422),
        ({"name": "x", "user": "nobody"}, 404),
        ({"name": "x", "kind": "worker", "user": "root"}, 409),
    ],
)
async def test_what_no_token_can_be_is_refused(small_world: World, body: dict[str, object], status: int) -> None:
    root = await small_world.administrator()

    answer = await root.post("/api/v1/tokens", json=body)

    assert answer.status_code == status


async def test_every_change_is_in_the_audit_and_no_secret_is(small_world: World) -> None:
    ana = await signed_in(small_world, **OWN)
    root = small_world.client(await small_world.user("boss", Role.ADMINISTRATOR))
    secret = (await root.post("/api/v1/tokens", json={"name": "ci"})).json()["secret"]
    await root.patch("/api/v1/projects/ops/jobs/backup", json={"enabled": False, "reason": "disk"})
    await ana.post("/api/v1/sign-out", json={})

    rows = await small_world.database.read(
        lambda connection: connection.execute(select(audit_entries).order_by(audit_entries.c.id)).all()
    )

    said = [(row.actor, row.action, row.object) for row in rows]
    assert said == [
        ("user root", "user_created", "user ana"),
        ("user ana", "signed_in", "user ana"),
        ("user boss", "token_created", "token 3"),
        ("user boss", "job_disabled", "job ops/backup"),
        ("user ana", "signed_out", "user ana"),
    ]
    assert secret not in repr(rows)
    assert PASSWORD not in repr(rows)


async def test_the_first_administrator_is_made_once(world: World) -> None:
    first, second = (new_bearer_text("user", world.randomness) for _ in range(2))
    now: Instant = world.clock.now()

    made = await world.database.write(lambda connection: first_administrator(connection, token=first, now=now))
    again = await world.database.write(lambda connection: first_administrator(connection, token=second, now=now))

    assert (made.is_new, again.is_new) == (True, False)
    assert (await world.client(first).get("/api/v1/users")).status_code == 200
    assert (await world.client(second).get("/api/v1/users")).status_code == 401


async def test_the_local_workers_user_is_found_again(small_world: World) -> None:
    texts = [new_bearer_text("worker", small_world.randomness) for _ in range(2)]
    now = small_world.clock.now()

    ids = [
        await small_world.database.write(partial(local_worker_user, name="local", token=text, now=now))
        for text in texts
    ]

    assert ids[0] == ids[1]


async def test_too_many_at_once_are_asked_to_come_again() -> None:
    passwords = Passwords(rounds=10, waiting_max=2)

    answers = await asyncio.gather(*(passwords.verify("x", None) for _ in range(3)), return_exceptions=True)
    passwords.close()

    assert [isinstance(answer, Overloaded) for answer in answers] == [False, False, True]
    assert not any(answers[:2])
