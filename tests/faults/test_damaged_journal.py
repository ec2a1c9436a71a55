"""A worker's journal with flipped bits, cut, or without one of its files: the worker comes up, the truth is told."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.support.figures import figure
from tests.support.gated import GatedJob
from tests.support.journey import Orchestra, lines_of, marked_processes, running, wait_until

UP_SECONDS_MAX = figure(5.0)
PAGE_BYTES = 4096


def flip_bits(folder: Path, chance: random.Random) -> str:
    """In the journal or its write-ahead log, a few bits or many."""
    file = chance.choice(_files(folder))
    content = bytearray(file.read_bytes())
    flips = chance.choice((1, 1, 8, 200))
    # Where something stands: most of a young journal is empty.
    written = [place for place, byte in enumerate(content) if byte]
    for _ in range(flips):
        content[chance.choice(written)] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return f"{flips} bits of {file.name}"


def cut(folder: Path, chance: random.Random) -> str:
    """At any byte."""
    file = chance.choice(_files(folder))
    length = chance.randrange(file.stat().st_size)
    with file.open("r+b") as opened:
        opened.truncate(length)
    return f"{file.name} is cut to {length} bytes"


def fill_a_page(folder: Path, chance: random.Random) -> str:
    """With what another file had there."""
    file = chance.choice([path for path in _files(folder) if path.stat().st_size >= PAGE_BYTES])
    page = chance.randrange(file.stat().st_size // PAGE_BYTES)
    with file.open("r+b") as opened:
        opened.seek(page * PAGE_BYTES)
        opened.write(chance.randbytes(PAGE_BYTES))
    return f"page {page} of {file.name} is foreign"


def remove(folder: Path, chance: random.Random) -> str:
    """One of the files."""
    file = chance.choice(sorted(folder.glob("worker.db*")))
    file.unlink()
    return f"{file.name} is gone"


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("worker.db*")) if path.stat().st_size]


def settle(folder: Path) -> None:
    """Moves all into the journal itself: its pages have no checksums, those of the write-ahead log have."""
    connection = sqlite3.connect(folder / "worker.db")
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()


DAMAGES: tuple[Callable[[Path, random.Random], str], ...] = (flip_bits, cut, fill_a_page, remove)


@pytest.mark.parametrize("journals", [8, pytest.param(150, marks=(pytest.mark.long, pytest.mark.timeout(900)))])
def test_a_worker_with_a_damaged_journal_is_up_in_time_and_nothing_runs_twice(
    up: Orchestra, tmp_path: Path, journals: int, chance: random.Random, fired: Fired
) -> None:
    job = GatedJob(tmp_path, steps=2)
    up.apply(job.definition)
    # Each kind of damage comes in turn: to a settled journal, and to one with its write-ahead log.
    for turn in range(journals):
        damage = DAMAGES[turn // 2 % len(DAMAGES)]
        spoil_one(up, tmp_path, job, f"atlas-{turn}", damage, chance, is_settled=bool(turn % 2))
        fired(damage.__name__)


def spoil_one(
    up: Orchestra,
    tmp_path: Path,
    job: GatedJob,
    name: str,
    damage: Callable[[Path, random.Random], str],
    chance: random.Random,
    *,
    is_settled: bool,
) -> None:
    folder = tmp_path / name
    worker = up.worker(tmp_path, name)
    job.close_gates()
    with running(worker):
        number = up.trigger("ops/gated")
        job.await_begin(1)
        wait_until(lambda: up.log(number) == job.beginning_of(1), what="the output so far")
        worker.kill()
        said = len(worker.output)
        if is_settled:
            settle(folder)
        words = f"{name}, settled {is_settled}: {damage(folder, chance)}"
        print(words)
        job.open(1, 2)
        worker.start()
        wait_until(lambda: "link_welcome" in worker.output[said:], seconds=UP_SECONDS_MAX, what=words)

        run = up.finish(number)

        begun = [line for line in lines_of(job.witness) if "begins" in line]
        assert len(begun) == len(set(begun)), f"{words}: {begun}"
        if run.state == "succeeded":
            job.assert_whole(up, number)
        else:
            # Nothing can tell a bit of the remembered boot id that was flipped from a machine that was restarted.
            assert run.state == "exception", f"{words}: {run}"
            assert "worker lost it" in run.reason or run.reason == "machine restarted", f"{words}: {run}"
            assert job.log_of(1, 2).startswith(up.log(number)), words
        wait_until(lambda: not marked_processes(str(folder / "attempts" / f"{number}-")), what=f"{words}: the step")
        job.close_gates()
        job.open(1, 2)
        job.assert_whole(up, up.trigger("ops/gated"))
