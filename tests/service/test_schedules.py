"""Schedules over HTTP: one with its decisions, its next instants, a preview; and which jobs a worker can do."""

import msgspec
import pytest

from orchestra.clock import after, rfc3339
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.queries.schedules import list_ticks, show_schedule
from orchestra.specification import Matching, Operator, Overlap, Requirement
from orchestra.storage.paging import PageAsked
from tests.service.given import LINUX, START, World, job
from tests.service.test_query_plans import WHO, faults_of
from tests.support.plans import plans_of
from tests.support.schedules import decide, move_next, scheduled

ONE = f"{API}/projects/ops/jobs/backup/schedule"
GPU = Matching(requirements=(Requirement(name="gpu", operator=Operator.AT_LEAST, values=(1,)),))


async def test_a_schedule_says_what_it_does_on_difficult_days(world: World) -> None:
    await world.project("ops", scheduled("backup", overlap=Overlap.ALLOW))
    client = await world.administrator()

    found = (await client.get(ONE)).json()

    assert (found["url"], found["sentence"], found["expression"]) == (ONE, "At 02:30 (Europe/Paris)", "30 2 * * *")
    assert found["policies"][0] == "A due instant makes a run even while others of the job are not over."
    assert [day["sentence"] for day in found["clock_changes"]] == [
        "clocks go forward from 02:00 to 03:00",
        "clocks go back from 03:00 to 02:00",
    ]
    assert (found["warnings"], found["parameters"], found["may_enable"]) == ([], {}, True)
    assert (found["enabled"], found["disabled_because"]) == (True, None)
    assert len(found["next"]) == 5


@pytest.mark.parametrize("path", ["", "/next", "/ticks"])
async def test_a_schedule_that_is_not_there_or_not_to_be_seen_is_not_found(small_world: World, path: str) -> None:
    await small_world.project("ops", scheduled("backup"), job("plain"))
    await small_world.project("secret", scheduled("backup"))
    client = small_world.client(await small_world.user("ana", (Role.VIEWER, "ops")))

    asked = [
        f"{API}/projects/{name}/schedule{path}" for name in ("ops/jobs/plain", "ops/jobs/none", "secret/jobs/backup")
    ]

    assert [(await client.get(each)).status_code for each in asked] == [404, 404, 404]
    assert (await client.get(f"{ONE}{path}")).status_code == 200


async def test_who_disabled_a_schedule_is_said_in_its_list(world: World) -> None:
    await world.project("ops", scheduled("backup"), scheduled("off", enabled=False))
    client = await world.administrator()
    await client.patch(f"{API}/projects/ops/jobs/backup", json={"enabled": False, "reason": "migration"})

    found = (await client.get(f"{API}/schedules?project=ops")).json()["items"]

    assert [each["disabled_because"] for each in found] == ["disabled by root: migration", "disabled by its definition"]
    assert [(each["enabled"], each["next_fire_at"], each["next"]) for each in found] == [(False, None, [])] * 2
    assert (await client.get(f"{API}/schedules?project=none")).json()["items"] == []


async def test_the_next_instants_are_told_even_while_it_is_disabled(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup", zone="UTC", enabled=False))
    client = await small_world.administrator()

    found = (await client.get(f"{ONE}/next?n=3")).json()["next"]

    assert found == ["2025-11-22T02:30:00Z", "2025-11-23T02:30:00Z", "2025-11-24T02:30:00Z"]
    assert len((await client.get(f"{ONE}/next")).json()["next"]) == 10


@pytest.mark.parametrize("count", ["0", "101", "x", "", "１", "-1"])
async def test_a_count_that_is_none_is_a_bad_query(small_world: World, count: str) -> None:
    await small_world.project("ops", scheduled("backup"))
    client = await small_world.administrator()

    refused = await client.get(f"{ONE}/next", params={"n": count})

    assert refused.status_code == 400
    assert refused.json()["errors"] == [{"pointer": "/n", "message": "must be a whole number from 1 to 100"}]


async def test_decisions_are_paged_from_the_newest_with_their_lateness(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()
    run = (await client.post(f"{API}/projects/ops/jobs/backup/runs", json={})).json()["id"]
    for number, decision in enumerate(["skipped: missed", "skipped: overlap with #1", "fired"]):
        due = after(START, number * 60)
        made = run if decision == "fired" else None
        await decide(world.database, "backup", due, decided_at=after(due, 0.25), decision=decision, run=made)

    first = (await client.get(f"{ONE}/ticks?limit=2")).json()
    rest = (await client.get(f"{ONE}/ticks?limit=2&cursor={first['next']}")).json()

    assert [each["decision"] for each in first["items"]] == ["fired", "skipped: overlap with #1"]
    assert [(each["run"], each["lateness_seconds"]) for each in first["items"]] == [(run, 0.25), (None, 0.25)]
    assert first["items"][0]["due_at"] == rfc3339(after(START, 120)).replace(".000", "")
    assert ([each["decision"] for each in rest["items"]], rest["next"]) == (["skipped: missed"], None)
    assert first["total"] == {"value": 3, "exact": True}


async def test_the_last_decision_stands_in_the_list(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()
    await decide(world.database, "backup", START, decided_at=after(START, 90), decision="skipped: missed")
    await move_next(world.database, "backup", after(START, 600))

    (found,) = (await client.get(f"{API}/schedules")).json()["items"]

    assert (found["last_tick"]["decision"], found["last_tick"]["lateness_seconds"]) == ("skipped: missed", 90.0)
    assert found["next_fire_at"] == rfc3339(after(START, 600)).replace(".000", "")


async def test_decisions_are_read_from_an_index(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"))

    plans = await small_world.database.write(
        lambda connection: plans_of(
            connection,
            lambda c: (
                list_ticks(c, WHO, "ops", "backup", PageAsked(limit=10)),
                show_schedule(c, WHO, "ops", "backup", now=START),
            ),
        )
    )

    assert not faults_of(plans)
    assert not [plan for plan in plans if "SCAN schedule_ticks" in plan and "USING" not in plan]


async def test_a_preview_needs_no_definition(small_world: World) -> None:
    client = await small_world.administrator()

    cron = (await client.get(f"{API}/schedules/preview", params={"cron": "0 9 13 * 5", "zone": "Europe/Paris"})).json()
    every = (await client.get(f"{API}/schedules/preview", params={"cron": "every 15m"})).json()

    assert cron["sentence"] == "At 09:00, on day 13 of the month, or on Friday (Europe/Paris)"
    assert (len(cron["next"]), len(cron["clock_changes"]), len(cron["warnings"])) == (10, 2, 1)
    assert (every["sentence"], every["expression"], every["zone"]) == ("Every 15 min", "every 15m", "UTC")


async def test_a_preview_of_nonsense_says_where_it_is_wrong(small_world: World) -> None:
    client = await small_world.administrator()

    refused = await client.get(f"{API}/schedules/preview", params={"cron": "0 61 * * *", "zone": "Mars"})
    empty = await client.get(f"{API}/schedules/preview")

    assert (refused.status_code, empty.status_code) == (400, 400)
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/cron", "/zone"]
    assert "'61' is no hour (0 to 23)" in refused.json()["errors"][0]["message"]


async def test_a_worker_tells_which_jobs_it_can_do_and_why_not_the_others(world: World) -> None:
    await world.project("ops", job("any"), job("linux", matching=LINUX), job("render", matching=GPU))
    await world.worker("atlas", properties='{"gpu":2,"os":"linux"}', slots=1)
    await world.worker("plain")
    client = await world.administrator()
    url = f"{API}/workers/atlas/jobs"

    atlas = (await client.get(url)).json()["items"]
    plain = (await client.get(f"{API}/workers/plain/jobs?limit=2")).json()
    rest = (await client.get(f"{API}/workers/plain/jobs?cursor={plain['next']}")).json()

    # The jobs that the world began with are retired: no list has them.
    assert [(each["job"], each["matches"], each["is_only"]) for each in atlas] == [
        ("any", True, False),
        ("linux", True, False),
        ("render", True, True),
    ]
    assert [each["job"] for each in plain["items"]] == ["any", "linux"]
    assert [(each["matches"], each["reason"]) for each in rest["items"]] == [(False, "`gpu` is not set, needs >= 1")]
    assert rest["items"][0]["url"] == f"{API}/projects/ops/jobs/render"


async def test_a_worker_that_is_not_there_has_no_jobs(small_world: World) -> None:
    client = await small_world.administrator()

    assert (await client.get(f"{API}/workers/none/jobs")).status_code == 404


async def test_jobs_of_projects_that_one_may_not_read_stay_hidden(small_world: World) -> None:
    await small_world.project("secret", job("hidden"))
    await small_world.worker("atlas")
    client = small_world.client(await small_world.user("ana", (Role.VIEWER, "ops")))

    found = (await client.get(f"{API}/workers/atlas/jobs")).json()["items"]

    assert {each["project"] for each in found} == {"ops"}


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines", "nul \0", "\u202e"])
async def test_a_reason_is_one_line_of_bounded_length(world: World, reason: str) -> None:
    await world.project("ops", scheduled("backup"))
    await world.worker("atlas")
    client = await world.administrator()

    job_answer = await client.patch(f"{API}/projects/ops/jobs/backup", json={"enabled": False, "reason": reason})
    worker_answer = await client.patch(f"{API}/workers/atlas", json={"state": "draining", "reason": reason})

    assert (job_answer.status_code, worker_answer.status_code) == (422, 422)
    message = {"pointer": "/reason", "message": "must be one line of at most 500 characters"}
    assert job_answer.json()["errors"] == [message]
    assert msgspec.json.decode(worker_answer.content)["errors"] == [message]
