"""Frames that no peer of ours sends: refused with a code, in bounded memory, and nobody else notices."""

import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from orchestra.configuration import read_token_file
from orchestra.protocol.codec import CloseCode
from tests.faults.fired import Fired
from tests.faults.mangled import FROM_MASTER, FROM_WORKER, Mangler
from tests.faults.process_figures import forget_peak, metric, resident_bytes, resident_peak_bytes
from tests.faults.session_check import check_master_session, check_worker_session
from tests.support.impostor import Impostor, impostor
from tests.support.journey import PYTHON, Orchestra, running, wait_until

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20
GROWTH_BYTES_MAX = 50 * MEBIBYTE
BROKEN = "orchestra_worker_links_broken_total"
FRAME_TOO_LARGE = 1009
LOUD = """
orchestra: 1
project: ops
jobs:
  loud:
    run: |
      while [ ! -e {release} ]; do echo line; sleep 0.05; done
"""
chances = st.randoms(use_true_random=False)


def check_structured(examples: int) -> int:
    """So many frames for each end, shrunk to the simplest one that breaks it; returns how many were refused."""
    refused = 0

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(chances)
    def check(chance: random.Random) -> None:
        nonlocal refused
        refused += check_master_session([Mangler(chance, FROM_WORKER).frame()])
        refused += check_worker_session([Mangler(chance, FROM_MASTER).frame()])

    check()
    return refused


def test_structured_frames_raise_nothing_but_a_refusal(fired: Fired) -> None:
    fired("refused frame", check_structured(1500))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_structured_frames_raise_nothing_but_a_refusal(fired: Fired) -> None:
    fired("refused frame", check_structured(100_000))


def fuzz(folder: Path, runs: int) -> str:
    """Lets coverage lead the bytes, from messages that are right; returns what the fuzzer said."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number in range(200):
        frame = Mangler(random.Random(number)).frame()
        (corpus / str(number)).write_bytes(frame.encode() if isinstance(frame, str) else frame)
    arguments = [PYTHON, "-m", "tests.faults.fuzz_codec", f"-atheris_runs={runs}", f"-artifact_prefix={folder}/"]
    ended = subprocess.run([*arguments, str(corpus)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stderr


def test_bytes_led_by_coverage_raise_nothing_but_a_refusal(fired: Fired, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86-64 only")

    assert "Done 10000 in" in fuzz(tmp_path, 10_000)
    fired("bytes", 10_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_million_executions_led_by_coverage_raise_nothing_but_a_refusal(fired: Fired, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has wheels for Linux on x86-64 only")

    assert "Done 10000000 in" in fuzz(tmp_path, 10_000_000)
    fired("bytes", 10_000_000)


@pytest.fixture
def loud(up: Orchestra, tmp_path: Path) -> Iterator[int]:
    """A run whose log grows while strangers come; it must end as if none had."""
    up.apply(LOUD.format(release=tmp_path / "release"))
    with running(up.worker(tmp_path, "atlas")):
        number = up.trigger("ops/loud")
        wait_until(lambda: up.log(number), what="its first line")
        connected_at = up.fleet()["atlas"].connected_at
        yield number
        length = up.run(number).log_length
        wait_until(lambda: up.run(number).log_length > length, what="its log to grow on")
        assert up.fleet()["atlas"].connected_at == connected_at
        (tmp_path / "release").touch()
        run = up.finish(number)
        assert (run.state, run.attempts_counted, run.reason) == ("succeeded", 1, "")
        assert set(up.log(number).split(b"\n")) == {b"line", b""}
    assert "Traceback" not in up.program.output


def provoke(up: Orchestra, mangler: Mangler, frames: int, fired: Fired) -> None:
    """Sends so many frames, most of which end their connection."""
    token = read_token_file(up.data / "worker.token")
    sent = 0
    while sent < frames:
        try:
            with impostor(up.port, token) as guest:
                if sent % 2:
                    guest.greet(f"greeter-{sent}")
                sent += until_closed(guest, mangler, frames - sent, fired)
        except InvalidStatus as refusal:
            check_refusal(refusal)


def until_closed(guest: Impostor, mangler: Mangler, most: int, fired: Fired) -> int:
    """Sends frames until the master closes the connection, and looks at its code; returns how many."""
    sent = 0
    try:
        while sent < most:
            sent += 1
            guest.say_frame(mangler.frame())
            with contextlib.suppress(TimeoutError):
                guest.listen(seconds=0.005 if sent < 3 else 1.0)
        # A refusal that comes later is met at the next frame; behind the last one there is none.
        with contextlib.suppress(TimeoutError):
            while True:
                guest.listen(seconds=10.0)
    except ConnectionClosed as closed:
        fired(code_of(closed))
    return sent


def check_refusal(refusal: InvalidStatus) -> None:
    """Nothing but too many at once."""
    assert refusal.response.status_code == 503, refusal.response.body


def code_of(closed: ConnectionClosed) -> str:
    """Every connection ends with a code of ours, or with the library's for a frame that is far too large."""
    assert closed.rcvd is not None, "the connection broke without a word"
    return "TOO_LARGE" if closed.rcvd.code == FRAME_TOO_LARGE else CloseCode(closed.rcvd.code).name


def test_a_master_refuses_malformed_frames_with_a_code(
    up: Orchestra, loud: int, fired: Fired, chance: random.Random
) -> None:
    provoke_in_bounded_memory(up, 300, fired, chance)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_master_refuses_ten_thousand_malformed_frames_in_bounded_memory(
    up: Orchestra, loud: int, fired: Fired, chance: random.Random
) -> None:
    provoke_in_bounded_memory(up, 10_000, fired, chance)


def provoke_in_bounded_memory(up: Orchestra, frames: int, fired: Fired, chance: random.Random) -> None:
    """Each connection that was closed is counted, and none of them leaves anything behind."""
    fired.want(CloseCode.MALFORMED.name, CloseCode.OUT_OF_TURN.name)
    forget_peak(up.program.pid)
    before = resident_bytes(up.program.pid)

    provoke(up, Mangler(chance), frames, fired)

    assert resident_peak_bytes(up.program.pid) - before <= GROWTH_BYTES_MAX
    kinds = ("MALFORMED", "OUT_OF_TURN", "VERSION")
    closed = sum(fired.counts[kind] for kind in kinds)
    # It counts after it has closed.
    wait_until(lambda: metric(up, BROKEN) >= closed, what="the last one to be counted")
    assert metric(up, BROKEN) == closed
