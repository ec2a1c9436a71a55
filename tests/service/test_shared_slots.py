"""What a definition says for all projects, over HTTP: warned of, or refused with a sentence."""

import msgspec
import pytest
from httpx2 import AsyncClient

from orchestra.commands.bearer_texts import BearerText
from orchestra.queries.addresses import API
from orchestra.specification import Operator, ProjectDefinition, Requirement, SlotReserve
from tests.service.given import World

LINUX = (Requirement(name="os", operator=Operator.IN, values=("linux",)),)


async def put(client: AsyncClient, definition: ProjectDefinition) -> tuple[int, dict[str, object]]:
    """The answer to a definition of the project `web`."""
    answer = await client.put(f"{API}/projects/web/definition", json=msgspec.to_builtins(definition))
    return answer.status_code, msgspec.json.decode(answer.content, type=dict[str, object])


async def warnings_of(client: AsyncClient, reserve: SlotReserve) -> list[str]:
    """Of a plan, which are those of its application."""
    definition = ProjectDefinition(name="web", reserve=reserve)
    address = f"{API}/projects/web/definition"
    planned = await client.put(f"{address}?dry_run=true", json=msgspec.to_builtins(definition))
    applied = await client.put(address, json=msgspec.to_builtins(definition))
    found: list[str] = planned.json()["plan"]["warnings"]
    assert applied.json()["plan"]["warnings"] == found
    return found


RESERVES = [
    (SlotReserve(count=4), []),
    (SlotReserve(count=3, requirements=LINUX), []),
    (
        SlotReserve(count=4, requirements=LINUX),
        ["the reserve of 4 slots is more than all 3 of the workers that match: no other project can use them"],
    ),
    (
        SlotReserve(count=1, requirements=(Requirement(name="gpu", operator=Operator.AT_LEAST, values=("1",)),)),
        ["the reserve of 1 slot is kept nowhere: no worker that is known has what it asks for"],
    ),
]


@pytest.mark.parametrize(("reserve", "warnings"), RESERVES)
async def test_a_plan_warns_of_a_reserve_that_is_larger_than_the_fleet(
    world: World, reserve: SlotReserve, warnings: list[str]
) -> None:
    await world.worker("atlas", slots=1)
    await world.worker("castor", slots=2, last_contact_at=None)
    await world.worker("wing", slots=1, properties='{"os":"windows"}')

    assert await warnings_of(await world.administrator(), reserve) == warnings


async def test_locks_that_do_not_fit_to_others_are_refused_field_by_field(world: World) -> None:
    client = await world.administrator()
    await client.put(f"{API}/projects/tools/definition", json={"name": "tools", "locks": {"license": 5}})

    status, body = await put(client, ProjectDefinition(name="web", locks={"license": 2}))

    assert status == 422
    assert body["errors"] == [
        {
            "pointer": "/locks/license",
            "message": "is declared by the project `tools` already: remove it here, or there first",
        }
    ]


async def test_who_may_only_define_does_not_change_what_a_project_has_of_the_slots(world: World) -> None:
    client = await world.administrator()
    made = await client.post(f"{API}/tokens", json={"name": "ci", "scopes": ["define", "read"]})
    limited = world.client(BearerText(kind="user", text=made.json()["secret"]))

    refused, body = await put(limited, ProjectDefinition(name="web", share=2))
    accepted, _ = await put(limited, ProjectDefinition(name="web"))

    assert (refused, accepted) == (403, 200)
    assert body["detail"] == (
        "the share and the reserve of 'web' take slots from all projects, and you lack the permission "
        "'enable, drain and disable workers': ask an administrator for a role that has it, or leave `slots` as it is"
    )
