"""A step that is held back waits with its output, and with nothing else."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra_worker.keeper_files import log_length, read_exit
from tests.support.keepers import KeeperRoom, is_alive, until

PIPE_BYTES_MAX = 2 << 20
"""No pipe holds more."""
LARGE = 50_000_000
STEP = "7-1-1"


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[KeeperRoom]:
    """A worker folder with its keeper."""
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    yield room
    await room.close()


async def held_writer(
    room: KeeperRoom, *, script: str = "", seconds: float = 600.0, deadline: float | None = None
) -> int:
    """A step that is held back before it writes more than a pipe takes; its pid."""
    text = f"echo begun; while [ ! -e go ]; do sleep 0.01; done; {script or f'head -c {LARGE} /dev/zero'}"
    report = await room.client.spawn(room.order(1, "/bin/sh", "-c", text, deadline=deadline))
    await until(lambda: room.log() == b"begun\n")
    room.client.hold(STEP, seconds)
    await room.client.steps()  # Answered in turn: the hold has arrived.
    (room.folder / "go").touch()
    assert report.pid is not None
    return report.pid


def processor_seconds(pid: int) -> float:
    """What the process has used of the processors so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def is_blocked(pid: int) -> bool:
    """Whether the process, or the one that it waits for, waits for room in a pipe."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any("pipe" in waits_at(each) for each in (str(pid), *children))


def waits_at(pid: str) -> str:
    """Where in the kernel the process waits; nowhere if it has ended between two looks."""
    try:
        return Path(f"/proc/{pid}/wchan").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_a_writer_waits_while_its_step_is_held_and_not_a_byte_is_lost(room: KeeperRoom) -> None:
    pid = await held_writer(room)
    await until(lambda: is_blocked(pid))
    assert room.log() == b"begun\n"
    assert STEP not in room.ends

    room.client.hold(STEP, 0.0)

    ended = await room.end_of(1)
    assert (ended.exit_code, ended.log_length, ended.lost) == (0, LARGE + 6, ())


async def test_a_hold_that_nobody_renews_ends_by_itself(room: KeeperRoom) -> None:
    began = room.clock.monotonic()
    await held_writer(room, seconds=0.5)

    ended = await room.end_of(1)

    assert ended.log_length == LARGE + 6
    assert room.clock.monotonic() - began >= 0.5


async def test_a_hold_that_is_renewed_goes_on(room: KeeperRoom) -> None:
    pid = await held_writer(room, seconds=0.3)
    room.client.hold(STEP, 600.0)
    await until(lambda: is_blocked(pid))
    before = room.clock.monotonic()
    await until(lambda: room.clock.monotonic() > before + 0.5)

    assert room.log() == b"begun\n"


async def test_an_agent_that_is_gone_holds_nobody_back(room: KeeperRoom) -> None:
    pid = await held_writer(room)
    await until(lambda: is_blocked(pid))

    await room.client.close()

    await until(lambda: read_exit(str(room.attempt), 1) is not None)
    assert log_length(str(room.attempt)) == LARGE + 6
    await room.client.connect()


async def test_a_newer_agent_ends_the_holds_of_the_one_before(room: KeeperRoom) -> None:
    pid = await held_writer(room)
    await until(lambda: is_blocked(pid))
    second = KeeperRoom(room.folder)

    await second.client.connect()

    await until(lambda: read_exit(str(room.attempt), 1) is not None)
    await second.close()


async def test_what_is_in_the_pipe_of_a_held_step_that_ends_is_read(room: KeeperRoom) -> None:
    await held_writer(room, script="printf 'last words'; exit 5")

    ended = await room.end_of(1)

    assert ended.exit_code == 5
    assert room.log() == b"begun\nlast words"


async def test_a_held_step_that_closes_its_output_and_goes_on_costs_nothing_and_ends(room: KeeperRoom) -> None:
    pid = await held_writer(room, script="printf end; exec >&- 2>&-; touch closed; sleep 600")
    await until((room.folder / "closed").exists)
    began, before = room.clock.monotonic(), processor_seconds(room.client.pid)
    await until(lambda: room.clock.monotonic() > began + 0.5)

    assert processor_seconds(room.client.pid) - before < 0.1
    assert is_alive(pid)
    await room.client.stop(STEP, "aborted", 0.0)
    assert (await room.end_of(1)).reason == "aborted"
    assert room.log() == b"begun\nend"


async def test_a_held_step_can_be_stopped(room: KeeperRoom) -> None:
    pid = await held_writer(room)
    await until(lambda: is_blocked(pid))

    await room.client.stop(STEP, "aborted", 5.0)

    ended = await room.end_of(1)
    assert (ended.reason, ended.exit_code) == ("aborted", -signal.SIGTERM)
    assert 6 < ended.log_length < PIPE_BYTES_MAX


async def test_the_deadline_of_a_held_step_is_kept(room: KeeperRoom) -> None:
    pid = await held_writer(room, deadline=room.clock.monotonic() + 1.0)
    await until(lambda: is_blocked(pid))

    ended = await room.end_of(1)

    assert ended.reason == "timed out"
    assert not is_alive(pid)


async def test_a_descendant_that_a_held_step_leaves_behind_is_read_and_ended(room: KeeperRoom) -> None:
    await held_writer(room, script="sh -c 'printf more; echo $$ > pid; exec sleep 600' & until [ -s pid ]; do :; done")

    ended = await room.end_of(1)

    assert (ended.exit_code, room.log()) == (0, b"begun\nmore")
    assert not is_alive(int((room.folder / "pid").read_text()))


async def test_holds_of_steps_that_are_over_or_unknown_are_passed_over(room: KeeperRoom) -> None:
    await room.shell(1, "true")

    room.client.hold(STEP, 600.0)
    room.client.hold("9-9-9", 600.0)
    room.client.hold("9-9-9", 0.0)

    assert [report.state for report in await room.client.steps()] == ["ended"]
    assert is_alive(room.client.pid)
