"""Values that no honest client sends: each is refused with a sentence, on both databases alike."""

import msgspec
import pytest

from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import ProjectDefinition
from tests.service.given import World, job

NUL = "a\0b"
RUNS = f"{API}/projects/ops/jobs/backup/runs"


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", ""])
@pytest.mark.parametrize("path", [f"{API}/sign-in", "/sign-in", "/theme"])
async def test_an_origin_that_is_no_address_is_another_site(small_world: World, path: str, origin: str) -> None:
    answer = await small_world.client(origin=origin).post(path)

    assert answer.status_code == 403


@pytest.mark.parametrize("reason", [NUL, "x" * 501, "two\nlines", "\u202e"])
@pytest.mark.parametrize("what", ["cancel", "abort"])
async def test_the_reason_of_a_stop_is_one_line_of_bounded_length(world: World, what: str, reason: str) -> None:
    client = await world.administrator()
    run = (await client.post(RUNS, json={})).json()["id"]

    answer = await client.post(f"{API}/runs/{run}/{what}", json={"reason": reason})

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/reason"]
    assert (await client.get(f"{API}/runs/{run}")).json()["state"] == "pending"


@pytest.mark.parametrize("kind", ["user", "worker"])
async def test_a_token_for_a_name_that_can_be_nobodys_is_refused(world: World, kind: str) -> None:
    client = await world.administrator()

    answer = await client.post(f"{API}/tokens", json={"name": "ci", "user": NUL, "kind": kind})

    assert answer.status_code == 422


async def test_a_role_in_a_project_whose_name_can_be_none_is_told_at_its_place(world: World) -> None:
    client = await world.administrator()
    roles = [{"role": "viewer"}, {"role": "viewer", "project": NUL}]

    answer = await client.post(f"{API}/users", json={"name": "ben", "roles": roles})

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/roles/1/project"]


async def test_a_definition_whose_description_cannot_be_kept_is_refused(world: World) -> None:
    client = await world.administrator()
    described = ProjectDefinition(name="ops", description=NUL, jobs=(job("backup"),))

    answer = await client.put(f"{API}/projects/ops/definition", content=msgspec.json.encode(described))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/description"


async def test_a_form_whose_hidden_key_was_tampered_with_makes_no_mistake_of_ours(world: World) -> None:
    client = world.client(await world.user("ana", (Role.OPERATOR, "ops")))
    headers = {"content-type": "application/x-www-form-urlencoded"}

    answer = await client.post("/projects/ops/jobs/backup/trigger", content="key=a%00b", headers=headers)

    assert answer.status_code == 303
