"""When what could not go is looked at again: not at every slot that comes free, and never too late."""

import pytest

from orchestra.policies import Concurrency, Policies, Rate
from orchestra.storage.runs import request_stop
from tests.master.demand_room import Room

GROUPS = 20
IN_A_GROUP = Policies(concurrency=Concurrency(group="group-{parameters.number}"))


async def test_a_slot_that_comes_free_is_no_reason_to_look_at_full_groups(room: Room) -> None:
    worker = await room.master.worker(slots=2 * GROUPS)
    for number in 2 * list(range(GROUPS)):
        await room.run(IN_A_GROUP, job="build", parameters={"number": str(number)})
    other = await room.run(job="other")
    assert len(await room.dispatch()) == GROUPS + 1

    await room.end(worker, other)

    dispatcher = room.master.dispatcher
    assert (dispatcher.hungry, dispatcher.blocked) == (0, GROUPS)


async def test_a_group_that_was_released_while_no_worker_had_room_goes_once_one_has(room: Room) -> None:
    worker = await room.master.worker(slots=2)
    first = await room.run(Policies(concurrency=Concurrency()), job="build")
    assert await room.dispatch() == [first]
    second = await room.run(Policies(concurrency=Concurrency()), job="build")
    urgent = [await room.run(job="urgent", priority=9) for _ in range(2)]
    assert await room.dispatch() == [urgent[0]]

    await room.end(worker, first)
    assert await room.dispatch() == [urgent[1]]
    await room.end(worker, urgent[0])

    assert await room.dispatch() == [second]


async def test_a_full_group_for_which_nobody_waits_any_more_is_not_counted_for_ever(room: Room) -> None:
    await room.master.worker(slots=2)
    first, second = [await room.run(Policies(concurrency=Concurrency()), job="build") for _ in range(2)]
    assert await room.dispatch() == [first]
    blocked = room.master.dispatcher.blocked

    await room.database.write(
        lambda connection: request_stop(connection, second, by="ana", reason="", now=room.master.clock.now())
    )
    await room.dispatch()
    room.master.clock.advance(seconds=room.master.parts.poll_seconds)
    assert await room.dispatch() == []

    assert (blocked, room.master.dispatcher.blocked) == (1, 0)


async def test_what_nobody_waits_with_is_not_remembered_without_end(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestra_master.dispatcher.SIGNATURES_REMEMBERED_MAX", GROUPS)
    await room.master.worker(slots=2 * GROUPS)
    for number in 2 * list(range(GROUPS)):
        await room.run(IN_A_GROUP, job="build", parameters={"number": str(number)})
    for number in range(GROUPS, 2 * GROUPS - 1):
        await room.run(IN_A_GROUP, job="build", parameters={"number": str(number)})
    await room.dispatch()
    before = room.master.dispatcher.remembered

    room.master.clock.advance(seconds=room.master.parts.poll_seconds)
    await room.dispatch()

    assert (before, room.master.dispatcher.remembered) == (2 * GROUPS - 1, GROUPS)


async def test_a_rate_that_one_burst_uses_up_is_looked_at_when_its_window_ends(room: Room) -> None:
    await room.master.worker(slots=9)
    made = [await room.run(Policies(rate=Rate(starts=2, per_seconds=60.0)), job="scan") for _ in range(4)]

    assert await room.dispatch() == made[:2]

    # Nothing has ended, and nothing will for long.
    assert room.master.dispatcher.rest_seconds == pytest.approx(60.0)
    room.master.clock.advance(seconds=60)
    assert await room.dispatch() == made[2:]
