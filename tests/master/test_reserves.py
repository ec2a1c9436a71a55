"""Slots that are kept free for a project: also from what would only wait at a worker for the next that comes free."""

import msgspec
from sqlalchemy import update

from orchestra.identifiers import RunId
from orchestra.protocol.messages import Welcome
from orchestra.specification import SlotReserve
from orchestra.storage.tables import projects
from tests.master.demand_room import ATTEMPT, Room
from tests.support.worker_end import WorkerEnd, hello

ONE = msgspec.json.encode(SlotReserve(count=1)).decode()


async def full_worker(room: Room) -> tuple[WorkerEnd, list[RunId], RunId]:
    """Of two slots, beside which it keeps offers: one is reserved and used, of the flood there is more."""
    worker = room.master.connect()
    worker.say(msgspec.structs.replace(hello(worker="atlas", slots=2), prefetch=2))
    await worker.hear(Welcome)
    deploy = await room.run(project="ops")
    await room.database.write(
        lambda connection: connection.execute(update(projects).where(projects.c.name == "ops").values(reserve=ONE))
    )
    flood = [await room.run(project="scan", job="scan") for _ in range(4)]
    assert await room.dispatch() == [deploy, flood[0]]
    return worker, flood, deploy


async def test_a_reserved_slot_that_comes_free_again_is_kept_from_a_flood(room: Room) -> None:
    worker, _, deploy = await full_worker(room)

    await room.end(worker, deploy)

    assert await room.dispatch() == []
    next_deploy = await room.run(project="ops")
    assert await room.dispatch() == [next_deploy]


async def test_nothing_of_a_flood_waits_for_the_slot_that_the_reserve_fills(room: Room) -> None:
    worker, flood, deploy = await full_worker(room)

    await room.end(worker, flood[0])

    assert await room.dispatch() == [flood[1]]
    await room.end(worker, deploy)
    assert await room.dispatch() == []


async def test_what_has_the_reserve_may_wait_for_a_slot(room: Room) -> None:
    worker, flood, _ = await full_worker(room)
    mine = [await room.run(project="ops") for _ in range(2)]

    await room.end(worker, flood[0])

    assert set(await room.dispatch()) >= {mine[0]}


async def test_a_slot_of_a_run_whose_end_is_not_stored_yet_is_nobodys(room: Room) -> None:
    worker, _, deploy = await full_worker(room)
    (session,) = room.master.parts.roster.connected()

    # The rows say for a moment that the reserve is filled, though its slot is free.
    session.end([(deploy, ATTEMPT)], room.master.clock.monotonic())
    room.master.dispatcher.capacity_changed()
    meanwhile = await room.dispatch()
    await room.end(worker, deploy)
    stored = await room.dispatch()
    next_deploy = await room.run(project="ops")

    assert (meanwhile, stored) == ([], [])
    assert await room.dispatch() == [next_deploy]
