"""The keeper holds the limits of a step by itself: its own timeout, and how long it may be silent."""

import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestra_worker.keeper_client import StepOrder
from orchestra_worker.keeper_files import read_exit
from orchestra_worker.keeper_protocol import KEEPER_VERSION
from orchestra_worker.keeper_spawn import order_from
from tests.support.keepers import KeeperRoom, is_alive, until

STEP = "7-1-1"


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[KeeperRoom]:
    """A worker folder with its keeper."""
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    yield room
    await room.close()


def order(
    room: KeeperRoom,
    text: str,
    *,
    timeout: float | None = None,
    silence: float | None = None,
    deadline: float | None = None,
    grace_seconds: float = 0.5,
) -> StepOrder:
    """A shell step with limits."""
    plain = room.order(1, "/bin/sh", "-c", text, deadline=deadline, grace_seconds=grace_seconds)
    return replace(
        plain, timeout_seconds=timeout, timeout_reason="too slow", silence_seconds=silence, silence_reason="silent"
    )


def now(room: KeeperRoom) -> float:
    """The keeper's clock."""
    return room.clock.monotonic()


async def passes(room: KeeperRoom, seconds: float) -> None:
    """Waits on the keeper's clock."""
    until_then = now(room) + seconds
    await until(lambda: now(room) >= until_then)


async def test_a_step_that_takes_longer_than_its_timeout_is_ended_with_its_tree(room: KeeperRoom) -> None:
    began = now(room)
    await room.client.spawn(
        order(room, "sleep 600 & echo $! > child; while :; do echo x; sleep 0.1; done", timeout=1.0)
    )

    ended = await room.end_of(1)

    assert (ended.reason, ended.exit_code) == ("too slow", -signal.SIGTERM)
    assert 1.0 <= now(room) - began < 5.0
    assert not is_alive(int((room.folder / "child").read_text()))


async def test_a_step_that_ignores_the_word_is_killed_after_the_grace(room: KeeperRoom) -> None:
    await room.client.spawn(order(room, "trap '' TERM; while :; do sleep 0.1; done", timeout=0.5, grace_seconds=0.5))

    ended = await room.end_of(1)

    assert (ended.reason, ended.exit_code) == ("too slow", -signal.SIGKILL)


async def test_a_step_that_ends_in_time_has_reached_no_limit(room: KeeperRoom) -> None:
    await room.client.spawn(order(room, "exit 3", timeout=5.0, silence=5.0))

    ended = await room.end_of(1)

    assert (ended.reason, ended.exit_code) == ("", 3)


@pytest.mark.parametrize(
    ("timeout", "deadline", "reason"), [(0.4, 30.0, "too slow"), (30.0, 0.4, "timed out"), (None, 0.4, "timed out")]
)
async def test_the_limit_that_is_reached_first_ends_the_step(
    room: KeeperRoom, timeout: float | None, deadline: float, reason: str
) -> None:
    await room.client.spawn(order(room, "sleep 600", timeout=timeout, deadline=now(room) + deadline))

    assert (await room.end_of(1)).reason == reason


async def test_moving_the_deadline_leaves_the_steps_own_timeout_as_it_is(room: KeeperRoom) -> None:
    began = now(room)
    await room.client.spawn(order(room, "sleep 600", timeout=1.0, deadline=began + 30.0))

    await room.client.set_deadline(STEP, began + 60.0, "out of contact")

    assert (await room.end_of(1)).reason == "too slow"
    assert now(room) - began < 5.0


@pytest.mark.parametrize(("limit", "reason"), [("timeout", "too slow"), ("silence", "silent")])
async def test_a_limit_does_not_begin_anew_with_an_agent_that_comes_back(
    room: KeeperRoom, limit: str, reason: str
) -> None:
    began = now(room)
    step = order(room, "sleep 600", **{limit: 2.0})
    await room.client.spawn(step)
    await room.client.close()
    await passes(room, 1.2)
    await room.client.connect()

    await room.client.spawn(step)

    assert (await room.end_of(1)).reason == reason
    assert 2.0 <= now(room) - began < 3.0


async def test_silence_ends_a_step_without_an_agent_too(room: KeeperRoom) -> None:
    await room.client.spawn(order(room, "echo begun; sleep 600", silence=1.0))
    await room.client.close()

    await until(lambda: read_exit(str(room.attempt), 1) is not None)

    await room.client.connect()
    assert [report.reason for report in await room.client.steps()] == ["silent"]


async def test_output_and_check_ins_are_signs_of_life(room: KeeperRoom) -> None:
    began = now(room)
    speaks = "for i in 1 2 3 4 5 6; do printf .; sleep 0.3; done"
    checks_in = f"for i in 1 2 3 4 5 6; do echo '{{}}' >> {room.attempt}/checkins; sleep 0.3; done"
    await room.client.spawn(order(room, f"{speaks}; {checks_in}; touch through; sleep 600", silence=1.0))

    ended = await room.end_of(1)

    assert ended.reason == "silent"
    assert (room.folder / "through").exists()
    assert now(room) - began > 6 * 0.3 + 5 * 0.3 + 0.9


async def test_a_step_that_is_held_back_is_not_silent(room: KeeperRoom) -> None:
    text = "echo begun; while [ ! -e go ]; do sleep 0.01; done; head -c 5000000 /dev/zero"
    await room.client.spawn(order(room, text, silence=1.0))
    await until(lambda: room.log() == b"begun\n")
    room.client.hold(STEP, 600.0)
    await room.client.steps()  # Answered in turn: the hold has arrived.
    (room.folder / "go").touch()
    await passes(room, 2.5)
    assert STEP not in room.ends

    room.client.hold(STEP, 0.0)

    ended = await room.end_of(1)
    assert (ended.reason, ended.exit_code, ended.log_length) == ("", 0, 5_000_006)


async def test_what_a_silent_step_prints_when_it_is_asked_to_end_is_kept(room: KeeperRoom) -> None:
    await room.client.spawn(order(room, "trap 'echo last words; exit 4' TERM; sleep 600 & wait", silence=1.0))

    ended = await room.end_of(1)

    assert (ended.reason, ended.exit_code, room.log()) == ("silent", 4, b"last words\n")


def test_the_order_of_an_agent_that_knows_of_no_limits_has_none() -> None:
    old = {
        "step": STEP,
        "folder": "/f",
        "number": 1,
        "argv": ["/bin/true"],
        "directory": "/",
        "environment": {},
        "deadline": None,
        "deadline_reason": "timed out",
        "grace_seconds": 1.0,
    }

    read = order_from(old)

    assert (read.timeout_seconds, read.silence_seconds, KEEPER_VERSION) == (None, None, 2)
