"""A worker whose disk is nearly full or really full: it takes no run, ends what it has, counts what is lost."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.witness import Witness
from tests.support.figures import figure
from tests.support.journey import Orchestra, Program, Run, marked_processes, running, wait_until

RECOVER_SECONDS_MAX = figure(10.0)
LINES = 4_000_000
PRINTING = """
orchestra: 1
project: ops
jobs:
  print:
    steps:
      - run: |
          . {script}
          begins
          echo first
          while [ ! -e {gate} ]; do sleep 0.05; done
          seq 1 {lines}
          echo last
          ends
      - run: echo second step
  short:
    run: |
      . {script}
      begins
      echo short
      ends
"""


@functools.cache
def printed() -> bytes:
    """All that `print` prints, if there is room."""
    return b"first\n" + b"".join(b"%d\n" % number for number in range(1, LINES + 1)) + b"last\nsecond step\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A little more than what a worker keeps in reserve."""
    with small_disk(tmp_path / "atlas", mebibytes=330) as mounted:
        yield mounted


@pytest.fixture
def atlas(up: Orchestra, disk: SmallDisk, tmp_path: Path) -> Program:
    """A worker whose folder is the small disk."""
    assert disk.folder == tmp_path / "atlas"
    return up.worker(tmp_path, "atlas")


def test_a_worker_refuses_runs_below_its_reserve_and_takes_them_as_soon_as_there_is_room(
    up: Orchestra, atlas: Program, disk: SmallDisk, witness: Witness, tmp_path: Path, fired: Fired
) -> None:
    up.apply(PRINTING.format(script=witness.script, gate=tmp_path / "gate", lines=LINES))
    disk.resize(200)
    with running(atlas):
        wait_until(lambda: up.connected("atlas"), what="atlas")
        number = up.trigger("ops/short")
        wait_until(lambda: "disk nearly full" in str(up.run(number).waiting), what="the reason why it waits")
        fired("refused")
        assert up.run(number).attempts_counted == 0

        disk.resize(600)
        run = up.finish(number, seconds=RECOVER_SECONDS_MAX)

        assert run.state == "succeeded", run.reason
        assert up.log(number) == b"short\n"
        assert len(witness.executions()) == 1


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_run_on_a_full_disk_ends_truly_and_what_found_no_room_is_counted_to_the_byte(
    up: Orchestra,
    atlas: Program,
    disk: SmallDisk,
    witness: Witness,
    tmp_path: Path,
    fired: Fired,
    *,
    is_connected: bool,
) -> None:
    gate = tmp_path / "gate"
    up.apply(PRINTING.format(script=witness.script, gate=gate, lines=LINES))
    with running(atlas):
        number = up.trigger("ops/print")
        wait_until(lambda: up.log(number) == b"first\n", what="the first line")
        if not is_connected:
            up.stop()
        disk.fill()
        gate.touch()
        wait_until(lambda: not step_processes(disk, number), what="the steps to end")
        if not is_connected:
            up.start()

        run = up.finish(number)

        fired("full", int(lost_bytes(run) > 0))
        assert_counted(up, run)
        assert_recovers(up, disk, witness, number)


def test_an_end_that_found_no_room_at_all_is_told_when_there_is_room_again(
    up: Orchestra, atlas: Program, disk: SmallDisk, witness: Witness, tmp_path: Path, fired: Fired
) -> None:
    gate = tmp_path / "gate"
    up.apply(PRINTING.format(script=witness.script, gate=gate, lines=LINES))
    with running(atlas):
        number = up.trigger("ops/print")
        wait_until(lambda: up.log(number) == b"first\n", what="the first line")
        disk.fill()
        gate.touch()

        def reserve_is_eaten_too() -> bool:
            disk.fill()
            return "journal_not_written" in atlas.output

        wait_until(reserve_is_eaten_too, what="a journal that cannot be written")
        fired("not written")
        disk.free()
        run = up.finish(number, seconds=RECOVER_SECONDS_MAX)

        assert_counted(up, run)
        assert_recovers(up, disk, witness, number)


def test_an_agent_that_starts_on_a_full_disk_delivers_what_it_holds(
    up: Orchestra, atlas: Program, disk: SmallDisk, witness: Witness, tmp_path: Path, fired: Fired
) -> None:
    gate = tmp_path / "gate"
    up.apply(PRINTING.format(script=witness.script, gate=gate, lines=10))
    with running(atlas):
        number = up.trigger("ops/print")
        wait_until(lambda: up.log(number) == b"first\n", what="the first line")
        atlas.kill()
        fired("full", int(disk.fill() > 0))
        gate.touch()
        atlas.start()

        run = up.finish(number)

        assert run.state == "succeeded", run.reason
        assert len(witness.executions()) == 1
        disk.free()
        following = up.trigger("ops/short")
        assert up.finish(following, seconds=RECOVER_SECONDS_MAX).state == "succeeded"


def step_processes(disk: SmallDisk, number: int) -> list[int]:
    return marked_processes(str(disk.folder / "attempts" / f"{number}-1"))


def assert_counted(up: Orchestra, run: Run) -> None:
    assert run.state == "succeeded", run.reason
    assert run.log_length + lost_bytes(run) == len(printed())
    assert_is_part(up.log(run.id), printed(), lost_bytes(run))


def assert_recovers(up: Orchestra, disk: SmallDisk, witness: Witness, number: int) -> None:
    disk.free()
    following = up.trigger("ops/short")
    assert up.finish(following, seconds=RECOVER_SECONDS_MAX).state == "succeeded"
    assert up.log(following) == b"short\n"
    assert [each.run for each in witness.executions()] == [number, following]


def lost_bytes(run: Run) -> int:
    (attempt,) = run.attempts
    lost = attempt["lost_bytes"]
    assert isinstance(lost, int)
    return lost


def assert_is_part(kept: bytes, whole: bytes, lost: int) -> None:
    """The kept bytes are the printed ones without one stretch."""
    same = next((at for at, pair in enumerate(zip(kept, whole, strict=False)) if pair[0] != pair[1]), len(kept))
    assert kept == whole[:same] + whole[same + lost :]
