"""The audit: one entry for every change, whatever the route; read by those who may, and by nobody changed."""

import csv
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import msgspec
import pytest
from sqlalchemy import Connection, insert, select

from orchestra.clock import after
from orchestra.commands.bearer_texts import new_bearer_text
from orchestra.commands.bootstrap import add_sign_in_link
from orchestra.definition.canonical import encode_definition
from orchestra.logs.store import FileLogStore
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.queries.audit import AuditFilter, list_audit
from orchestra.specification import Execution, JobDefinition, JobSpecification, ProjectDefinition
from orchestra.storage.bearers import find_token
from orchestra.storage.tables import audit_entries
from orchestra_service.policy import POLICY
from tests.service.given import START, World, job
from tests.service.test_pipelines import released
from tests.support.plans import plans_of
from tests.support.schedules import scheduled

OWN = {"sec-fetch-site": "same-origin"}
PASSWORD = "correct horse battery"
Change = Callable[[World, httpx2.AsyncClient], Awaitable[httpx2.Response]]


async def a_run(root: httpx2.AsyncClient) -> int:
    made = await root.post(f"{API}/projects/ops/jobs/backup/runs", json={})
    return int(made.json()["id"])


async def a_session(world: World, root: httpx2.AsyncClient) -> httpx2.AsyncClient:
    await root.post(f"{API}/users", json={"name": "ana", "password": PASSWORD, "roles": [{"role": "operator"}]})
    client = world.client(None, **OWN)
    await client.post(f"{API}/sign-in", json={"name": "ana", "password": PASSWORD})
    return client


async def sign_in(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
    await root.post(f"{API}/users", json={"name": "ana", "password": PASSWORD})
    await mark(world)
    return await world.client().post(f"{API}/sign-in", json={"name": "ana", "password": PASSWORD})


async def sign_out(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
    client = await a_session(world, root)
    await mark(world)
    return await client.post(f"{API}/sign-out", json={})


async def end_session(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
    client = await a_session(world, root)
    await mark(world)
    return await client.delete(f"{API}/me/sessions/1")


async def end_sessions(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
    client = await a_session(world, root)
    await mark(world)
    return await client.delete(f"{API}/me/sessions")


async def apply(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
    await mark(world)
    definition = encode_definition(ProjectDefinition(name="ops", jobs=(job("restore"),)))
    return await root.put(f"{API}/projects/ops/definition", content=definition)


def of_run(verb: str, state: str) -> Change:
    async def change(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
        run = await a_run(root)
        if state != "pending":
            await world.change_run(run, state=state, ended_at=after(START, 5.0))
        await mark(world)
        return await root.post(f"{API}/runs/{run}/{verb}", json={})

    return change


def plain(method: str, path: str, body: object) -> Change:
    async def change(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
        await world.user("ben", Role.VIEWER)
        await world.worker("atlas")
        await mark(world)
        return await root.request(method, f"{API}{path}", json=body)

    return change


def of_schedule(verb: str) -> Change:
    async def change(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
        await world.project("ops", scheduled("backup"))
        if verb == "resume":
            await root.post(f"{API}/projects/ops/jobs/backup/schedule/pause", json={})
        await mark(world)
        return await root.post(f"{API}/projects/ops/jobs/backup/schedule/{verb}", json={})

    return change


def of_element(verb: str) -> Change:
    async def change(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
        await released(world, root)
        await mark(world)
        return await root.post(f"{API}/runs/1/elements/ask/{verb}", json={})

    return change


def of_wrap(verb: str) -> Change:
    async def change(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
        wrapped = JobSpecification(execution=Execution(steps=()), wrapped=True)
        await world.project("ops", JobDefinition(name="dump", specification=wrapped))
        start, end = {"key": "k" * 32, "host": "db1", "account": "root", "command": "./dump.sh"}, {"key": "k" * 32}
        with TemporaryDirectory() as folder:
            writing = World(world.database, sealing=world.sealing, wrapped_logs=FileLogStore(Path(folder)))
            client = writing.client(None, authorization=root.headers["authorization"])
            await mark(world)
            answer = await client.post(f"{API}/projects/ops/jobs/dump/wraps", json=start)
            if verb == "end":
                await mark(world)
                path, ending = f"{API}/runs/{answer.json()['run']}/wrap", {"took_seconds": 1, "exit_code": 0}
                await client.post(path, json=end)
                answer = await client.post(path, json={**end, "end": ending})
        return answer

    return change


async def release(world: World, root: httpx2.AsyncClient) -> httpx2.Response:
    await world.quarantine("backup")
    await mark(world)
    return await root.post(f"{API}/projects/ops/jobs/backup/release", json={})


CHANGES: dict[tuple[str, str], Change] = {
    ("POST", "/projects/{project}/jobs/{job}/schedule/pause"): of_schedule("pause"),
    ("POST", "/projects/{project}/jobs/{job}/schedule/resume"): of_schedule("resume"),
    ("POST", "/runs/{run}/elements/{element}/approve"): of_element("approve"),
    ("POST", "/runs/{run}/elements/{element}/reject"): of_element("reject"),
    ("POST", "/projects/{project}/jobs/{job}/wraps"): of_wrap("start"),
    ("POST", "/runs/{run}/wrap"): of_wrap("end"),
    ("POST", "/sign-in"): sign_in,
    ("POST", "/sign-out"): sign_out,
    ("PUT", "/projects/{project}/definition"): apply,
    ("PATCH", "/projects/{project}/jobs/{job}"): plain("PATCH", "/projects/ops/jobs/backup", {"enabled": False}),
    ("POST", "/projects/{project}/jobs/{job}/release"): release,
    ("POST", "/projects/{project}/jobs/{job}/runs"): plain("POST", "/projects/ops/jobs/backup/runs", {}),
    ("POST", "/runs/{run}/cancel"): of_run("cancel", "pending"),
    ("POST", "/runs/{run}/abort"): of_run("abort", "pending"),
    ("POST", "/runs/{run}/retry"): of_run("retry", "failed"),
    ("PATCH", "/workers/{worker}"): plain("PATCH", "/workers/atlas", {"state": "draining"}),
    ("POST", "/users"): plain("POST", "/users", {"name": "eve", "roles": [{"role": "viewer"}]}),
    ("PATCH", "/users/{user}"): plain("PATCH", "/users/ben", {"enabled": False, "roles": []}),
    ("POST", "/users/{user}/link"): plain("POST", "/users/ben/link", {"reset": True}),
    ("POST", "/tokens"): plain("POST", "/tokens", {"name": "ci"}),
    ("DELETE", "/tokens/{token}"): plain("DELETE", "/tokens/2", None),
    ("PATCH", "/me"): plain("PATCH", "/me", {"zone": "Europe/Paris"}),
    ("DELETE", "/me/sessions"): end_sessions,
    ("DELETE", "/me/sessions/{session}"): end_session,
}
CHANGING = sorted((method, path.removeprefix(API)) for method, path in POLICY if method not in ("GET", "HEAD"))


async def mark(world: World) -> None:
    """What comes after this belongs to the change."""
    await world.database.write(
        lambda connection: connection.execute(
            insert(audit_entries).values(at=world.clock.now(), actor="test", action="mark", object="")
        )
    )


async def entries(world: World) -> list[tuple[str, str, str]]:
    rows = await world.database.read(
        lambda connection: connection.execute(select(audit_entries).order_by(audit_entries.c.id)).all()
    )
    actions = [row.action for row in rows]
    begin = len(actions) - actions[::-1].index("mark") if "mark" in actions else 0
    assert PASSWORD not in repr(rows)
    return [(row.actor, row.action, row.address) for row in rows[begin:]]


@pytest.mark.parametrize("row", CHANGING, ids=lambda row: f"{row[0]} {row[1]}")
async def test_every_route_that_changes_something_leaves_one_entry_with_its_origin(
    small_world: World, row: tuple[str, str]
) -> None:
    root = await small_world.administrator()

    answer = await CHANGES[row](small_world, root)

    assert answer.status_code < 300, answer.text
    [(actor, action, address)] = await entries(small_world)
    assert actor.startswith("user ")
    assert action
    assert address == "127.0.0.1"


async def test_what_is_refused_or_only_looked_at_leaves_none(small_world: World) -> None:
    root = await small_world.administrator()
    ben = small_world.client(await small_world.user("ben", Role.VIEWER))
    await mark(small_world)

    await ben.post(f"{API}/projects/ops/jobs/backup/runs", json={})
    await root.patch(f"{API}/users/root", json={"enabled": False})
    await root.get(f"{API}/audit")

    assert await entries(small_world) == []


async def test_a_repeated_trigger_is_one_change(small_world: World) -> None:
    root = await small_world.administrator()
    await mark(small_world)

    for _ in range(3):
        await root.post(f"{API}/projects/ops/jobs/backup/runs", json={}, headers={"idempotency-key": "k"})

    assert len(await entries(small_world)) == 1


async def test_an_entry_tells_who_from_where_under_which_request_and_what_differs(world: World) -> None:
    root = await world.administrator()
    await world.user("ben", Role.VIEWER)

    answer = await root.patch(f"{API}/users/ben", json={"roles": [{"role": "operator", "project": "ops"}]})
    [entry, *_] = (await root.get(f"{API}/audit")).json()["items"]

    assert entry == {
        "id": entry["id"],
        "at": "2025-11-21T04:40:00Z",
        "actor": "user root",
        "action": "user_roles_changed",
        "object": "user ben",
        "detail": "",
        "outcome": "done",
        "token_id": 1,
        "session_id": None,
        "address": "127.0.0.1",
        "change": {"before": {"roles": ["viewer"]}, "after": {"roles": ["operator@ops"]}},
        "request": answer.headers["x-request-id"],
    }


async def test_filters_and_pages_find_what_was_asked_and_unknown_ones_are_refused(world: World) -> None:
    root = await world.administrator()
    for _ in range(3):
        await a_run(root)
        world.clock.advance(3600.0)
    await root.patch(f"{API}/projects/ops/jobs/backup", json={"enabled": False})

    async def found(**query: str) -> list[str]:
        answer = await root.get(f"{API}/audit", params=query)
        assert answer.status_code == 200, answer.text
        return [entry["object"] for entry in answer.json()["items"]]

    assert await found(action="run_triggered") == ["run #3", "run #2", "run #1"]
    assert await found(object="run #2") == ["run #2"]
    assert await found(actor="user nobody") == []
    assert await found(since="2025-11-21T05:00:00Z", until="2025-11-21T07:00:00Z") == ["run #3", "run #2"]
    first = (await root.get(f"{API}/audit", params={"limit": "3"})).json()
    assert [entry["object"] for entry in first["items"]] == ["job ops/backup", "run #3", "run #2"]
    assert await found(limit="3", cursor=first["next"]) == ["run #1"]
    for query in ({"who": "ana"}, {"since": "yesterday"}, {"since": "2025-11-21T06:00:00"}, {"limit": "0"}):
        assert (await root.get(f"{API}/audit", params=query)).status_code == 400


@pytest.mark.parametrize(
    ("role", "status"), [(Role.ADMINISTRATOR, 200), (Role.AUDITOR, 200), (Role.OPERATOR, 403), (Role.VIEWER, 403)]
)
async def test_administrators_and_auditors_read_the_audit(small_world: World, role: Role, status: int) -> None:
    client = small_world.client(await small_world.user("ana", role))

    assert (await client.get(f"{API}/audit")).status_code == status
    assert (await client.get(f"{API}/audit?format=csv")).status_code == status
    assert (await client.get(f"{API}/me/actions")).status_code == 200


@pytest.mark.parametrize(("query", "accept"), [("?format=csv", "*/*"), ("", "text/csv")])
async def test_the_csv_has_everything_that_matches_and_no_formulas(small_world: World, query: str, accept: str) -> None:
    root = await small_world.administrator()
    for _ in range(205):
        await a_run(root)
    await root.patch(f"{API}/projects/ops/jobs/backup", json={"enabled": False, "reason": "=1+1"})

    answer = await root.get(f"{API}/audit{query}", headers={"accept": accept})

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert [row["object"] for row in rows] == ["job ops/backup", *(f"run #{number}" for number in range(205, 0, -1))]
    assert rows[0]["detail"] == "'=1+1"
    assert msgspec.json.decode(rows[0]["change"])["after"] == {"disabled_by": "root: =1+1"}


async def test_a_wrong_password_is_in_the_audit_but_not_what_was_typed_as_a_name(small_world: World) -> None:
    root = await small_world.administrator()
    await root.post(f"{API}/users", json={"name": "ana", "password": PASSWORD})

    for name in ("ana", "my password by mistake"):
        await small_world.client().post(f"{API}/sign-in", json={"name": name, "password": "wrong"})

    found = (await root.get(f"{API}/audit", params={"outcome": "refused"})).json()["items"]
    assert [(entry["actor"], entry["object"], entry["address"]) for entry in found] == [
        ("somebody", "an unknown user", "127.0.0.1"),
        ("somebody", "user ana", "127.0.0.1"),
    ]


async def test_signing_in_by_a_link_is_one_entry(small_world: World) -> None:
    await small_world.administrator()
    link = new_bearer_text("sign-in", small_world.randomness)
    await small_world.database.write(
        lambda connection: add_sign_in_link(connection, "root", link=link, now=small_world.clock.now())
    )
    await mark(small_world)

    await small_world.client().post(f"{API}/sign-in", json={"link": link.text})

    assert [entry[:2] for entry in await entries(small_world)] == [("user root", "signed_in")]


async def test_readings_of_the_audit_go_by_an_index(world: World) -> None:
    secret = await world.user("root", Role.ADMINISTRATOR)
    now = world.clock.now()

    def explain(connection: Connection) -> list[str]:
        bearer = find_token(connection, secret.digest, now=now)
        assert bearer is not None
        who = bearer.principal
        wanted = AuditFilter(texts=(("object", "run #1"),), since=after(now, -60.0), until=now)
        return plans_of(connection, lambda each: list_audit(each, who, wanted))

    def fill(connection: Connection) -> None:
        rows = [{"at": now + n, "actor": f"user {n % 50}", "action": "x", "object": f"run #{n}"} for n in range(3000)]
        connection.execute(insert(audit_entries), rows)
        connection.exec_driver_sql("analyze")

    await world.database.write(fill)

    for plan in await world.database.read(explain):
        assert "SCAN audit_entries\n" not in plan + "\n", plan
        assert "Seq Scan on audit_entries" not in plan, plan
