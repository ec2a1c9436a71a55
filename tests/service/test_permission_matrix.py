"""Every role at every route of service and website, generated from their two tables: no route can be forgotten."""

import re
from html import unescape

import httpx2
import pytest

from orchestra.policy import Permission, Role
from orchestra.queries.addresses import API
from orchestra.web.needs import Need, Open
from orchestra_service.policy import POLICY as SERVICE
from orchestra_website.policy import POLICY as WEBSITE
from tests.service.given import World, job

Row = tuple[str, str]
ROWS: dict[Row, Need] = {**SERVICE, **WEBSITE}
TABLES = {"service": SERVICE, "website": WEBSITE}
CHANGES = [row for row, need in ROWS.items() if row[0] != "GET" and isinstance(need, Permission)]
OBJECTS = re.compile(r"\{(project|run)\}")
PASSWORD = "correct horse battery staple"

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
ROLE_PLACES = [*((role, None) for role in Role), (Role.OPERATOR, "ops"), (Role.VIEWER, "ops")]
NOWHERE = {"run": "1", "attempt": "1", "token": "99", "session": "99", "user": "nobody", "worker": "nobody"}
BODIES: dict[Row, object] = {
    ("PATCH", f"{API}/projects/{{project}}/jobs/{{job}}"): {"enabled": True},
    ("POST", f"{API}/projects/{{project}}/jobs/{{job}}/wraps"): {
        "key": "k" * 32,
        "host": "db1",
        "account": "root",
        "command": "true",
    },
    ("POST", f"{API}/runs/{{run}}/wrap"): {"key": "k" * 32},
}
"""For routes that look at the body before they look for the object."""


def filled(path: str, **values: str) -> str:
    """The path with these names, or with names that fit nothing."""
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], NOWHERE.get(found[1], "nothing")), path)


async def ask(client: httpx2.AsyncClient, row: Row, path: str, **headers: str) -> httpx2.Response:
    """A request as a program sends it to the service, and a browser to the website."""
    method, template = row
    if method == "GET":
        return await client.get(path, headers=headers)
    if row in SERVICE:
        return await client.request(method, path, json=BODIES.get((method, template), {}), headers=headers)
    return await client.request(method, path, data={}, headers=headers)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(("role", "project"), ROLE_PLACES, ids=lambda value: str(value or "everywhere"))
async def test_a_role_gets_through_exactly_the_doors_that_the_policy_opens(
    small_world: World, table: str, role: Role, project: str | None
) -> None:
    token = await small_world.user("ana", (role, project) if project else role)
    name = f"{role}@{project}" if project else str(role)
    # Streams say goodbye at once instead of going on for ever.
    small_world.closing.set()
    wrong = []

    async with small_world.client(token) as client:
        for row, need in TABLES[table].items():
            answer = await ask(client, row, filled(row[1]))
            if answer.status_code >= 500:
                wrong.append((*row, answer.status_code))
            if isinstance(need, Permission):
                # A command may refuse later what the door let through; it then names another permission.
                refusal = f"you lack the permission {need.value!r}"
                is_refused = answer.status_code == 403 and refusal in unescape(answer.text).lower()
                if is_refused == (name in ADMITTED[need]):
                    wrong.append((*row, answer.status_code))

    assert not wrong


async def test_without_a_token_only_open_routes_answer(small_world: World) -> None:
    wrong = []

    async with small_world.client() as client:
        for row, need in ROWS.items():
            answer = await ask(client, row, filled(row[1]))
            is_sent_away = answer.status_code == 401 or (
                row in WEBSITE and answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
            )
            if isinstance(need, Permission) and not is_sent_away:
                wrong.append((*row, answer.status_code))

    assert not wrong


@pytest.mark.parametrize("table", TABLES)
async def test_what_is_outside_the_scope_does_not_exist(world: World, table: str) -> None:
    await world.project("shop", job("deploy"))
    root = await world.administrator()
    foreign = (await root.post(f"{API}/projects/shop/jobs/deploy/runs", json={})).json()["id"]
    ana = world.client(await world.user("ana", (Role.OPERATOR, "ops")))
    world.closing.set()
    rows = [
        (row, need)
        for row, need in TABLES[table].items()
        if OBJECTS.search(row[1]) and isinstance(need, Permission) and "operator@ops" in ADMITTED[need]
    ]

    found = {}
    for row, _ in rows:
        path = filled(row[1], project="shop", job="deploy", run=str(foreign), change="disable")
        found[row] = (await ask(ana, row, path)).status_code

    assert len(rows) >= 10
    assert {row: status for row, status in found.items() if status != 404} == {}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.test"},
        {"origin": "null"},
    ],
    ids=["no proof", "cross-site", "same-site", "foreign origin", "origin null"],
)
async def test_a_change_by_cookie_that_does_not_come_from_our_own_pages_is_refused(
    small_world: World, headers: dict[str, str]
) -> None:
    root = await small_world.administrator()
    await root.post(f"{API}/users", json={"name": "ana", "password": PASSWORD, "roles": [{"role": "administrator"}]})
    client = small_world.client()
    signed_in = await client.post(f"{API}/sign-in", json={"name": "ana", "password": PASSWORD})

    answers = {row: await ask(client, row, filled(row[1]), **headers) for row in CHANGES}

    assert signed_in.status_code == 200
    assert len(answers) >= 30
    passed = {row: answer.status_code for row, answer in answers.items() if answer.status_code != 403}
    assert not passed
    assert all("another site" in answer.text for answer in answers.values())
    # The same cookie reads, and changes what our own pages change.
    assert (await client.get(f"{API}/me")).status_code == 200
    own = await client.post(f"{API}/sign-out", headers={"sec-fetch-site": "same-origin"})
    assert own.status_code == 204


@pytest.mark.parametrize("row", [row for row, need in ROWS.items() if need is Open.TO_ALL], ids=" ".join)
async def test_what_is_open_to_all_is_a_short_list(row: Row) -> None:
    assert row[1].startswith(
        (f"{API}/health/", f"{API}/openapi.json", f"{API}/sign-in", "/api", "/sign-in", "/static/", "/theme")
    )


@pytest.mark.parametrize("path", [f"{API}/runs", f"{API}/workers", f"{API}/me", "/runs", "/workers", "/schedules"])
async def test_a_reading_that_has_not_changed_is_not_sent_again(small_world: World, path: str) -> None:
    root = await small_world.administrator()
    first = await root.get(path)
    tag = first.headers["etag"]

    again = await root.get(path, headers={"if-none-match": f'"other", {tag.removeprefix("W/")}'})
    head = await root.head(path, headers={"if-none-match": "*"})
    other = await root.get(path, headers={"if-none-match": '"other"'})

    assert first.status_code == 200
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "content-security-policy" in again.headers
    assert head.status_code == 304
    assert (other.status_code, other.content) == (200, first.content)


async def test_a_reading_that_has_changed_is_sent_again(small_world: World) -> None:
    root = await small_world.administrator()
    tag = (await root.get(f"{API}/runs")).headers["etag"]
    await root.post(f"{API}/projects/ops/jobs/backup/runs", json={})

    answer = await root.get(f"{API}/runs", headers={"if-none-match": tag})

    assert answer.status_code == 200
    assert answer.headers["etag"] != tag
