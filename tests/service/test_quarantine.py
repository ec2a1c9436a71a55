"""Jobs in quarantine over HTTP: what is said of them, that new runs wait, and how a person lets them go."""

import pytest

from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.storage.database import Signal, Topic
from tests.service.given import World, job
from tests.service.test_metrics import samples

JOB = f"{API}/projects/ops/jobs/backup"
REASON = "2 attempts were lost within 1h: #1, #2"


async def test_a_job_in_quarantine_says_by_what_and_since_when(world: World) -> None:
    await world.quarantine("backup", REASON)
    client = await world.administrator()

    shown = (await client.get(JOB)).json()
    listed = {each["name"]: each for each in (await client.get(f"{API}/jobs")).json()["items"]}

    assert (shown["quarantined_at"], shown["quarantine_reason"]) == ("2025-11-21T04:40:00Z", REASON)
    assert shown["enabled"], "it makes runs, which wait"
    assert listed["backup"]["quarantine_reason"] == REASON
    assert (listed["resize"]["quarantined_at"], listed["resize"]["quarantine_reason"]) == (None, None)


async def test_a_trigger_of_a_job_in_quarantine_makes_a_run_that_waits(small_world: World) -> None:
    await small_world.quarantine("backup")
    client = await small_world.administrator()

    made = await client.post(f"{JOB}/runs", json={})

    assert (made.status_code, made.json()["state"]) == (201, "pending")


async def test_jobs_in_quarantine_need_attention_first_of_all_and_are_not_named_twice(world: World) -> None:
    client = await world.administrator()
    for _ in range(2):
        await client.post(f"{JOB}/runs", json={})
    world.clock.advance(3600)
    await world.quarantine("resize")
    world.clock.advance(60)
    await world.quarantine("backup", REASON)

    found = (await client.get(f"{API}/attention")).json()

    assert list(found)[:2] == ["checked_at", "quarantined"]
    assert found["quarantined"][0] == {
        "project": "ops",
        "job": "backup",
        "since": "2025-11-21T05:41:00Z",
        "reason": REASON,
        "runs": 2,
    }
    assert [each["job"] for each in found["quarantined"]] == ["backup", "resize"]
    assert (found["quarantined_total"], found["waiting"]) == (2, [])


async def test_a_retired_job_in_quarantine_needs_nobody_unless_something_of_it_waits(world: World) -> None:
    client = await world.administrator()
    await client.post(f"{JOB}/runs", json={})
    await world.quarantine("backup")
    await world.quarantine("resize")
    await world.project("ops", job("other"))

    found = (await client.get(f"{API}/attention")).json()
    released = await client.post(f"{JOB}/release", json={})

    assert [each["job"] for each in found["quarantined"]] == ["backup"]
    assert released.status_code == 200


async def test_attention_names_only_jobs_that_the_reader_may_see(world: World) -> None:
    await world.project("shop", job("sync"))
    await world.quarantine("sync")
    await world.quarantine("backup")
    client = world.client(await world.user("otto", (Role.VIEWER, "shop")))

    found = (await client.get(f"{API}/attention")).json()

    assert [(each["project"], each["job"]) for each in found["quarantined"]] == [("shop", "sync")]
    assert found["quarantined_total"] == 1


async def test_the_metrics_count_the_jobs_in_quarantine(small_world: World) -> None:
    client = await small_world.administrator()
    before = samples((await client.get("/metrics")).text)["orchestra_jobs_quarantined"]
    await small_world.quarantine("backup")

    after = samples((await client.get("/metrics")).text)["orchestra_jobs_quarantined"]

    assert (before, after) == (0, 1)


async def test_a_release_lets_the_job_go_and_is_kept_with_its_reason(world: World) -> None:
    await world.quarantine("backup", REASON)
    client = await world.administrator()
    signals = world.database.subscribe(Topic.PENDING, Topic.RUN)

    released = await client.post(f"{JOB}/release", json={"reason": "more memory"})
    again = await client.post(f"{JOB}/release", json={})

    assert released.status_code == 200
    assert (released.json()["quarantined_at"], released.json()["quarantine_reason"]) == (None, None)
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "job ops/backup is not in quarantine: there is nothing to release",
    )
    assert {Signal(Topic.PENDING), Signal(Topic.RUN)} <= await signals.wait(5)
    newest = (await client.get(f"{API}/audit")).json()["items"][0]
    assert (newest["action"], newest["object"], newest["detail"]) == ("job_released", "job ops/backup", "more memory")
    assert newest["change"] == {
        "before": {"quarantine": f"since 2025-11-21T04:40:00.000Z: {REASON}"},
        "after": {"quarantine": None},
    }
    signals.close()


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines"])
async def test_a_reason_that_does_not_fit_releases_nothing(small_world: World, reason: str) -> None:
    await small_world.quarantine("backup")
    client = await small_world.administrator()

    refused = await client.post(f"{JOB}/release", json={"reason": reason})

    assert refused.status_code == 422
    assert (await client.get(JOB)).json()["quarantined_at"] is not None


async def test_only_who_may_enable_and_disable_jobs_releases_them(small_world: World) -> None:
    await small_world.project("shop", job("sync"))
    await small_world.quarantine("backup")
    viewer = small_world.client(await small_world.user("vera", Role.VIEWER))
    outside = small_world.client(await small_world.user("otto", (Role.OPERATOR, "shop")))
    operator = small_world.client(await small_world.user("olga", (Role.OPERATOR, "ops")))

    answers = [await each.post(f"{JOB}/release", json={}) for each in (viewer, outside, operator)]

    assert [answer.status_code for answer in answers] == [403, 404, 200]
