"""The keeper starts each step once, tells exactly how it ended, and outlives the agent."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from orchestra_worker.keeper_client import KeeperClient, StepPlace
from orchestra_worker.keeper_errors import KeeperRefused
from orchestra_worker.keeper_files import read_exit
from orchestra_worker.keeper_protocol import EXIT_FOLDER_IN_USE, LOCK_NAME
from tests.support.keepers import KeeperRoom, is_alive, until

AGENT = """
import asyncio, pathlib, sys
sys.path.insert(0, {repository!r})
from tests.support.keepers import KeeperRoom
async def main():
    room = KeeperRoom(pathlib.Path({folder!r}))
    await room.client.connect()
    await room.client.spawn(room.order(1, "/bin/sh", "-c", {script!r}))
    print("spawned", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def start(program: str) -> subprocess.Popen[bytes]:
    """A process of its own session that runs Python text."""
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[KeeperRoom]:
    """A worker folder with its keeper."""
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    yield room
    await room.close()


async def test_a_step_runs_and_its_output_and_exit_code_are_told(room: KeeperRoom) -> None:
    spawned = await room.client.spawn(room.order(1, "/bin/sh", "-c", "echo out; echo err >&2; exit 3"))
    ended = await room.end_of(1)

    assert spawned.state == "running"
    assert spawned.pid == ended.pid
    assert (ended.state, ended.exit_code, ended.reason) == ("ended", 3, "")
    assert (ended.log_start, ended.log_length) == (0, 8)
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert ended.started_at <= ended.ended_at
    assert room.log() == b"out\nerr\n"
    assert room.client.read_step(room.attempt, 1) == ended


async def test_a_signal_is_told_from_an_exit_code(room: KeeperRoom) -> None:
    assert (await room.shell(1, "kill -9 $$")).exit_code == -9
    assert (await room.shell(2, "kill -11 $$")).exit_code == -11
    assert (await room.shell(3, "exit 137")).exit_code == 137


async def test_a_command_that_cannot_be_started_is_told_from_exit_127(room: KeeperRoom) -> None:
    plain = room.folder / "plain"
    plain.write_text("no program")
    headless = room.folder / "headless"
    headless.write_text("#!/no/such/interpreter\n")
    headless.chmod(0o755)

    unknown = await room.shell(1, "no-such-command-anywhere")
    missing = await room.run(2, "/no/such/command")
    refused = await room.run(3, str(plain))
    orphaned = await room.run(4, str(headless))
    await room.client.spawn(room.order(5, "/bin/true", directory=room.folder / "gone"))
    astray = await room.end_of(5)

    assert (unknown.exit_code, unknown.reason) == (127, "")
    assert (missing.exit_code, missing.reason) == (None, "command not found: /no/such/command")
    assert (refused.exit_code, refused.reason) == (None, f"not executable: {plain} (Permission denied)")
    assert (orphaned.exit_code, orphaned.reason) == (None, f"not executable: {headless} (its interpreter is missing)")
    assert astray.reason.startswith("directory not found: ")
    assert [report.pid for report in (missing, refused, orphaned, astray)] == [None] * 4


async def test_a_step_gets_its_environment_alone_with_plain_signals_and_descriptors(room: KeeperRoom) -> None:
    order = room.order(
        1, "/bin/sh", "-c", "env; ls /proc/self/fd; grep Sig[IB] /proc/self/status", environment={"A": "ü"}
    )
    await room.client.spawn(order)
    await room.end_of(1)

    lines = room.log().decode().splitlines()
    names = {line.partition("=")[0] for line in lines if "=" in line}
    assert names - {"PWD", "_", "SHLVL", "OLDPWD"} == {"A", "PATH", "ORCHESTRA_STEP"}
    assert {"A=ü", f"PWD={room.folder}"} <= set(lines)
    assert any(line.startswith("ORCHESTRA_STEP=7-1-1@") for line in lines)
    # `ls` itself opens the folder it lists.
    assert [line for line in lines if line.isdigit()] == ["0", "1", "2", "3"]
    # The two lowest real-time signals are the C library's own; what it ignores there is not to be reset.
    assert [int(line.split()[1], 16) & 0x7FFF_FFFF for line in lines if line.startswith("Sig")] == [0, 0]


async def test_steps_of_one_attempt_share_its_log(room: KeeperRoom) -> None:
    await room.shell(1, "printf one")
    second = await room.shell(2, "printf two")

    assert (second.log_start, second.log_length) == (3, 6)
    assert room.log() == b"onetwo"


async def test_files_are_the_owners_alone(room: KeeperRoom) -> None:
    await room.shell(1, "sleep 0.15; echo secret")

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in room.attempt.iterdir()}
    assert modes == {"log": 0o600, "log.index": 0o600, "1.claim": 0o600}


async def test_a_claimed_step_is_never_started_again(room: KeeperRoom) -> None:
    order = room.order(1, "/bin/sh", "-c", f"echo once >> {room.folder}/witness; sleep 0.2")
    first = await room.client.spawn(order)
    again = await room.client.spawn(order)
    ended = await room.end_of(1)
    await room.client.forget("7-1-1")
    after = await room.client.spawn(order)

    assert (again.state, again.pid) == ("running", first.pid)
    assert after == ended
    assert (room.folder / "witness").read_text() == "once\n"


async def test_a_claim_of_a_keeper_that_died_before_the_spawn_forbids_the_start(room: KeeperRoom) -> None:
    (room.attempt / "1.claim").write_bytes(b"")

    report = await room.client.spawn(room.order(1, "/bin/sh", "-c", f"touch {room.folder}/witness"))

    assert (report.state, report.reason) == ("unknown", "keeper lost")
    assert not (room.folder / "witness").exists()


async def test_a_forgotten_step_whose_end_is_gone_is_not_taken_for_running(room: KeeperRoom) -> None:
    order = room.order(1, "/bin/true")
    await room.client.spawn(order)
    await room.end_of(1)
    await room.client.forget("7-1-1")
    claim = room.attempt / "1.claim"
    claim.write_bytes(b"".join(claim.read_bytes().splitlines(keepends=True)[:2]))

    assert (await room.client.spawn(order)).state == "unknown"


async def test_an_order_that_cannot_be_claimed_starts_nothing_and_may_be_given_again(room: KeeperRoom) -> None:
    order = room.order(1, "/bin/true")
    room.attempt.rename(room.attempt.with_name("away"))

    with pytest.raises(KeeperRefused):
        await room.client.spawn(order)
    room.attempt.with_name("away").rename(room.attempt)

    await room.client.spawn(order)
    assert (await room.end_of(1)).exit_code == 0


async def test_the_agent_killed_by_9_or_interrupted_disturbs_no_step(tmp_path: Path) -> None:
    repository = str(Path(__file__).parents[2])
    script = "echo begun; sleep 1; echo done; exit 4"
    agent = start(AGENT.format(repository=repository, folder=str(tmp_path), script=script))
    assert agent.stdout is not None
    assert await asyncio.to_thread(agent.stdout.readline) == b"spawned\n"
    os.killpg(agent.pid, signal.SIGINT)
    os.killpg(agent.pid, signal.SIGKILL)
    agent.communicate()
    room = KeeperRoom(tmp_path)

    await room.client.connect()
    (found,) = await room.client.steps()
    ended = await room.end_of(1)

    assert found.state == "running"
    assert (ended.exit_code, ended.reason) == (4, "")
    assert room.log() == b"begun\ndone\n"
    await room.close()


async def test_a_step_that_ended_without_an_agent_is_told_to_the_next_one(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "sleep 0.2; exit 5"))
    await room.client.close()
    await until(lambda: read_exit(str(room.attempt), 1) is not None)
    await room.client.connect()

    reports = await room.client.steps()

    assert [(report.step, report.exit_code) for report in reports] == [("7-1-1", 5)]
    assert room.ends["7-1-1"] == reports[0]


async def test_a_deadline_is_held_without_an_agent(room: KeeperRoom) -> None:
    deadline = room.clock.monotonic() + 0.3
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "echo begun; sleep 60", deadline=deadline))
    await room.client.close()

    await until(lambda: read_exit(str(room.attempt), 1) is not None, 5.0)
    await room.client.connect()

    (report,) = await room.client.steps()
    assert (report.reason, report.exit_code) == ("timed out", -15)
    assert room.log() == b"begun\n"


async def test_a_deadline_can_be_moved_and_removed(room: KeeperRoom) -> None:
    soon = room.clock.monotonic() + 0.3
    await room.client.spawn(room.order(1, "/bin/sleep", "0.6", deadline=soon))
    await room.client.spawn(room.order(2, "/bin/sleep", "60"))
    await room.client.set_deadline("7-1-1", None, "")
    await room.client.set_deadline("7-1-2", soon, "disconnected")

    assert (await room.end_of(1)).reason == ""
    assert (await room.end_of(2)).reason == "disconnected"


async def test_a_keeper_that_is_killed_is_noticed_and_its_trees_are_ended(room: KeeperRoom) -> None:
    await room.client.spawn(
        room.order(
            1, "/bin/sh", "-c", f"echo begun; echo $$ > {room.folder}/pid; trap '' TERM PIPE; while :; do sleep 1; done"
        )
    )
    pid = await room.pid_in("pid")
    await until(lambda: room.log() == b"begun\n")  # what is still in the pipe dies with the keeper
    os.kill(room.client.pid, signal.SIGKILL)
    await asyncio.wait_for(room.was_lost.wait(), 5.0)
    room.was_lost.clear()

    (report,) = await room.client.lost_steps([StepPlace(step="7-1-1", folder=room.attempt, number=1)])
    await room.client.connect()

    assert (report.state, report.reason, report.exit_code, report.log_length) == ("unknown", "keeper lost", None, 6)
    assert not is_alive(pid)
    assert room.log() == b"begun\n"
    assert (await room.shell(2, "echo next")).exit_code == 0
    assert room.log() == b"begun\nnext\n"


async def test_one_folder_has_one_keeper(room: KeeperRoom) -> None:
    command = (sys.executable, "-I", "-m", "orchestra_worker.keeper", str(room.folder))
    second = await asyncio.create_subprocess_exec(*command)

    assert await second.wait() == EXIT_FOLDER_IN_USE
    assert (room.folder / LOCK_NAME).read_text() == f"{room.client.pid}\n"


async def test_a_worker_folder_may_have_a_path_longer_than_a_sockets_address(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / ("longer" * 20)
    folder.mkdir(parents=True)
    room = KeeperRoom(folder)

    await room.client.connect()

    assert (await room.shell(1, "true")).exit_code == 0
    await room.close()


async def test_the_newest_agent_of_a_folder_has_the_keeper(room: KeeperRoom) -> None:
    second = KeeperRoom(room.folder)
    await second.client.connect()

    await asyncio.wait_for(room.was_lost.wait(), 5.0)

    assert second.client.pid == room.client.pid
    assert (await second.shell(1, "true")).exit_code == 0
    await second.close()


async def test_an_agent_that_does_not_listen_blocks_no_step(room: KeeperRoom) -> None:
    heard: list[str] = []
    deaf = KeeperClient(
        folder=room.folder,
        clock=room.clock,
        on_report=lambda report: heard.append(report.step),
        on_output=lambda _step, _length: None,
        on_lost=lambda: None,
    )
    await deaf.connect()
    # Nobody reads the socket while the loop stands still here: the steps end all the same.
    folders = [room.folder / f"attempt-{number}" for number in range(1, 6)]
    for number, folder in enumerate(folders, start=1):
        folder.mkdir()
        order = room.order(number, "/bin/sh", "-c", "sleep 0.1; head -c 3000000 /dev/zero")
        await deaf.spawn(replace(order, folder=folder))
    deadline = room.clock.monotonic() + 10.0
    while (left := _without_end(folders)) and room.clock.monotonic() < deadline:
        os.sched_yield()

    assert not left
    await until(lambda: len(heard) == 5)
    assert [(folder / "log").stat().st_size for folder in folders] == [3_000_000] * 5
    await deaf.close()
    room.was_lost.clear()
    await room.client.connect()


def _without_end(folders: Sequence[Path]) -> list[int]:
    return [number for number, folder in enumerate(folders, start=1) if read_exit(str(folder), number) is None]
