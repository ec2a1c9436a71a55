"""Jobs of which runs are expected: what people and programs see of them."""

import msgspec
from sqlalchemy import update

from orchestra.clock import after
from orchestra.policy import Role
from orchestra.queries.addresses import API
from orchestra.specification import ExpectationSpecification, JobDefinition
from orchestra.storage.expectations import add_missed_run, expectation_of, move_look
from orchestra.storage.jobs import find_job
from orchestra.storage.tables import runs
from tests.service.given import START, World, job
from tests.support.pages import triggered, words_of

DAY, HOUR = 86_400.0, 3600.0
JOB = "/projects/ops/jobs/backup"


def expected(name: str) -> JobDefinition:
    expectation = ExpectationSpecification(every_seconds=DAY, grace_seconds=2 * HOUR)
    return msgspec.structs.replace(job(name), expect=expectation)


async def miss(world: World) -> None:
    """As the master writes it down."""
    world.clock.advance(26 * HOUR)
    now = world.clock.now()
    found = await world.database.read(lambda c: find_job(c, "ops", "backup"))
    record = await world.database.read(lambda c: expectation_of(c, found.id))
    assert record is not None
    await world.database.write(lambda c: move_look(c, record, None))
    await world.database.write(
        lambda c: add_missed_run(c, found.id, due_at=after(START, DAY), counted_from=START, missed_at=now)
    )


async def test_a_job_says_when_its_next_run_is_expected(world: World) -> None:
    await world.project("ops", expected("backup"))
    client = await world.administrator()

    page = words_of(await client.get(JOB))
    twin = (await client.get(f"{API}{JOB}")).json()["expect"]

    assert "A run every 1 d, at most 2 h late; next 2025-11-22 04:40:00 +00:00" in page
    assert (twin["is_missed"], twin["next_at"], twin["missed"]) == (False, "2025-11-22T04:40:00Z", [])


async def test_a_missed_run_is_shown_where_people_look(world: World) -> None:
    await world.project("ops", expected("backup"))
    await world.project("shop")
    client, outsider = await world.administrator(), world.client(await world.user("otto", (Role.OPERATOR, "shop")))
    await miss(world)

    home, page = words_of(await client.get("/")), words_of(await client.get(JOB))
    attention = (await client.get(f"{API}/attention")).json()
    hidden = (await outsider.get(f"{API}/attention")).json()

    assert "missed ops/backup was expected 2 h ago and no run of it has started: none ever has" in home
    assert "missed: it was expected 2025-11-22 04:40:00 +00:00" in page
    assert [(each["job"], each["due_at"]) for each in attention["missed"]] == [("backup", "2025-11-22T04:40:00Z")]
    assert (attention["missed_total"], hidden["missed_total"]) == (1, 0)


async def test_it_is_not_missed_any_more_as_soon_as_a_run_has_started(world: World) -> None:
    await world.project("ops", expected("backup"))
    client = await world.administrator()
    await miss(world)
    run = await triggered(client)
    now = world.clock.now()

    waiting = (await client.get(f"{API}/attention")).json()["missed_total"]
    await world.database.write(lambda c: c.execute(update(runs).where(runs.c.id == run).values(started_at=now)))

    assert waiting == 1
    assert "All good" in words_of(await client.get("/"))
    assert (await client.get(f"{API}{JOB}")).json()["expect"]["is_missed"] is False


async def test_of_a_job_that_is_disabled_nothing_is_expected(small_world: World) -> None:
    await small_world.project("ops", expected("backup"))
    client = await small_world.administrator()
    await miss(small_world)

    await client.patch(f"{API}{JOB}", json={"enabled": False})

    assert "not while the job is disabled" in words_of(await client.get(JOB))
    assert (await client.get(f"{API}/attention")).json()["missed_total"] == 0


async def test_a_plan_says_what_will_be_expected(small_world: World) -> None:
    client = await small_world.administrator()
    wanted = {"name": "shop", "jobs": [msgspec.to_builtins(expected("sell"))]}

    answer = await client.put(f"{API}/projects/shop/definition", json=wanted, params={"dry_run": "true"})

    changes = [(each["action"], each["kind"], each["detail"]) for each in answer.json()["plan"]["changes"]]
    assert ("add", "expectation", "a run every 1 d, at most 2 h late") in changes
