"""Very many schedules at one instant: told in a preview and in a plan, with the way around it."""

import msgspec
from httpx2 import AsyncClient

from orchestra.queries.addresses import API
from orchestra.queries.crowds import CROWD
from orchestra.specification import JobDefinition, ProjectDefinition
from tests.service.given import World
from tests.support.schedules import scheduled

NIGHTLY = "30 2 * * *"


def many(count: int, cron: str = NIGHTLY) -> tuple[JobDefinition, ...]:
    """So many jobs at the same instant."""
    return tuple(scheduled(f"job-{number}", cron) for number in range(count))


async def warnings_of(client: AsyncClient, cron: str) -> list[str]:
    """Of a preview."""
    answer = await client.get(f"{API}/schedules/preview", params={"cron": cron, "zone": "Europe/Paris"})
    return msgspec.json.decode(msgspec.json.encode(answer.json()["warnings"]), type=list[str])


async def test_a_preview_counts_those_that_are_due_at_its_first_instant(world: World) -> None:
    await world.project("ops", *many(CROWD))
    client = await world.administrator()

    # Another expression, a day of the week: due at 01:30 UTC of a Tuesday like the others.
    (warning,) = await warnings_of(client, "30 2 * * 2")

    assert warning == (
        f"{CROWD} others are due at 2025-11-25 01:30:00 UTC as well: write `H` instead of a fixed minute "
        "(`H 2 * * 2`), and each job takes one of its own"
    )
    assert await warnings_of(client, "31 2 * * 2") == []


async def test_a_few_are_no_crowd(world: World) -> None:
    await world.project("ops", *many(CROWD - 1))

    assert await warnings_of(await world.administrator(), NIGHTLY) == []


async def test_what_does_not_run_is_not_counted(world: World) -> None:
    disabled = tuple(msgspec.structs.replace(job, enabled=False) for job in many(CROWD))
    await world.project("ops", *disabled)

    assert await warnings_of(await world.administrator(), NIGHTLY) == []


async def test_a_plan_says_which_of_its_schedules_join_a_crowd(world: World) -> None:
    await world.project("ops", *many(CROWD))
    client = await world.administrator()
    nightly = (scheduled("backup", NIGHTLY), scheduled("tidy", NIGHTLY), scheduled("report", "31 2 * * *"))
    project = ProjectDefinition(name="web", jobs=nightly)

    planned = (
        await client.put(f"{API}/projects/web/definition?dry_run=true", json=msgspec.to_builtins(project))
    ).json()
    applied = (await client.put(f"{API}/projects/web/definition", json=msgspec.to_builtins(project))).json()
    again = (await client.put(f"{API}/projects/web/definition", json=msgspec.to_builtins(project))).json()

    expected = (
        f"{CROWD + 2} schedules are due at 2025-11-22 01:30:00 UTC, backup and 1 more of these among them: write `H` "
        "instead of a fixed minute (`H 2 * * *`), and each job takes one of its own"
    )
    assert planned["plan"]["warnings"] == applied["plan"]["warnings"] == [expected]
    assert again["plan"]["warnings"] == []
