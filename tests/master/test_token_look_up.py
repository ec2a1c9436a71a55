"""Many workers at the door at once: their tokens are looked up together, and each gets its own answer."""

import asyncio

from sqlalchemy import select

from orchestra.clock import SystemClock
from orchestra.commands.bearer_texts import new_bearer_text
from orchestra.commands.bootstrap import local_worker_user
from orchestra.storage.tables import tokens
from orchestra_master.token_look_up import TokenLookUp
from tests.master.conftest import MasterWorld


async def good_digest(world: MasterWorld) -> str:
    """That of a valid worker token."""
    token = new_bearer_text("worker", lambda length: bytes(range(length)))
    await world.database.write(lambda c: local_worker_user(c, "builders", token=token, now=SystemClock().now()))
    return token.digest


async def test_each_gets_its_own_answer(world: MasterWorld) -> None:
    good = await good_digest(world)
    look_up = TokenLookUp(parts=world.parts)

    found = await asyncio.gather(*(look_up.find(digest) for digest in [good, "bad", good, "worse"] * 50))

    assert [bearer is not None for bearer in found] == [True, False, True, False] * 50


async def test_the_others_are_answered_when_the_first_gives_up(world: MasterWorld) -> None:
    good = await good_digest(world)
    look_up = TokenLookUp(parts=world.parts)
    first, *others = [asyncio.create_task(look_up.find(good)) for _ in range(5)]
    await asyncio.sleep(0)
    late = asyncio.create_task(look_up.find(good))
    await asyncio.sleep(0)

    first.cancel()

    assert all(await asyncio.gather(*others, late))


async def test_a_token_that_opens_the_door_is_written_down_as_used(world: MasterWorld) -> None:
    look_up, good = TokenLookUp(parts=world.parts), await good_digest(world)

    await look_up.find(good)

    assert await world.database.read(lambda c: c.execute(select(tokens.c.last_used_at)).scalar_one()) is not None
