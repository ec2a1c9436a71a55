"""The pages about people: users with their roles, links that sign in once, tokens, the audit, and the own profile."""

import re

import httpx2
import pytest

from orchestra.policy import Role
from tests.service.given import World

OWN = {"sec-fetch-site": "same-origin"}
PASSWORD = "correct horse battery"


async def given_root(world: World) -> httpx2.AsyncClient:
    return await world.administrator()


async def session_of(world: World, name: str) -> httpx2.AsyncClient:
    client = world.client(None, **OWN)
    answer = await client.post("/sign-in", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return client


def said(page: httpx2.Response) -> str:
    """The text of the page without tags, in one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.text).split())


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/users", "/admin/users/root", "/admin/roles", "/admin/tokens", "/admin/audit", "/me"]
)
async def test_every_page_about_people_has_one_heading_and_is_not_for_viewers(small_world: World, path: str) -> None:
    root = await given_root(small_world)
    viewer = small_world.client(await small_world.user("vic", Role.VIEWER))

    page, refused = await root.get(path), await viewer.get(path)

    assert page.status_code == 200
    assert page.text.count("<h1>") == 1
    assert refused.status_code == (200 if path == "/me" else 403)


async def test_an_auditor_reads_and_is_offered_no_changes(small_world: World) -> None:
    await given_root(small_world)
    auditor = small_world.client(await small_world.user("ada", Role.AUDITOR), **OWN)

    page = await auditor.get("/admin/users/root")
    changed = await auditor.post("/admin/users/root/roles", data={"role": "viewer"})

    assert "/roles" not in page.text.replace("/admin/roles", "")
    assert "/link" not in page.text
    assert changed.status_code == 403


async def test_a_user_is_added_and_comes_in_by_the_link_and_chooses_a_password(world: World) -> None:
    root = await given_root(world)

    made = await root.post("/admin/add-user", data={"name": "ana", "role": ["viewer"], "single": "operator@ops\r\n"})
    [path] = re.findall(r"http://orchestra\.test(/sign-in\?link=\w+)", made.text)
    ana = world.client(None, **OWN)
    asked = await ana.get(path)
    entered = await ana.post("/sign-in", data={"link": path.partition("=")[2]})
    chosen = await ana.post("/me/password", data={"password": PASSWORD, "again": PASSWORD})

    assert made.headers["cache-control"] == "no-store"
    assert (asked.status_code, entered.status_code) == (200, 303)
    assert chosen.headers["location"] == "/me?done=password"
    assert "operator@ops" in said(await root.get("/admin/users/ana"))
    assert (await session_of(world, "ana")).cookies


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": "Ana Maria"}, "is no user name"),
        ({"name": "root"}, "take another name"),
        ({"name": "ana", "single": "operator@nowhere"}, "There is no project"),
        ({"name": "ana", "single": "operator"}, "is no role in a project"),
        ({"name": "ana", "single": "auditor@ops"}, "is never bound to a project"),
    ],
)
async def test_what_was_typed_wrong_is_told_at_the_field_and_kept(
    small_world: World, form: dict[str, str], sentence: str
) -> None:
    root = await given_root(small_world)

    page = await root.post("/admin/add-user", data={"role": "viewer", **form})

    assert page.status_code == 422
    assert sentence in page.text
    assert f'value="{form["name"]}"' in page.text
    assert 'value="viewer" checked' in page.text
    assert form.get("single", "") in page.text


async def test_roles_are_saved_and_the_last_administrator_is_told_so(small_world: World) -> None:
    root = await given_root(small_world)
    await small_world.user("ana", Role.VIEWER)

    saved = await root.post("/admin/users/ana/roles", data={"role": ["operator", "auditor"]})
    refused = await root.post("/admin/users/root/roles", data={"role": "viewer"})
    disabled = await root.post("/admin/users/root/disable")

    assert saved.headers["location"] == "/admin/users/ana?done=roles"
    assert "enable, drain and disable workers yes, everywhere operator" in said(await root.get("/admin/users/ana"))
    assert (refused.status_code, disabled.status_code) == (409, 409)
    for page in (refused, disabled):
        assert "is the last administrator: make another one first." in page.text


async def test_disabling_asks_first_and_enabling_gives_it_back(small_world: World) -> None:
    root = await given_root(small_world)
    token = await small_world.user("ana", Role.VIEWER)

    asked = await root.get("/admin/users/ana/disable")
    still = await small_world.client(token).get("/api/v1/me")
    await root.post("/admin/users/ana/disable")
    refused = await small_world.client(token).get("/api/v1/me")
    await root.post("/admin/users/ana/enable")

    assert "Disable ana?" in asked.text
    assert "sessions and 1 token have no power" in said(asked)
    assert [each.status_code for each in (still, refused)] == [200, 401]
    assert (await small_world.client(token).get("/api/v1/me")).status_code == 200


async def test_a_token_is_made_shown_once_and_revoked_after_asking(world: World) -> None:
    ana = world.client(await world.user("ana", Role.OPERATOR), **OWN)

    made = await ana.post("/me/tokens", data={"token_name": "ci", "days": "30", "limit": "yes", "scope": ["run"]})
    [secret] = re.findall(r"orc_u_[0-9a-f]{64}", made.text)
    listed = await ana.get("/me")
    asked = await ana.get("/me/tokens/2/revoke")
    revoked = await ana.post("/me/tokens/2/revoke")

    assert made.headers["cache-control"] == "no-store"
    assert secret not in listed.text
    assert "read, run" in said(listed)
    assert "Revoke ci?" in asked.text
    assert revoked.headers["location"] == "/me?done=revoked"
    assert "ci" not in re.findall(r'<th scope="row">(\w+)', (await ana.get("/me")).text)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"token_name": "C I", "days": "30"}, "is no token name"),
        ({"token_name": "ci", "days": "400"}, "Must be from 1 to 366."),
        ({"token_name": "ci", "days": "soon"}, "Must be a whole number of days."),
    ],
)
async def test_a_token_that_cannot_be_made_is_told_at_its_field(
    small_world: World, form: dict[str, str], sentence: str
) -> None:
    ana = small_world.client(await small_world.user("ana", Role.OPERATOR), **OWN)

    page = await ana.post("/me/tokens", data=form)

    assert page.status_code == 422
    assert sentence in page.text
    assert f'value="{form["token_name"]}"' in page.text
    assert "<details open>" in page.text


async def test_times_are_shown_in_the_zone_that_was_chosen(small_world: World) -> None:
    ana = small_world.client(await small_world.user("ana", Role.ADMINISTRATOR), **OWN)

    changed = await ana.post("/me/profile", data={"zone": "Asia/Kolkata"})
    refused = await ana.post("/me/profile", data={"zone": "Middle/Earth"})
    audit = await ana.get("/admin/audit")
    found = await ana.get("/admin/audit", params={"since": "2025-11-21 10:00", "until": "2025-11-21 10:30"})

    assert changed.headers["location"] == "/me?done=profile"
    assert refused.status_code == 422
    assert 'value="Middle/Earth"' in refused.text
    assert "2025-11-21 10:10:00 +05:30" in audit.text
    assert "Asia/Kolkata" in found.text
    assert "1 of 1" in said(found)


async def test_the_own_password_needs_the_old_one_and_shows_nothing_of_what_was_typed(small_world: World) -> None:
    root = await given_root(small_world)
    await root.post("/api/v1/users", json={"name": "ana", "password": PASSWORD, "roles": [{"role": "viewer"}]})
    ana, elsewhere = await session_of(small_world, "ana"), await session_of(small_world, "ana")
    new = "a new and longer one"

    async def change(**form: str) -> httpx2.Response:
        return await ana.post("/me/password", data=form)

    pages = [
        await change(old_password="wrong wrong wrong", password=new, again=new),
        await change(old_password=PASSWORD, password=new, again="another"),
        await change(old_password=PASSWORD, password="passwordpassword", again="passwordpassword"),
    ]
    done = await change(old_password=PASSWORD, password=new, again=new)

    assert [page.status_code for page in pages] == [422, 422, 422]
    sentences = ("Is not the present password.", "Is not the same as the new password.", "tried first")
    for page, sentence in zip(pages, sentences, strict=True):
        assert sentence in page.text
        assert new not in page.text
        assert PASSWORD not in page.text
    assert done.status_code == 303
    assert (await ana.get("/me")).status_code == 200
    assert (await elsewhere.get("/me")).status_code == 303


async def test_sessions_are_listed_and_ended(small_world: World) -> None:
    root = await given_root(small_world)
    await root.post("/api/v1/users", json={"name": "ana", "password": PASSWORD, "roles": [{"role": "viewer"}]})
    first, second = await session_of(small_world, "ana"), await session_of(small_world, "ana")

    listed = await second.get("/me")
    ended = await second.post("/me/sessions/1/end")
    asked = await second.get("/me/sign-out-everywhere")
    out = await second.post("/me/sign-out-everywhere")

    assert said(listed).count("(this one)") == 1
    assert ended.headers["location"] == "/me?done=session"
    assert (await first.get("/me")).status_code == 303
    assert "1 session ends at once" in said(asked)
    assert out.headers["location"] == "/sign-in"
    assert (await second.get("/me")).status_code == 303


async def test_the_audit_shows_what_differs_and_lets_nothing_through(small_world: World) -> None:
    root = await given_root(small_world)
    hostile = "<script>alert(1)</script>"
    await root.patch("/api/v1/projects/ops/jobs/backup", json={"enabled": False, "reason": hostile})
    await small_world.client().post("/sign-in", data={"name": "root", "password": hostile}, headers=OWN)

    page = await root.get("/admin/audit")
    filtered = await root.get("/admin/audit", params={"actor": "", "action": "job_disabled", "object": ""})
    nothing = await root.get("/admin/audit", params={"actor": "user nobody"})
    wrong = await root.get("/admin/audit", params={"since": "yesterday", "actor": "user root"})

    assert hostile not in page.text
    assert "root: &lt;script&gt;" in page.text
    assert "disabled by: none" in said(page)
    assert "sign in refused" in said(page)
    assert "1 of 1" in said(filtered)
    assert "Nothing matches." in nothing.text
    assert wrong.status_code == 400
    assert 'value="user root"' in wrong.text


async def test_the_checks_tell_what_is_wrong_and_what_to_do(small_world: World) -> None:
    root = await given_root(small_world)
    run = (await root.post("/api/v1/projects/ops/jobs/backup/runs", json={})).json()["id"]
    small_world.clock.advance(600.0)
    await small_world.worker("atlas", master=None)
    await small_world.attempt(run, 1, b"hello\n")

    text = said(await root.get("/admin"))
    small_world.logs.content.clear()
    without_log = said(await root.get("/admin"))

    assert "Workers ! warn 0 of 1 in contact with 0 masters" in text
    assert "Queue ! warn the oldest run waits for 10 min" in text
    assert "Logs ✔ ok" in text
    assert f"Logs ✖ fail the newest, of run #{run}, is not here" in without_log
