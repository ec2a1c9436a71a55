"""The keeper's socket: slow, rude and absent agents."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestra.clock import SystemClock
from orchestra_worker.keeper_client import KeeperClient
from orchestra_worker.keeper_files import Claim, boot_id, read_claim, read_exit, read_report, write_claim
from orchestra_worker.keeper_link import AgentLink
from orchestra_worker.keeper_protocol import (
    KEEPER_VERSION,
    LOCK_NAME,
    SOCKET_NAME,
    StepReport,
    decode_object,
    encode_line,
    report_document,
    report_from_document,
)
from orchestra_worker.process_tree import started_ticks
from tests.support.keepers import KeeperRoom, is_alive, until

IDLE_KEEPER = """
import sys
from orchestra.clock import SystemClock
from orchestra_worker.keeper import Keeper, listen
from orchestra_worker.keeper_house import StepHouse
from orchestra_worker.keeper_log import DiskReserve
clock = SystemClock()
reserve = DiskReserve(folder=sys.argv[1], clock=clock, reserve_bytes=4096)
house = StepHouse(name="idle", reserve=reserve, cgroups=None, clock=clock)
Keeper(listener=listen(sys.argv[1]), house=house, clock=clock, idle_seconds=0.3).run()
"""
REPORT = StepReport(
    step="7-1-1",
    number=1,
    state="ended",
    pid=5,
    log_start=0,
    log_length=9,
    exit_code=-9,
    reason="aborted",
    started_at=None,
    ended_at=None,
    lost=((9, 4),),
)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[KeeperRoom]:
    """A worker folder with its keeper."""
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    yield room
    await room.close()


def readable(connection: socket.socket) -> bytes:
    """What can be read now."""
    connection.setblocking(False)
    received = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            received += connection.recv(1 << 20)
    return received


def test_news_that_does_not_fit_is_left_out_and_said_to_be_missing() -> None:
    ours, agents = socket.socketpair()
    link = AgentLink(ours)
    for number in range(20_000):
        link.push({"event": "output", "step": "7-1-1", "length": number})
    link.answer({"id": 1, "reports": []})

    received = b""
    while not received.endswith(b'{"event":"missed"}\n'):
        received += readable(agents)
        link.flush()

    messages = [decode_object(line) for line in received.splitlines()]
    assert len(messages) < 20_000
    assert {"id": 1, "reports": []} in messages
    assert not link.wants_to_send
    agents.close()
    link.close()


async def test_a_line_that_is_no_request_costs_the_link_and_no_step(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "sleep 0.5; exit 3"))
    reader, writer = await asyncio.open_unix_connection(room.folder / SOCKET_NAME)
    await reader.readline()
    writer.write(b"GET / HTTP/1.1\r\n\r\n")

    assert await reader.read() == b""
    writer.close()
    await asyncio.wait_for(room.was_lost.wait(), 5.0)
    room.was_lost.clear()
    await room.client.connect()
    await room.client.steps()
    assert (await room.end_of(1)).exit_code == 3


async def test_a_request_that_the_keeper_does_not_know_is_refused_and_the_link_stays(room: KeeperRoom) -> None:
    await room.client.close()
    reader, writer = await asyncio.open_unix_connection(room.folder / SOCKET_NAME)
    await reader.readline()
    writer.write(b'{"id":1,"do":"dance","step":"1"}\n{"id":2,"do":"spawn"}\n{"id":3,"do":"steps"}\n')

    answers = [decode_object(await reader.readline()) for _ in range(3)]

    assert answers == [
        {"id": 1, "error": "the keeper cannot 'dance'"},
        {"id": 2, "error": "argv is no list of strings"},
        {"id": 3, "reports": []},
    ]
    writer.close()
    await room.client.connect()


async def test_a_keeper_without_agent_and_steps_ends_by_itself(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", IDLE_KEEPER, str(tmp_path))
    await until((tmp_path / SOCKET_NAME).exists)
    reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    await reader.readline()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 1.0)
    writer.close()

    assert await asyncio.wait_for(process.wait(), 5.0) == 0


async def test_a_keeper_whose_agent_takes_its_leave_ends_with_it(room: KeeperRoom) -> None:
    keeper = room.client.pid

    await room.client.leave()

    await until(lambda: not is_alive(keeper), seconds=1.0)
    await asyncio.wait_for(room.was_lost.wait(), 5.0)
    room.was_lost.clear()
    await room.client.connect()


async def test_an_agent_that_ends_while_its_keeper_comes_up_leaves_none_behind(tmp_path: Path) -> None:
    room = KeeperRoom(tmp_path)
    connecting = asyncio.create_task(room.client.connect(), name="connecting")
    await until((tmp_path / LOCK_NAME).exists)
    connecting.cancel()

    await room.client.leave()
    await room.client.close()

    keeper = int((tmp_path / LOCK_NAME).read_text())
    await until(lambda: not is_alive(keeper), seconds=1.0)


async def test_a_keeper_whose_agent_has_left_waits_for_its_steps_and_for_the_next_agent(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "until [ -e go ]; do sleep 0.02; done; echo done"))
    keeper = room.client.pid
    await room.client.leave()
    await room.client.close()
    assert is_alive(keeper)

    await room.client.connect()
    (room.folder / "go").touch()

    assert (await room.end_of(1)).exit_code == 0
    assert room.client.pid == keeper
    await room.client.steps()
    await room.client.leave()
    await until(lambda: not is_alive(keeper), seconds=1.0)
    await asyncio.wait_for(room.was_lost.wait(), 5.0)
    room.was_lost.clear()
    await room.client.connect()


async def test_a_keeper_that_is_asked_to_end_waits_for_its_steps(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "sleep 0.5; echo done"))
    keeper = room.client.pid
    os.kill(keeper, 15)

    await until(lambda: not is_alive(keeper))

    ended = read_exit(str(room.attempt), 1)
    assert ended is not None
    assert (ended.exit_code, room.log()) == (0, b"done\n")
    assert not (room.folder / SOCKET_NAME).exists()
    await asyncio.wait_for(room.was_lost.wait(), 5.0)
    room.was_lost.clear()
    await room.client.connect()
    assert await room.client.steps() == ()
    assert await room.client.spawn(room.order(1, "/bin/true")) == ended


def test_a_report_comes_through_json_unchanged() -> None:
    assert report_from_document(report_document(REPORT)) == REPORT
    for field in ("step", "state", "log_length", "lost"):
        with pytest.raises(ValueError):
            report_from_document({**report_document(REPORT), field: None})


def test_a_claim_says_whether_its_keeper_lives_died_or_was_of_another_boot(tmp_path: Path) -> None:
    folder = str(tmp_path)
    own = Claim(
        step="7-1-1",
        number=1,
        marker="7-1-1@here",
        keeper=os.getpid(),
        keeper_ticks=started_ticks(os.getpid()) or 0,
        boot=boot_id(),
        log_start=0,
        cgroup="",
    )
    claims = (own, own._replace(number=2, keeper_ticks=1), own._replace(number=3, boot="another"))
    for claim in claims:
        write_claim(folder, claim).close()
    (tmp_path / "4.claim").write_bytes(b'{"step":"7-1')

    reports = [read_report(folder, number) for number in range(1, 6)]

    assert [report and (report.state, report.reason) for report in reports] == [
        ("running", ""),
        ("unknown", "keeper lost"),
        ("unknown", "machine restarted"),
        ("unknown", "keeper lost"),
        None,
    ]
    assert read_claim(folder, 1) == own
    with pytest.raises(FileExistsError):
        write_claim(folder, own)


def test_the_end_of_a_step_counts_only_once_its_line_is_whole(tmp_path: Path) -> None:
    folder = str(tmp_path)
    dead = Claim(
        step="7-1-1", number=1, marker="", keeper=os.getpid(), keeper_ticks=1, boot=boot_id(), log_start=0, cgroup=""
    )
    claim = write_claim(folder, dead)
    claim.add_process(4711, SystemClock().now())
    claim.add_end(REPORT)
    claim.close()
    path = tmp_path / "1.claim"
    whole = path.read_bytes()

    seen = []
    for length in (len(whole), len(whole) - 2, len(whole) - 60):
        path.write_bytes(whole[:length])
        seen.append(read_report(folder, 1))

    assert seen[0] == REPORT
    assert [report and (report.state, report.pid) for report in seen[1:]] == [("unknown", 4711)] * 2


async def test_after_missed_news_the_agent_hears_of_every_log_and_every_end(tmp_path: Path) -> None:
    reports = [report_document(REPORT), report_document(REPORT._replace(step="8-1-0", state="running", log_length=70))]
    ends: list[str] = []
    lengths: dict[str, int] = {}

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_line({"event": "hello", "version": KEEPER_VERSION, "pid": os.getpid()}))
        writer.write(encode_line({"event": "missed"}))
        request = decode_object(await reader.readline())
        writer.write(encode_line({"id": request["id"], "reports": reports}))
        await reader.read()
        writer.close()

    client = KeeperClient(
        folder=tmp_path,
        clock=SystemClock(),
        on_report=lambda report: ends.append(report.step),
        on_output=lambda step, length: lengths.update({step: length}),
        on_lost=lambda: None,
    )
    async with await asyncio.start_unix_server(keep, tmp_path / SOCKET_NAME):
        await client.connect()
        await until(lambda: bool(ends and lengths))
        await client.close()

    assert (ends, lengths) == (["7-1-1"], {"8-1-0": 70})
