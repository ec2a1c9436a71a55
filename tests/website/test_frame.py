"""What all pages have around them: sign-in and the way back, colours, static files, the theme, errors."""

import asyncio
import re
from pathlib import Path

import httpx2
import pytest

from orchestra.commands.bearer_texts import new_bearer_text
from orchestra.commands.bootstrap import add_sign_in_link
from orchestra.policy import Role
from orchestra.web.assemble import build_application
from orchestra_website.assemble import website_routes
from orchestra_website.settings import WebsiteSettings
from tests.service.given import World

OWN = {"sec-fetch-site": "same-origin"}


async def signed_in(world: World, after: str = "/") -> tuple[httpx2.AsyncClient, httpx2.Response]:
    """A browser's client with a session, and the answer to its sign-in."""
    await world.user("root", Role.ADMINISTRATOR)
    link = new_bearer_text("sign-in", world.randomness)
    await world.database.write(
        lambda connection: add_sign_in_link(connection, "root", link=link, now=world.clock.now())
    )
    client = world.client()
    answer = await client.post("/sign-in", data={"link": link.text, "next": after}, headers=OWN)
    assert answer.status_code == 303
    return client, answer


async def test_whoever_is_not_signed_in_comes_back_to_the_page_after_signing_in(small_world: World) -> None:
    asked = await small_world.client().get("/runs?status=failed&job=ops/backup")

    assert asked.status_code == 303
    assert asked.headers["location"] == "/sign-in?next=%2Fruns%3Fstatus%3Dfailed%26job%3Dops%2Fbackup"
    form = await small_world.client().get(asked.headers["location"])
    assert 'value="/runs?status=failed&amp;job=ops/backup"' in form.text


@pytest.mark.parametrize(
    ("after", "location"),
    [
        ("/runs?status=failed", "/runs?status=failed"),
        ("", "/"),
        ("https://elsewhere.example/", "/"),
        ("//elsewhere.example/", "/"),
        ("/\\elsewhere.example/", "/"),
        ("/runs\r\nset-cookie: a=b", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_the_way_back_is_always_one_of_our_own_paths(small_world: World, after: str, location: str) -> None:
    _, answer = await signed_in(small_world, after)

    assert answer.headers["location"] == location


async def test_signing_out_ends_the_session_at_once(small_world: World) -> None:
    client, _ = await signed_in(small_world)
    before = await client.get("/runs")
    cookie = dict(client.cookies)

    left = await client.post("/sign-out", headers=OWN)

    assert (before.status_code, left.status_code) == (200, 303)
    client.cookies.update(cookie)
    assert (await client.get("/runs")).headers["location"].startswith("/sign-in")


async def test_a_form_from_another_site_changes_nothing(small_world: World) -> None:
    client, _ = await signed_in(small_world)

    foreign = {"sec-fetch-site": "cross-site", "origin": "https://elsewhere.example"}
    answers = [await client.post(path, data={"theme": "dark"}, headers=foreign) for path in ("/sign-out", "/theme")]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert (await client.get("/runs")).status_code == 200


async def test_the_chosen_colours_stay(small_world: World) -> None:
    client = small_world.client()

    chosen = await client.post("/theme", data={"theme": "dark", "next": "/sign-in"}, headers=OWN)
    page = await client.get("/sign-in")
    wrong = await client.post("/theme", data={"theme": "plaid"}, headers=OWN)

    assert (chosen.status_code, chosen.headers["location"]) == (303, "/sign-in")
    assert '<html lang="en" data-theme="dark">' in page.text
    assert wrong.status_code == 422
    assert "must be one of system, light, dark" in wrong.text


async def test_static_files_are_kept_for_ever_under_their_digest(small_world: World) -> None:
    client = small_world.client()
    page = await client.get("/sign-in")
    address = re.search(r'href="(/static/[0-9a-f]+/style\.css)"', page.text)
    assert address is not None

    current = await client.get(address[1])
    older = await client.get("/static/0000000000000000/style.css")
    known = await client.get(address[1], headers={"if-none-match": current.headers["etag"]})

    assert current.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (older.status_code, older.text) == (200, current.text)
    assert "immutable" not in older.headers["cache-control"]
    assert (known.status_code, known.text) == (304, "")
    assert (await client.get("/static/0/..%2f..%2fpolicy.py")).status_code == 404


async def test_a_theme_comes_before_our_own_templates_and_static_files(small_world: World, theme_folder: Path) -> None:
    (theme_folder / "static" / "style.css").write_text("main { color: teal }")
    (theme_folder / "templates" / "sign_in.html").write_text(
        '{% extends "base.html" %}{% block main %}<h1>Welcome to {{ page.title }}</h1>{% endblock %}'
    )
    settings = WebsiteSettings(theme_folder=theme_folder, title="Build <farm>")
    small_world.app = build_application(small_world.parts, website_routes(small_world.parts, settings))
    client = small_world.client()

    page = await client.get("/sign-in")
    address = re.search(r'href="(/static/[0-9a-f]+/style\.css)"', page.text)

    assert "<h1>Welcome to Build &lt;farm&gt;</h1>" in page.text
    assert address is not None
    assert (await client.get(address[1])).text == "main { color: teal }"


async def test_a_page_that_is_shown_for_the_first_time_keeps_nobody_waiting(
    small_world: World, theme_folder: Path
) -> None:
    # Compiling that takes some 100 ms.
    (theme_folder / "templates" / "sign_in.html").write_text("{% if page.title %}{{ page.title }}{% endif %}\n" * 1000)
    settings = WebsiteSettings(theme_folder=theme_folder)
    small_world.app = build_application(small_world.parts, website_routes(small_world.parts, settings))
    client = small_world.client()
    turns = []

    for _ in range(2):
        asked = asyncio.create_task(client.get("/sign-in"))
        turn = 0
        while not asked.done():
            await asyncio.sleep(0)
            turn += 1
        assert (await asked).status_code == 200
        turns.append(turn)

    assert turns[0] > 10 * turns[1]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere/<script>", 404, "There is nothing here"),
        ("POST", "/runs", 405, "This cannot be done here"),
        ("GET", "/runs?colour=red", 400, "is no filter here"),
        ("GET", "/runs?status=green", 400, "is no state"),
        ("GET", "/runs/0", 404, "There is nothing here"),
        ("GET", "/?token=orc_u_0", 400, "a token does not belong in the URL"),
    ],
)
async def test_what_goes_wrong_is_a_page_with_a_sentence(
    small_world: World, method: str, path: str, status: int, words: str
) -> None:
    client, _ = await signed_in(small_world)

    answer = await client.request(method, path, headers=OWN)

    assert answer.status_code == status
    assert words.lower() in answer.text.lower()
    assert "<script>" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
