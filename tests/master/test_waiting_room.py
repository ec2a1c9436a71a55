"""The room before the master's door: who waits, for how long, and whose turn it is."""

import asyncio

import pytest

from orchestra.limits import GREETINGS_AT_ONCE_MAX, HANDSHAKES_WAITING_MAX
from orchestra_master import waiting_room
from orchestra_master.waiting_room import Place, WaitingRoom


async def full_room() -> tuple[WaitingRoom, list[Place]]:
    """A room with no place left."""
    room = WaitingRoom()
    places = [place for _ in range(GREETINGS_AT_ONCE_MAX) if (place := await room.enter())]
    assert len(places) == GREETINGS_AT_ONCE_MAX
    return room, places


async def waiting(room: WaitingRoom, count: int) -> list[asyncio.Task[Place | None]]:
    """So many who wait, in this order."""
    tasks = [asyncio.create_task(room.enter()) for _ in range(count)]
    await asyncio.sleep(0)
    assert room.waiting == count
    return tasks


async def test_who_came_first_is_next() -> None:
    room, places = await full_room()
    first, second = await waiting(room, 2)

    places[0].leave()
    assert await first is not None
    assert not second.done()

    places[1].leave()
    assert await second is not None
    assert room.waiting == 0


async def test_a_place_that_is_left_twice_is_one_place() -> None:
    room, places = await full_room()
    first, second = await waiting(room, 2)

    places[0].leave()
    places[0].leave()
    assert await first is not None
    await asyncio.sleep(0)

    assert not second.done()
    second.cancel()


async def test_a_place_of_somebody_silent_ends_by_itself() -> None:
    room, _ = await full_room()

    assert await room.enter() is not None


async def test_who_gives_up_while_waiting_takes_no_place() -> None:
    room, places = await full_room()
    first, second = await waiting(room, 2)
    first.cancel()

    places[0].leave()

    assert await second is not None
    assert room.waiting == 0


async def test_who_had_to_wait_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_room, "HANDSHAKE_WAIT_SECONDS_MAX", 0.01)
    room, places = await full_room()

    assert await room.enter() is None

    places[0].leave()
    assert await room.enter() is not None


async def test_a_crowd_beyond_the_bound_is_refused_at_once() -> None:
    room, places = await full_room()
    crowd = await waiting(room, HANDSHAKES_WAITING_MAX)

    assert await room.enter() is None

    for one in crowd:
        one.cancel()
    await asyncio.wait(crowd)
    places[0].leave()
    assert await room.enter() is not None
