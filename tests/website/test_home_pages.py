"""The first page: what needs a person, what runs, what is next, and the first steps."""

import pytest

from orchestra.clock import after
from orchestra.policy import Role
from orchestra.queries.addresses import API
from tests.service.given import START, World, job
from tests.support.pages import HOSTILE, ended_runs, links_of, triggered, words_of
from tests.support.schedules import decide, scheduled


async def test_a_calm_instance_says_so_with_the_time_of_the_check(world: World) -> None:
    await world.worker("atlas")
    client = await world.administrator()

    shown = words_of(await client.get("/"))

    assert "All good: nothing fails, nothing is late" in shown
    assert "Checked 2025-11-21 04:40:00 +00:00" in shown


async def test_a_failing_job_comes_with_its_streak_and_its_last_reason(world: World) -> None:
    client = await world.administrator()
    runs = await ended_runs(world, client, ["failed", "succeeded", "failed", "cancelled", "exception", "failed"])
    await ended_runs(world, client, ["failed", "succeeded"], job="resize")

    answer = await client.get("/")

    assert f"ops/backup failed 3 times since 04:43, last in #{runs[-1]}: exit code 3" in words_of(answer)
    assert "ops/resize failed" not in words_of(answer)
    assert "/runs?job=ops%2Fbackup&status=failed%2Cexception" in links_of(answer)


async def test_the_last_verdict_is_found_behind_a_long_queue(world: World) -> None:
    client = await world.administrator()
    await ended_runs(world, client, ["failed"])
    for _ in range(7):
        await triggered(client)

    twin = (await client.get(f"{API}/attention")).json()

    assert [(each["job"], each["failures"]) for each in twin["failing"]] == [("backup", 1)]


async def test_a_disabled_job_is_not_failing(small_world: World) -> None:
    client = await small_world.administrator()
    await ended_runs(small_world, client, ["failed"])
    await client.patch(f"{API}/projects/ops/jobs/backup", json={"enabled": False})

    assert "All good" in words_of(await client.get("/"))


async def test_a_schedule_that_nobody_decided_about_is_late(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    client = await world.administrator()
    world.clock.advance(86_400)

    shown = words_of(await client.get("/"))

    assert "late ops/backup was due 3 h ago and nothing has decided about it: is a master running?" in shown


async def test_an_instant_that_was_missed_within_a_day_is_told(world: World) -> None:
    await world.project("ops", scheduled("backup"))
    await decide(world.database, "backup", after(START, -7200), decided_at=START, decision="skipped: missed", run=None)
    await decide(world.database, "backup", after(START, -3600), decided_at=START, decision="fired", run=None)
    client = await world.administrator()

    fresh = words_of(await client.get("/"))
    world.clock.advance(24 * 3600 - 7000)
    attention = (await client.get(f"{API}/attention")).json()

    assert "missed ops/backup missed 2025-11-21 02:40:00 +00:00, because no master was running then" in fresh
    assert [each["kind"] for each in attention["schedules"]] != ["missed"]


async def test_a_run_that_waits_for_long_says_why(world: World) -> None:
    client = await world.administrator()
    await world.worker("atlas", slots=0)
    first, second = await triggered(client), await triggered(client)
    calm = words_of(await client.get("/"))
    world.clock.advance(301)
    await world.worker("fresh", slots=0)

    answer = await client.get("/")

    assert "All good" in calm
    assert f"#{first} of ops/backup waits for 5 min 1 s, with 1 more: none of 2 workers" in words_of(answer)
    assert f"#{second} of" not in words_of(answer)
    assert "/runs?job=ops%2Fbackup&status=pending" in links_of(answer)


async def test_a_worker_out_of_contact_is_told_unless_a_person_disabled_it(world: World) -> None:
    client = await world.administrator()
    await world.worker("atlas", master=None)
    await world.worker("off", master=None, state="disabled")
    await world.worker("twice", state="quarantined", reason=HOSTILE)

    answer = await client.get("/")

    assert "atlas is out of contact since 04:40" in words_of(answer)
    assert "quarantined twice gets no runs until a person says which instance is right" in words_of(answer)
    assert "/workers/off" not in links_of(answer)
    assert HOSTILE not in answer.text


async def test_what_runs_is_held_against_its_usual_duration(world: World) -> None:
    client = await world.administrator()
    await world.worker("atlas")
    await ended_runs(world, client, ["succeeded"] * 3, seconds=60.0)
    run = await triggered(client)
    await world.change_run(run, state="running", started_at=world.clock.now(), worker_id=1, attempt=1)
    world.clock.advance(30)
    within = words_of(await client.get("/"))
    world.clock.advance(60)

    beyond = words_of(await client.get("/"))

    assert f"#{run} ops/backup on atlas 30 s of about 1 min 0 s" in within
    assert "1 min 30 s longer than usual, about 1 min 0 s" in beyond
    assert "1 running" in beyond


async def test_the_next_day_is_listed(small_world: World) -> None:
    await small_world.project("ops", scheduled("backup"), job("plain"))
    client = await small_world.administrator()

    assert "in 20 h ops/backup Sat 01:30" in words_of(await client.get("/"))


async def test_a_reader_of_one_project_sees_nothing_of_another(world: World) -> None:
    await world.project("shop", job("sync"))
    client = await world.administrator()
    await ended_runs(world, client, ["failed"])
    waiting = await triggered(client, "resize")
    world.clock.advance(400)
    viewer = world.client(await world.user("vera", (Role.VIEWER, "shop")))

    answer = await viewer.get("/")
    twin = (await viewer.get(f"{API}/attention")).json()

    assert "backup" not in answer.text
    assert f"#{waiting}" not in answer.text
    assert twin["failing"] == twin["waiting"] == []


async def test_the_first_steps_tick_themselves(small_world: World) -> None:
    client = await small_world.administrator()

    async def done() -> str:
        shown = words_of(await client.get("/"))
        return shown[: shown.index(" of 4 done")].rpartition(" ")[2] if " of 4 done" in shown else "all"

    counts = [await done()]
    await small_world.worker("atlas")
    counts.append(await done())
    await triggered(client)
    counts.append(await done())
    await small_world.user("ana", Role.OPERATOR)
    counts.append(await done())

    # The project of the tests is applied already.
    assert counts == ["1", "2", "3", "all"]


async def test_the_first_steps_can_be_put_away_in_one_browser(small_world: World) -> None:
    token = await small_world.user("root", Role.ADMINISTRATOR)
    client = small_world.client(token)

    answer = await client.post("/first-steps")

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Your first hour" not in (await client.get("/")).text
    assert "Your first hour" in (await small_world.client(token).get("/")).text


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, Role.AUDITOR])
async def test_who_cannot_do_the_first_steps_is_not_bothered_with_them(small_world: World, role: Role) -> None:
    client = small_world.client(await small_world.user("ana", role))

    answer = await client.get("/")

    assert answer.status_code == 200
    assert "Your first hour" not in answer.text


async def test_hostile_reasons_stay_text(small_world: World) -> None:
    client = await small_world.administrator()
    (run,) = await ended_runs(small_world, client, ["failed"])
    # The words of a run that is over are protected; the newest one gets them as it ends.
    again = await triggered(client)
    await small_world.change_run(again, state="failed", ended_at=small_world.clock.now(), reason=HOSTILE)

    answer = await client.get("/")

    assert again > run
    assert HOSTILE not in answer.text
    assert HOSTILE in words_of(answer)
