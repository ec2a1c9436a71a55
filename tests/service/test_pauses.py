"""Pausing a schedule over HTTP: who may, until when, what is told of it, and that it is on the record."""

import pytest

from orchestra.clock import after, rfc3339
from orchestra.policy import Role
from orchestra.queries.addresses import API
from tests.service.given import START, World, job
from tests.support.schedules import scheduled

ONE = f"{API}/projects/ops/jobs/backup/schedule"


async def test_a_pause_says_by_whom_why_and_until_when(world: World) -> None:
    await world.project("ops", scheduled("backup", zone="UTC"))
    client = await world.administrator()
    until = rfc3339(after(START, 3 * 86_400))

    answer = await client.post(f"{ONE}/pause", json={"reason": "migration", "until": until})

    assert answer.status_code == 200
    told = (await client.get(ONE)).json()
    assert (told["paused"]["by"], told["paused"]["reason"]) == ("root", "migration")
    assert (told["paused"]["since"], told["paused"]["until"]) == (rfc3339(START)[:-5] + "Z", until[:-5] + "Z")
    assert told["next_fire_at"] == told["next"][0] == "2025-11-25T02:30:00Z"
    assert told["enabled"]


async def test_a_pause_without_an_end_has_no_next_instant(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()

    told = (await client.post(f"{ONE}/pause", json={})).json()

    assert (told["paused"]["until"], told["next_fire_at"], told["next"]) == (None, None, [])


async def test_what_was_paused_is_resumed_once(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()
    await client.post(f"{ONE}/pause", json={"reason": "a"})
    await client.post(f"{ONE}/pause", json={"reason": "b"})

    resumed = await client.post(f"{ONE}/resume")
    again = await client.post(f"{ONE}/resume")

    assert (resumed.status_code, resumed.json()["paused"]) == (200, None)
    assert (again.status_code, again.json()["detail"]) == (409, "the schedule of ops/backup is not paused")
    entries = (await client.get(f"{API}/audit?limit=3")).json()["items"]
    assert [(each["action"], each["object"]) for each in entries] == [
        ("schedule_resumed", "schedule ops/backup"),
        ("schedule_paused", "schedule ops/backup"),
        ("schedule_paused", "schedule ops/backup"),
    ]


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"until": "2020-01-01T00:00:00Z"}, "/until"),
        ({"until": "2030-01-01T00:00:00"}, "/until"),
        ({"until": "tomorrow"}, "/until"),
        ({"reason": "x" * 10_000}, "/reason"),
        ({"forever": True}, "/forever"),
    ],
)
async def test_a_pause_that_cannot_be_is_refused(small_world: World, content: dict[str, object], pointer: str) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()

    refused = await client.post(f"{ONE}/pause", json=content)

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer


async def test_who_may_not_switch_a_job_may_not_pause_it(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"), job("plain"))
    viewer = small_world.client(await small_world.user("ana", (Role.VIEWER, "ops")))
    root = await small_world.administrator()

    assert (await viewer.post(f"{ONE}/pause", json={})).status_code == 403
    assert (await viewer.post(f"{ONE}/resume")).status_code == 403
    assert (await root.post(f"{API}/projects/ops/jobs/plain/schedule/pause", json={})).status_code == 404
