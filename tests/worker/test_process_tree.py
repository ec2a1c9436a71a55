"""Nothing of a step survives its end, however it forked: with control groups and without."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra_worker.cgroup import own_folder
from orchestra_worker.keeper_client import StepPlace
from orchestra_worker.keeper_files import read_claim
from orchestra_worker.process_tree import living_processes, started_ticks
from tests.support.cgroups import needs_cgroup
from tests.support.keepers import KeeperRoom, is_alive, until

GRACE_SECONDS = 0.4

# Each child writes its pid; all but the first ignore SIGTERM.
FAMILY = """
import os, signal, sys, time
def child(name, *, sessions, ignore):
    if os.fork():
        return
    for _ in range(sessions):
        os.setsid()
        if os.fork():
            os._exit(0)
    if ignore:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(name + ".new", "w") as file:
        file.write(f"{os.getpid()}\\n")
    os.rename(name + ".new", name)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    while True:
        time.sleep(60)
child("polite", sessions=0, ignore=False)
child("stubborn", sessions=0, ignore=True)
child("daemon", sessions=1, ignore=True)
child("twice", sessions=2, ignore=True)
while not all(map(os.path.exists, ("polite", "stubborn", "daemon", "twice"))):
    time.sleep(0.01)
open("ready", "w").close()
if sys.argv[1] == "stay":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)
"""
MEMBERS = ("polite", "stubborn", "daemon", "twice")

BOMB = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("ready", "w").close()
for depth in range(8):
    os.fork()
    if depth % 3 == 0:
        os.setsid() if os.getpid() != os.getsid(0) and os.getpgrp() != os.getpid() else None
while True:
    time.sleep(60)
"""


@pytest.fixture(params=[pytest.param(True, marks=needs_cgroup, id="cgroup"), pytest.param(False, id="no-cgroup")])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeeperRoom]:
    """A worker folder with its keeper, once with control groups and once without."""
    room = KeeperRoom(tmp_path, use_cgroups=request.param)
    await room.client.connect()
    yield room
    await room.close()


def marked(room: KeeperRoom) -> set[int]:
    """Everything alive that carries the marker of the room's first step."""
    claim = read_claim(str(room.attempt), 1)
    assert claim is not None
    found = set()
    for pid in living_processes():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"ORCHESTRA_STEP={claim.marker}".encode() in environment.split(b"\0") and is_alive(pid):
            found.add(pid)
    return found


async def test_a_stop_ends_the_whole_family_within_the_grace(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, sys.executable, "-I", "-c", FAMILY, "stay"))
    pids = [await room.pid_in(name) for name in MEMBERS]
    await until((room.folder / "ready").exists)
    began = room.clock.monotonic()

    await room.client.stop("7-1-1", "aborted", GRACE_SECONDS)
    report = await room.end_of(1)

    assert (report.reason, report.exit_code) == ("aborted", -signal.SIGKILL)
    assert GRACE_SECONDS <= room.clock.monotonic() - began < GRACE_SECONDS + 2.0
    assert [pid for pid in pids if is_alive(pid)] == []


async def test_what_a_step_leaves_behind_is_ended_with_it(room: KeeperRoom) -> None:
    began = room.clock.monotonic()
    await room.client.spawn(room.order(1, sys.executable, "-I", "-c", FAMILY, "leave"))
    report = await room.end_of(1)

    pids = [await room.pid_in(name) for name in MEMBERS]
    assert (report.reason, report.exit_code) == ("", 0)
    assert [pid for pid in pids if is_alive(pid)] == []
    assert room.clock.monotonic() - began < 4.0


async def test_a_polite_step_gets_its_grace(room: KeeperRoom) -> None:
    await room.client.spawn(
        room.order(1, "/bin/sh", "-c", "trap 'sleep 0.3; echo bye; exit 9' TERM; echo on; while :; do sleep 0.05; done")
    )
    await until(lambda: (room.attempt / "log").exists() and room.log() == b"on\n")

    await room.client.stop("7-1-1", "aborted", 10.0)
    report = await room.end_of(1)

    assert (report.reason, report.exit_code) == ("aborted", 9)
    assert room.log().endswith(b"bye\n")


async def test_a_script_whose_commands_are_ended_does_not_go_on_with_the_next(room: KeeperRoom) -> None:
    # Told one by one, a command among so many would be over, and the next begun, before the shell is told.
    await room.client.spawn(
        room.order(
            1, "/bin/sh", "-c", "for i in $(seq 300); do sleep 600 & done; (echo on; exec sleep 600); echo went on"
        )
    )
    await until(lambda: (room.attempt / "log").exists() and room.log() == b"on\n")

    await room.client.stop("7-1-1", "aborted", 10.0)
    report = await room.end_of(1)

    assert (report.reason, report.exit_code) == ("aborted", -signal.SIGTERM)
    assert room.log() == b"on\n"


async def test_a_second_stop_can_only_hurry(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.05; done"))
    await until(lambda: (room.attempt / "log").exists() and room.log() == b"on\n")

    await room.client.stop("7-1-1", "aborted", 600.0)
    await room.client.stop("7-1-1", "timed out", 0.0)
    report = await room.end_of(1, 5.0)

    assert (report.reason, report.exit_code) == ("aborted", -9)


async def test_a_fork_bomb_of_hundreds_leaves_no_survivor(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, sys.executable, "-I", "-c", BOMB))
    await until(lambda: len(marked(room)) >= 200)

    await room.client.stop("7-1-1", "aborted", 0.0)
    await room.end_of(1)

    assert marked(room) == set()


@needs_cgroup
async def test_a_child_that_hides_with_an_empty_environment_does_not_escape_its_group(tmp_path: Path) -> None:
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    hidden = "setsid env -i /bin/sh -c 'trap \"\" TERM; echo $$ > hidden; exec sleep 600' >/dev/null 2>&1 &"
    await room.client.spawn(room.order(1, "/bin/sh", "-c", f"{hidden} sleep 600"))
    pid = await room.pid_in("hidden")

    await room.client.stop("7-1-1", "aborted", GRACE_SECONDS)
    await room.end_of(1)

    assert not is_alive(pid)
    await room.close()


@needs_cgroup
async def test_control_groups_are_removed_after_the_step_and_with_the_keeper(tmp_path: Path) -> None:
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    await room.shell(1, "grep ^0:: /proc/self/cgroup")
    own = own_folder()
    assert own is not None
    group = Path(own) / Path(room.log().decode().strip().removeprefix("0::")).relative_to("/")

    assert group.name.startswith(f"{room.client.pid}-")
    # The keeper may still have been on its way out of it.
    await until(lambda: not group.exists())
    assert group.parent.exists()
    await room.close()
    assert not group.parent.exists()


async def test_the_trees_of_a_dead_keeper_are_ended(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, sys.executable, "-I", "-c", FAMILY, "stay"))
    pids = [await room.pid_in(name) for name in MEMBERS]
    await until((room.folder / "ready").exists)
    os.kill(room.client.pid, signal.SIGKILL)
    await asyncio.wait_for(room.was_lost.wait(), 5.0)
    room.was_lost.clear()

    (report,) = await room.client.lost_steps([StepPlace(step="7-1-1", folder=room.attempt, number=1)])

    assert (report.state, report.reason) == ("unknown", "keeper lost")
    assert [pid for pid in pids if is_alive(pid)] == []
    await room.client.connect()


async def test_a_step_of_the_same_name_in_another_folder_is_left_alone(room: KeeperRoom, tmp_path: Path) -> None:
    other = KeeperRoom(tmp_path / "other", use_cgroups=False)
    await other.client.connect()
    await other.client.spawn(other.order(1, "/bin/sh", "-c", "sleep 1; exit 7"))
    await room.client.spawn(room.order(1, "/bin/sleep", "600"))

    await room.client.stop("7-1-1", "aborted", 0.0)

    assert (await room.end_of(1)).reason == "aborted"
    assert (await other.end_of(1)).exit_code == 7
    await other.close()


async def test_the_dead_are_collected(room: KeeperRoom) -> None:
    await room.shell(1, "for i in 1 2 3 4 5; do (setsid sleep 0.05 &) ; done; sleep 0.3")
    await room.shell(2, "true")

    children = Path(f"/proc/{room.client.pid}/task/{room.client.pid}/children").read_text().split()
    assert children == []
    assert started_ticks(room.client.pid) is not None
