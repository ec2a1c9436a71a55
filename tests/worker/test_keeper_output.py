"""Output reaches the log byte by byte as it is, whatever a step does, and a step ends soon after its main process."""

import errno
import os
import random
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestra_worker.keeper_log import INDEX_ENTRY, DiskReserve, LogWriter
from tests.support.clocks import FakeClock
from tests.support.keepers import KeeperRoom, until


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[KeeperRoom]:
    """A worker folder with its keeper."""
    room = KeeperRoom(tmp_path)
    await room.client.connect()
    yield room
    await room.close()


async def test_a_line_of_100_mb_without_newline_arrives_whole(room: KeeperRoom) -> None:
    report = await room.shell(1, "head -c 100000000 /dev/zero | tr '\\0' x", seconds=60)

    assert report.exit_code == 0
    assert report.log_length == 100_000_000
    assert room.log() == b"x" * 100_000_000
    assert report.lost == ()


async def test_bytes_that_are_no_text_arrive_as_they_are(room: KeeperRoom) -> None:
    content = random.Random(1).randbytes(3_000_000) + b"\0\xff\xfe\r\x1b[31m no newline at the end"
    (room.folder / "content").write_bytes(content)

    await room.shell(1, "cat content")

    assert room.log() == content


async def test_output_right_before_the_exit_is_not_lost(room: KeeperRoom) -> None:
    for number in range(1, 15):
        await room.shell(number, f"head -c 200000 /dev/zero; echo {number}; kill -9 $$")

    assert len(room.log()) == sum(200_001 + len(str(number)) for number in range(1, 15))


async def test_a_step_may_open_its_standard_streams_again(room: KeeperRoom) -> None:
    await room.shell(1, "echo one; echo two > /dev/stderr; echo three | tee /dev/stdout; echo four >> /dev/stdout")

    assert room.log() == b"one\ntwo\nthree\nthree\nfour\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
async def test_a_step_that_became_another_user_may_open_its_standard_streams(room: KeeperRoom) -> None:
    program = "import os; os.setuid(65534); open('/dev/stderr', 'w').write('as nobody')"
    report = await room.run(1, sys.executable, "-I", "-c", program)

    assert report.exit_code == 0, room.log()
    assert room.log() == b"as nobody"


async def test_a_step_that_closes_its_output_early_ends_when_it_ends(room: KeeperRoom) -> None:
    report = await room.shell(1, "echo begun; exec >&- 2>&-; sleep 0.3; exit 6")

    assert (report.exit_code, room.log()) == (6, b"begun\n")


async def test_a_grandchild_that_keeps_the_output_open_delays_the_end_by_two_seconds_at_most(room: KeeperRoom) -> None:
    began = room.clock.monotonic()

    report = await room.shell(1, "echo begun; (trap '' TERM; while :; do echo on; sleep 0.2; done) & exit 0")

    assert report.exit_code == 0
    assert room.clock.monotonic() - began < 2.5
    assert room.log().startswith(b"begun\n")
    assert room.log().count(b"on\n") >= 2


async def test_an_idle_grandchild_writes_its_last_words_within_the_drain(room: KeeperRoom) -> None:
    await room.shell(1, "(sleep 0.3; echo late) & exit 0")

    assert room.log() == b"late\n"


async def test_growth_is_hinted_while_the_step_runs_and_short_steps_cause_no_hint(room: KeeperRoom) -> None:
    await room.client.spawn(room.order(1, "/bin/sh", "-c", "echo one; sleep 60"))
    await until(lambda: ("7-1-1", 4) in room.hints, 5.0)
    await room.client.stop("7-1-1", "aborted", 0.0)
    await room.end_of(1)
    room.hints.clear()

    await room.shell(2, "echo two")

    assert room.hints == []


async def test_the_index_says_when_output_came(room: KeeperRoom) -> None:
    before = room.clock.now()
    await room.shell(1, "echo one; sleep 0.3; echo two; echo three")

    entries = list(INDEX_ENTRY.iter_unpack((room.attempt / "log.index").read_bytes()))
    # The step's own start dates what comes at once.
    assert [offset for offset, _ in entries] == [4]
    assert before + 250_000 <= entries[0][1] <= room.clock.now()


def test_an_entry_that_a_crash_has_torn_does_not_shift_the_others(tmp_path: Path) -> None:
    (tmp_path / "log.index").write_bytes(struct.pack("<QQ", 0, 1) + b"torn")
    clock = FakeClock()
    writer = LogWriter(folder=str(tmp_path), reserve=DiskReserve(folder=str(tmp_path), clock=clock), clock=clock)

    clock.advance(seconds=1)
    writer.write(memoryview(b"abc"))
    writer.close()

    assert list(INDEX_ENTRY.iter_unpack((tmp_path / "log.index").read_bytes())) == [(0, 1), (0, clock.now())]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.getuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=False, capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_blocks_no_step_and_every_lost_byte_is_counted(small_disk: Path) -> None:
    room = KeeperRoom(small_disk)
    await room.client.connect()

    first = await room.shell(1, "head -c 60000000 /dev/zero")
    second = await room.shell(2, "echo more")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.log_length + sum(count for _, count in first.lost) == 60_000_000
    assert first.lost[0][0] == first.log_length
    assert second.lost == ((first.log_length, 5),)
    assert room.client.read_step(room.attempt, 1) == first
    assert room.client.read_step(room.attempt, 2) == second
    await room.close()


async def test_logs_are_written_again_once_there_is_room_again(small_disk: Path) -> None:
    room = KeeperRoom(small_disk)
    await room.client.connect()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError) as caught:
        ballast.write_bytes(bytes(40 << 20))
    assert caught.value.errno == errno.ENOSPC

    lost = await room.shell(1, "echo lost")
    ballast.unlink()
    kept = await room.shell(2, "sleep 1.2; echo kept")

    assert (lost.log_length, lost.lost) == (0, ((0, 5),))
    assert (kept.log_length, kept.lost) == (5, ())
    assert room.log() == b"kept\n"
    await room.close()
