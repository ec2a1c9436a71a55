"""What a definition says for all projects: stored when it is applied, refused where it does not fit to theirs."""

from functools import partial

import pytest

from orchestra.commands.definitions import Action, Kind, Plan, apply_definition, plan
from orchestra.commands.shared_resources import LocksRefused, SlotsNotAllowed
from orchestra.definition.reader import read_definition
from orchestra.identifiers import UserId
from orchestra.policy import Grant, Permission, Principal, Role, Scope, scopes_of
from orchestra.storage.database import Database, Topic
from orchestra.storage.declared_locks import declared_locks
from orchestra.storage.projects import find_project
from orchestra.storage.resources import slots_of_projects
from tests.support.clocks import START

TOOLS = """orchestra: 1
project: tools
locks: { license: 5 }
jobs:
  own: { run: x, locks: [{ name: license, count: 4 }] }
"""
SHOP = """orchestra: 1
project: shop
SHARED
jobs:
  build:
    run: x
    parameters: { kind: { options: [license, gpu], default: gpu }, free: { default: x } }
    locks: LOCKS
"""


def shop(locks: str = "[x]", shared: str = "") -> str:
    """A project with a job that takes these locks."""
    return SHOP.replace("LOCKS", locks).replace("SHARED", shared)


async def applied(database: Database, text: str, who: Principal | None = None) -> Plan:
    """Applies the text."""
    definition = read_definition(text, "a.yaml")
    return await database.write(
        partial(apply_definition, definition=definition, owner_file=None, source="test", by="ana", now=START, who=who)
    )


async def refusal(database: Database, text: str, who: Principal | None = None) -> list[tuple[str, str]]:
    """Why the definition is refused, when it is planned and when it is applied."""
    definition = read_definition(text, "a.yaml")
    with pytest.raises(LocksRefused) as planned:
        await database.read(partial(plan, definition=definition, now=START, who=who))
    with pytest.raises(LocksRefused) as refused:
        await applied(database, text, who)
    assert planned.value.problems == refused.value.problems
    return list(refused.value.problems)


async def capacities(database: Database) -> dict[str, tuple[int, str]]:
    """What is declared, and by whom."""
    found = await database.read(declared_locks)
    return {name: (lock.capacity, lock.project) for name, lock in found.items()}


async def definer(database: Database, *projects: str) -> Principal:
    """Somebody who may define everything, and read these projects only."""
    found = [(await database.read(partial(find_project, name=name))).id for name in projects]
    reading = scopes_of([Grant(role=Role.VIEWER, project_id=each) for each in found])
    return Principal(user_id=UserId(1), name="ana", scopes={**reading, Permission.DEFINE: Scope(everywhere=True)})


async def test_declared_locks_are_kept_changed_and_taken_away(database: Database) -> None:
    added = await applied(database, "orchestra: 1\nproject: tools\nlocks: { license: 5, gpu: 2 }\n")
    first = await capacities(database)

    changed = await applied(database, "orchestra: 1\nproject: tools\nlocks: { license: 6 }\n")

    assert first == {"license": (5, "tools"), "gpu": (2, "tools")}
    assert await capacities(database) == {"license": (6, "tools")}
    assert [(each.action, each.kind, each.detail) for each in (*added.changes, *changed.changes)] == [
        (Action.ADD, Kind.PROJECT, "locks.license: none → 5, locks.gpu: none → 2"),
        (Action.CHANGE, Kind.PROJECT, "locks.license: 5 → 6, locks.gpu: 2 → none"),
    ]


async def test_share_and_reserve_are_kept_changed_and_taken_away(database: Database) -> None:
    text = "orchestra: 1\nproject: tools\nslots: { share: 3, reserve: { count: 2, worker: { os: linux } } }\n"
    added = await applied(database, text)
    [kept] = (await database.read(slots_of_projects)).values()

    again = await applied(database, text)
    changed = await applied(database, text.replace("count: 2", "count: 1").replace("share: 3", "share: 4"))
    gone = await applied(database, "orchestra: 1\nproject: tools\n")

    assert (kept.share, kept.reserve and kept.reserve.count) == (3, 2)
    assert added.changes[0].detail == "slots.share: 1 → 3, slots.reserve"
    assert again.is_empty
    assert changed.changes[0].detail == "slots.share: 3 → 4, slots.reserve.count: 2 → 1"
    assert gone.changes[0].detail == "slots.share: 4 → 1, slots.reserve"
    assert await database.read(slots_of_projects) == {}


async def test_what_waits_is_looked_at_again_once_there_is_more_of_something(database: Database) -> None:
    await applied(database, TOOLS)
    subscription = database.subscribe(Topic.RELEASED)

    await applied(database, TOOLS.replace("5", "6"))

    assert {(each.topic, each.payload) for each in await subscription.wait(5)} == {(Topic.RELEASED, "")}
    subscription.close()


async def test_a_lock_belongs_to_the_project_that_declares_it(database: Database) -> None:
    await applied(database, TOOLS)

    refused = await refusal(database, shop(shared="locks: { gpu: 2, license: 5 }"))

    assert refused == [("/locks/license", "is declared by the project `tools` already: remove it here, or there first")]
    assert await capacities(database) == {"license": (5, "tools")}


async def test_a_project_that_somebody_may_not_read_is_not_named(database: Database) -> None:
    await applied(database, TOOLS)
    await applied(database, shop("[{ name: license, count: 5 }]"))
    nobody, reader = await definer(database), await definer(database, "tools", "shop")
    taken, lowered = "orchestra: 1\nproject: x\nlocks: { license: 1 }\n", TOOLS.replace("5", "4")

    hidden = [*await refusal(database, taken, nobody), *await refusal(database, lowered, nobody)]
    shown = [*await refusal(database, taken, reader), *await refusal(database, lowered, reader)]

    assert [sentence.partition(":")[0] for _, sentence in hidden] == [
        "is declared by another project already",
        "would be 4, but jobs of other projects take up to 5 at a time",
    ]
    assert [sentence.partition(":")[0] for _, sentence in shown] == [
        "is declared by the project `tools` already",
        "would be 4, but `shop/build` takes up to 5 at a time",
    ]


NEVER_MET = [
    (
        "[{ name: license, count: 6 }]",
        "/jobs/build/locks/0/count",
        "takes 6 of the lock `license`, of which there is 5: it would wait for ever: "
        "write `count: 5`, or raise the capacity of the lock",
    ),
    (
        "[x, { name: gpu, count: 2 }]",
        "/jobs/build/locks/1",
        "takes 2 of the lock `gpu`, of which there is 1: no project declares it: "
        "add `locks: { gpu: 2 }`, or apply the definition that has it first",
    ),
    (
        '[{ name: license, count: 3 }, { name: "{parameters.kind}", count: 3 }]',
        "/jobs/build/locks/1/count",
        "takes 6 of the lock `license`, of which there is 5: it would wait for ever: "
        "name it once, or raise the capacity of the lock",
    ),
]


@pytest.mark.parametrize(("locks", "pointer", "sentence"), NEVER_MET)
async def test_more_of_a_lock_than_there_is_elsewhere_is_refused(
    database: Database, locks: str, pointer: str, sentence: str
) -> None:
    await applied(database, TOOLS)

    refused = await refusal(database, shop(locks))

    assert (pointer, sentence) in refused


@pytest.mark.parametrize(
    "locks",
    [
        "[{ name: license, count: 5 }]",
        "[gpu, license]",
        '[{ name: "{parameters.free}", count: 9 }]',
        '["{parameters.kind}"]',
    ],
)
async def test_what_there_is_enough_of_is_accepted(database: Database, locks: str) -> None:
    await applied(database, TOOLS)

    made = await applied(database, shop(locks))

    assert not made.is_empty


LOWERED = [("locks: { license: 3 }", "/locks/license"), ("", "/locks/license")]


@pytest.mark.parametrize(("declared", "pointer"), LOWERED)
async def test_a_lock_that_others_take_several_of_is_not_lowered_below_that(
    database: Database, declared: str, pointer: str
) -> None:
    await applied(database, TOOLS)
    await applied(database, shop('["{parameters.kind}", { name: license, count: 3 }]'))

    refused = await refusal(database, f"orchestra: 1\nproject: tools\n{declared}\n")

    count = 3 if declared else 1
    assert refused == [
        (
            pointer,
            f"would be {count}, but `shop/build` takes up to 4 at a time: keep `license: 4`, or change them first",
        )
    ]


async def test_a_lock_that_nobody_takes_several_of_any_more_may_be_lowered(database: Database) -> None:
    await applied(database, TOOLS)
    await applied(database, shop("[{ name: license, count: 3 }]"))
    await applied(database, "orchestra: 1\nproject: shop\n")

    await applied(database, "orchestra: 1\nproject: tools\n")

    assert await capacities(database) == {}


SLOTS = "slots: { share: 2 }"


async def test_slots_concern_everybody_and_ask_for_the_permission_to_steer_workers(database: Database) -> None:
    who = Principal(user_id=UserId(1), name="ana", scopes={Permission.DEFINE: Scope(everywhere=True)})

    with pytest.raises(SlotsNotAllowed) as refused:
        await applied(database, shop(shared=SLOTS), who)

    assert str(refused.value) == (
        "the share and the reserve of 'shop' take slots from all projects, and you lack the permission "
        "'enable, drain and disable workers': ask an administrator for a role that has it, or leave `slots` as it is"
    )


async def test_slots_that_stay_as_they_are_ask_for_nothing_more(database: Database) -> None:
    who = Principal(user_id=UserId(1), name="ana", scopes={Permission.DEFINE: Scope(everywhere=True)})
    await applied(database, shop(shared=SLOTS))

    await applied(database, shop("[x, y]", shared=SLOTS), who)
    with pytest.raises(SlotsNotAllowed):
        await applied(database, shop("[x, y]"), who)

    assert (await database.read(partial(find_project, name="shop"))).share == 2


async def test_an_administrator_may_say_what_a_project_is_to_have(database: Database) -> None:
    who = Principal(user_id=UserId(1), name="root", scopes=scopes_of([Grant(role=Role.ADMINISTRATOR)]))

    await applied(database, shop(shared=SLOTS), who)

    assert (await database.read(partial(find_project, name="shop"))).share == 2
