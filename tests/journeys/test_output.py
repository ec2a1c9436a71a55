"""Output is in the master's log byte for byte, whatever a job writes, however it ends, and whatever breaks."""

import filecmp
import hashlib
import random
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.figures import figure
from tests.support.journey import (
    PYTHON,
    Orchestra,
    Program,
    Run,
    keeper_of,
    marked_processes,
    running,
    wait_until,
)
from tests.support.proxy import Proxy

MEBIBYTE = 1 << 20
ENDED_SECONDS_MAX = figure(2.0)
MEMORY_GROWTH_KIBIBYTES_MAX = 60 << 10
SHELL = "orchestra: 1\nproject: ops\njobs:\n"


def shell_job(name: str, script: str) -> str:
    """One more job whose step is this shell text."""
    lines = "".join(f"      {line}\n" for line in script.splitlines())
    return f"  {name}:\n    run: |\n{lines}"


def digest_of(file: Path) -> str:
    """SHA-256 over the SHA-256s of the 1 MiB segments, made here without the product's code."""
    with file.open("rb") as content:
        segments = b"".join(hashlib.sha256(piece).digest() for piece in iter(lambda: content.read(MEBIBYTE), b""))
    return hashlib.sha256(segments).hexdigest()


def assert_stored(up: Orchestra, run: Run, written: Path, copy: Path) -> None:
    """The whole log is what the job wrote, and the attempt's digest is the one of these bytes."""
    up.copy_log(run.id, copy)
    assert copy.stat().st_size == written.stat().st_size
    assert filecmp.cmp(copy, written, shallow=False), f"#{run.id}'s log differs"
    assert run.attempts[-1]["log_digest"] == digest_of(written)
    assert run.attempts[-1]["lost_bytes"] == 0


def memory_peak(pid: int) -> int:
    """The most that the process has held so far, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.fixture
def atlas(up: Orchestra, tmp_path: Path) -> Iterator[Program]:
    """A worker of the instance that `up` is."""
    worker = up.worker(tmp_path, "atlas", slots=4)
    with running(worker):
        wait_until(lambda: up.connected("atlas"), what="the worker")
        yield worker


def test_a_line_of_100_mb_is_stored_whole_in_bounded_memory(up: Orchestra, atlas: Program, tmp_path: Path) -> None:
    line = tmp_path / "line"
    block = random.Random(7).randbytes(500_009).hex().encode()  # no power of two: a shifted piece cannot look alike
    line.write_bytes((block * 101)[:100_000_000])
    up.apply(SHELL + shell_job("small", "echo small") + shell_job("line", f"cat {line}"))
    assert up.finish(up.trigger("ops/small")).state == "succeeded"
    ours = {"up": up.program.pid, "agent": atlas.pid, "keeper": keeper_of(tmp_path / "atlas")}
    before = {name: memory_peak(pid) for name, pid in ours.items()}

    run = up.finish(up.trigger("ops/line"), seconds=90)

    assert run.state == "succeeded", run.reason
    assert_stored(up, run, line, tmp_path / "copy")
    growth = {name: memory_peak(pid) - before[name] for name, pid in ours.items()}
    assert max(growth.values()) < MEMORY_GROWTH_KIBIBYTES_MAX, growth


def test_bytes_of_every_kind_are_stored_as_they_are(up: Orchestra, atlas: Program, tmp_path: Path) -> None:
    contents = {
        "invalid": b"caf\xe9 \xff\xfe\xc3\x28 \xed\xa0\x80\n" * 1000,
        "zeros": b"\0" * 70_000 + b"in between\0\0",
        "returns": b"10%\r20%\r30%\r" * 5000 + b"\r\n\r\r\n",
        "escapes": b"\x1b[31mred\x1b[0m \x1b]8;;http://nowhere\x07 \x08\x7f\n",
        "spaces": b"  trailing spaces   \n\t\n   \n  no newline at the end   ",
        "random": random.Random(3).randbytes(2_500_000),
        "instant": b"x" * 200_000 + b"last words",
        "nothing": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    jobs = [shell_job(name, f"cat {tmp_path / name}") for name in contents if name != "instant"]
    # `exec`: nothing at all stands between the last byte and the end of the step.
    jobs.append(shell_job("instant", f"cat {tmp_path / 'instant'}; kill -9 $$"))
    up.apply(SHELL + "".join(jobs))

    numbers = {name: up.trigger(f"ops/{name}") for name in contents}

    for name, number in numbers.items():
        run = up.finish(number)
        assert (run.state, run.exit_code) == (("failed", -9) if name == "instant" else ("succeeded", 0)), run.reason
        assert_stored(up, run, tmp_path / name, tmp_path / "copy")


def test_a_job_may_open_its_standard_streams_again(up: Orchestra, atlas: Program) -> None:
    script = (
        "echo one; echo two > /dev/stderr; echo three | tee /dev/stdout\n"
        "echo four >> /dev/stdout; echo five | tee /dev/stderr; printf six > /dev/stdout"
    )
    up.apply(SHELL + shell_job("reopen", script))

    run = up.finish(up.trigger("ops/reopen"))

    assert run.state == "succeeded", run.reason
    lines = up.log(run.id).split(b"\n")
    assert lines == [b"one", b"two", b"three", b"three", b"four", b"five", b"five", b"six"]


def test_a_grandchild_that_keeps_the_output_open_delays_the_end_by_two_seconds_at_most(
    up: Orchestra, atlas: Program, tmp_path: Path, witness: Path
) -> None:
    stubborn = f"(trap '' TERM; while :; do echo on; echo on >> {tmp_path / 'said'}; sleep 0.05; done) &"
    quiet = "sleep 100 &"
    up.apply(
        SHELL
        + shell_job("stubborn", f"{stubborn}\nsleep 0.3\necho last\ndate +%s%N > {witness}")
        + shell_job("quiet", f"{quiet}\necho last\ndate +%s%N > {witness}-quiet")
    )

    for name, clock in (("stubborn", witness), ("quiet", witness.with_name("witness-quiet"))):
        run = up.finish(up.trigger(f"ops/{name}"))

        assert run.state == "succeeded", run.reason
        ended = datetime.fromisoformat(str(run.attempts[0]["ended_at"])).timestamp()
        assert 0 < ended - int(clock.read_text()) / 1e9 < ENDED_SECONDS_MAX, name
        assert b"last\n" in up.log(run.id)
        assert not marked_processes(f"{tmp_path}/atlas/attempts/{run.id}-")
    # What the grandchild managed to say until it was ended is there too; its very last word may be without its witness.
    log = up.log(1)
    assert 0 <= log.count(b"on\n") - (tmp_path / "said").read_text().count("on\n") <= 1


SLOW_WRITER = """
import os, sys, time
with open(sys.argv[1], "rb") as content:
    while piece := content.read(200_000):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        time.sleep(0.03)
        while content.tell() == 40_000_000 and not os.path.exists(sys.argv[3]):
            time.sleep(0.02)  # both faults come while it writes
with open(sys.argv[2], "a") as witness:
    witness.write("written\\n")
"""


def test_50_mb_are_stored_whole_though_the_link_is_cut_and_the_master_killed_in_the_middle(
    up: Orchestra, tmp_path: Path, witness: Path
) -> None:
    content, writer, go = tmp_path / "content", tmp_path / "writer.py", tmp_path / "go"
    content.write_bytes(random.Random(9).randbytes(50_000_000))
    writer.write_text(SLOW_WRITER)
    up.apply(SHELL + f"  slow:\n    command: [{PYTHON}, {writer}, {content}, {witness}, {go}]\n")

    with Proxy(("127.0.0.1", up.port)) as proxy, running(up.worker(tmp_path, "atlas", port=proxy.port)):
        number = up.trigger("ops/slow")

        def stored(at_least: int) -> int | None:
            length = up.run(number).log_length
            return length if length >= at_least else None

        wait_until(lambda: stored(5_000_000), what="the first output")
        proxy.cut()
        at_cut = up.run(number).log_length
        time.sleep(1)  # being cut off is the fault
        proxy.mend()
        wait_until(lambda: stored(min(at_cut + 5_000_000, 40_000_000)), what="more output after the cut")
        at_kill = up.run(number).log_length
        up.program.kill()
        was_writing = not witness.exists()
        go.touch()
        up.start()
        run = up.finish(number)

    assert proxy.broken > 0
    assert was_writing
    assert at_cut < at_kill < 50_000_000
    assert (run.state, run.attempts_counted) == ("succeeded", 1), run.reason
    assert witness.read_text() == "written\n"
    assert_stored(up, run, content, tmp_path / "copy")
