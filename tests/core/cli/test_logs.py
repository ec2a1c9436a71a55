"""Logs: byte for byte, in pieces, of any attempt."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestra.cli import log_command
from tests.core.cli.conftest import TOKEN, Typist
from tests.core.cli.stand_in import Asked, StandIn, Told, a_run, event

LOG = "/api/v1/runs/482/log"


def ranged(content: bytes) -> Callable[[Asked], Told]:
    """An answer that obeys Range."""

    def answer(asked: Asked) -> Told:
        first, last = (int(text) for text in asked.headers["range"].removeprefix("bytes=").split("-"))
        headers = {"X-Log-Length": str(len(content)), "Content-Type": "text/plain"}
        if first >= len(content):
            return Told(status=416, content={}, headers=headers)
        return Told(status=206, body=content[first : last + 1], headers=headers)

    return answer


def test_a_log_in_a_file_is_the_stored_log_byte_for_byte(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real program, over several ranges, with bytes that are no text."""
    content = bytes(range(256)) * 9000
    server.on("GET", LOG, ranged(content))

    whole = orchestra(server, tmp_path, "logs", "482")

    assert whole.stdout == content
    assert len(server.asked) == -(-len(content) // log_command._PIECE_BYTES)


def test_an_empty_log_is_no_error(typed: Typist, server: StandIn) -> None:
    """Nothing was written yet."""
    server.on("GET", LOG, ranged(b""))

    ended = typed("logs", "482")

    assert (ended.code, ended.out) == (0, "")
    assert ended.errors == "The log of run #482 is empty. A pipeline has none: orchestra run show 482\n"


def test_a_character_on_the_border_of_two_ranges_stays_whole(
    typed: Typist, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal the bytes become text only where a character is complete."""
    monkeypatch.setattr(log_command, "_PIECE_BYTES", 3)
    server.on("GET", LOG, ranged("aäöü€".encode()))

    assert typed("logs", "482", terminal=True).out == "aäöü€"


def test_the_tail_of_an_attempt_is_asked_for(typed: Typist, server: StandIn) -> None:
    """The server counts the lines."""
    path = "/api/v1/runs/482/attempts/2/log"
    server.on("GET", path, Told(body=b"last\n", headers={"Content-Type": "text/plain"}))

    ended = typed("logs", "482", "--attempt", "2", "--tail", "1")

    assert ended.out == "last\n"
    assert server.asked[0].query == {"tail": ["1"]}


def test_following_a_log_exits_by_the_end_of_the_run(typed: Typist, server: StandIn) -> None:
    """As trigger --follow does."""
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(state="running")))
    pieces = (event("log", {"offset": 0, "text": "x\n"}, "2"), event("end", a_run(state="aborted")))
    server.on("GET", f"{LOG}/stream", Told(pieces=pieces))

    ended = typed("logs", "482", "-f")

    assert (ended.code, ended.out) == (22, "x\n")


def test_ctrl_c_detaches_and_says_how_to_come_back(server: StandIn, tmp_path: Path) -> None:
    """The run is not touched."""
    server.on("GET", "/api/v1/runs/482", Told(content=a_run(state="running")))
    server.on("GET", f"{LOG}/stream", Told(pieces=(event("log", {"offset": 0, "text": "first\n"}, "6"),)))
    process = subprocess.Popen(
        command("logs", "482", "-f"),
        env=environment(server, tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"

    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 130
    assert b"Run #482 continues. Follow: orchestra logs 482 -f. Stop: orchestra abort 482" in errors
    assert b"Traceback" not in errors
    assert {asked.method for asked in server.asked} == {"GET"}


def test_a_reader_that_goes_away_is_no_traceback(server: StandIn, tmp_path: Path) -> None:
    """`orchestra logs 482 | head -1`."""
    server.on("GET", LOG, ranged(b"line\n" * 500_000))
    words = " ".join(command("logs", "482"))

    ended = subprocess.run(
        f"{words} | head -1",
        shell=True,
        env=environment(server, tmp_path),
        capture_output=True,
        timeout=30,
        check=False,
    )

    assert ended.stdout == b"line\n"
    assert ended.stderr == b""


def command(*words: str) -> list[str]:
    """The real program."""
    return [sys.executable, "-m", "orchestra", *words]


def environment(server: StandIn, home: Path) -> dict[str, str]:
    """What the real program needs."""
    return {
        "ORCHESTRA_SERVER": server.address,
        "ORCHESTRA_TOKEN": TOKEN,
        "HOME": str(home),
        "PATH": os.environ["PATH"],
    }


def orchestra(server: StandIn, home: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run the real program to its end."""
    return subprocess.run(
        command(*words), env=environment(server, home), cwd=home, capture_output=True, timeout=60, check=True
    )
