"""Stopping runs, switching jobs, applying definitions, and what is shown of all that."""

import msgspec

from orchestra.commands.definitions import apply_definition
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import JobDefinition, Overlap, ProjectDefinition, ScheduleSpecification
from orchestra.storage.database import Topic
from tests.service.given import LINUX, World, job
from tests.support.timetables import by_cron

RUNS = f"{API}/projects/ops/jobs/backup/runs"


def hourly(name: str) -> JobDefinition:
    schedule = ScheduleSpecification(timetable=by_cron("0 * * * *"), overlap=Overlap.SKIP)
    return msgspec.structs.replace(job(name, matching=LINUX), schedule=schedule)


def document(*jobs: JobDefinition, name: str = "ops") -> bytes:
    return msgspec.json.encode(ProjectDefinition(name=name, jobs=jobs))


async def test_a_pending_run_is_cancelled_at_once_and_a_running_one_is_only_asked(world: World) -> None:
    client = await world.administrator()
    pending, running = [(await client.post(RUNS, json={})).json()["id"] for _ in range(2)]
    await world.change_run(running, state="running")

    cancelled = await client.post(f"{API}/runs/{pending}/cancel", json={"reason": "typo"})
    refused = await client.post(f"{API}/runs/{running}/cancel", json={})
    asked = await client.post(f"{API}/runs/{running}/abort", json={"reason": "too slow"})

    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        f"run #{running} runs: abort it instead of cancelling it",
    )
    assert (asked.status_code, asked.json()["state"]) == (202, "running")
    assert asked.json()["stop_requested"]["by"] == "user root"
    assert asked.json()["stop_requested"]["reason"] == "too slow"


async def test_a_run_that_is_over_is_not_stopped(world: World) -> None:
    client = await world.administrator()
    run = (await client.post(RUNS, json={})).json()["id"]
    await client.post(f"{API}/runs/{run}/abort")

    again = await client.post(f"{API}/runs/{run}/abort")

    assert again.status_code == 409
    events = (await client.get(f"{API}/runs/{run}/events")).json()["items"]
    assert [event["kind"] for event in events] == ["created", "cancelled"]


async def test_asking_to_stop_wakes_the_masters(small_world: World) -> None:
    client = await small_world.administrator()
    run = (await client.post(RUNS, json={})).json()["id"]
    subscription = small_world.database.subscribe(Topic.STOPS)

    await client.post(f"{API}/runs/{run}/abort")

    assert {signal.payload for signal in await subscription.wait(5.0)} == {str(run)}
    subscription.close()


async def test_a_dry_run_plans_and_changes_nothing(world: World) -> None:
    client = await world.administrator()
    body = document(job("backup"), hourly("report"))

    planned = await client.put(f"{API}/projects/ops/definition?dry_run=true", content=body)
    jobs = (await client.get(f"{API}/jobs")).json()["items"]
    applied = await client.put(f"{API}/projects/ops/definition?source=ops.yaml", content=body)
    after = (await client.get(f"{API}/jobs")).json()["items"]

    assert planned.status_code == 200
    assert planned.json() == {**applied.json(), "applied": False}
    assert {found["name"] for found in jobs} == {"backup", "resize"}
    assert {found["name"] for found in after} == {"backup", "report"}


async def test_a_definition_that_changed_since_the_plan_is_412(world: World) -> None:
    client = await world.administrator()
    old = (await client.get(f"{API}/projects")).json()["items"][0]["version"]
    await client.put(f"{API}/projects/ops/definition", content=document(job("backup")))

    late = await client.put(
        f"{API}/projects/ops/definition", content=document(job("other")), headers={"if-match": f'"{old}"'}
    )

    assert late.status_code == 412
    assert "plan again" in late.json()["detail"]


async def test_a_project_of_a_file_is_refused_and_the_file_is_named(world: World) -> None:
    definition = ProjectDefinition(name="files", jobs=(job("backup"),))
    await world.database.write(
        lambda connection: apply_definition(
            connection, definition, owner_file="/etc/o.yaml", source="f", by="master", now=world.clock.now()
        )
    )
    client = await world.administrator()

    answer = await client.put(f"{API}/projects/files/definition", content=document(job("x"), name="files"))

    assert answer.status_code == 409
    assert "/etc/o.yaml" in answer.json()["detail"]


async def test_a_definition_with_a_fault_is_refused_with_its_place(small_world: World) -> None:
    client = await small_world.administrator()

    other = await client.put(f"{API}/projects/shop/definition", content=document(job("x")))
    bad = await client.put(f"{API}/projects/ops/definition", content=document(job("Bad Name")))
    broken = await client.put(f"{API}/projects/ops/definition", content=b'{"name": "ops", "jobs": [{}]}')

    assert [answer.status_code for answer in (other, bad, broken)] == [422, 422, 422]
    assert all(answer.json()["errors"] for answer in (other, bad, broken))


async def test_a_job_shows_its_schedule_its_last_run_and_who_can_do_it(world: World) -> None:
    client = await world.administrator()
    await client.put(f"{API}/projects/ops/definition", content=document(hourly("report")))
    await world.worker("atlas")
    await world.worker("nt", properties='{"os":"windows"}')
    run = (await client.post(f"{API}/projects/ops/jobs/report/runs", json={})).json()["id"]

    shown = (await client.get(f"{API}/projects/ops/jobs/report")).json()
    schedules = (await client.get(f"{API}/schedules")).json()

    assert shown["last_run"]["id"] == run
    assert shown["workers"] == [
        {"name": "atlas", "matches": True, "reason": ""},
        {"name": "nt", "matches": False, "reason": "`os` is windows, needs linux"},
    ]
    assert schedules["items"] == [shown["schedule"]]
    assert shown["schedule"]["sentence"] == "Every hour (UTC)"
    assert shown["schedule"]["next"][0] == shown["schedule"]["next_fire_at"] == "2025-11-21T05:00:00Z"
    assert len(shown["schedule"]["next"]) == 5


async def test_a_job_that_its_definition_disables_is_not_enabled_by_a_person(small_world: World) -> None:
    client = await small_world.administrator()
    disabled = msgspec.structs.replace(job("backup"), enabled=False)
    await client.put(f"{API}/projects/ops/definition", content=document(disabled))

    answer = await client.patch(f"{API}/projects/ops/jobs/backup", json={"enabled": True})

    assert answer.status_code == 409
    assert "disabled by its definition" in answer.json()["detail"]


async def test_a_worker_shows_the_slots_in_use_and_only_the_runs_that_one_may_see(world: World) -> None:
    await world.project("shop", job("deploy"))
    client = await world.administrator()
    await world.worker("atlas")
    seen = (await client.post(RUNS, json={})).json()["id"]
    hidden = (await client.post(f"{API}/projects/shop/jobs/deploy/runs", json={})).json()["id"]
    for run in (seen, hidden):
        await world.change_run(run, state="running", worker_id=1)
    ana = world.client(await world.user("ana", (Role.VIEWER, "ops")))

    shown = (await ana.get(f"{API}/workers/atlas")).json()
    world.clock.advance(3600)
    silent = (await ana.get(f"{API}/workers")).json()["items"][0]

    assert (shown["slots_used"], shown["slots"], shown["runs"], shown["connected"]) == (2, 2, [seen], True)
    assert silent["connected"] is False


async def test_a_worker_is_disabled_enabled_and_asked_twice_without_harm(world: World) -> None:
    client = await world.administrator()
    await world.worker("atlas")

    states = [
        (await client.patch(f"{API}/workers/atlas", json={"state": state})).json()["state"]
        for state in ("disabled", "disabled", "online", "draining", "online")
    ]

    assert states == ["disabled", "disabled", "online", "draining", "online"]


async def test_lists_of_everything_are_paged(small_world: World) -> None:
    client = await small_world.administrator()
    for name in ("atlas", "boreas", "cygnus"):
        await small_world.worker(name)
        await small_world.user(f"u-{name}", Role.VIEWER)

    for path in ("workers", "users", "tokens", "jobs"):
        items, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(f"{API}/{path}", params=query)).json()
            items += page["items"]
            cursor, pages = page["next"], pages + 1
        whole = (await client.get(f"{API}/{path}")).json()
        assert items == whole["items"], path
        assert pages == len(items) == whole["total"]["value"] > 1, path
