"""`orchestra wrap` with real processes: the command first, whatever becomes of the server; then every byte, once."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from orchestra.network.client import API
from tests.support.journey import PYTHON, Orchestra, Run, wait_until

DEFINITION = "orchestra: 1\nproject: ops\njobs:\n  backup: { wrapped: true }\n  own: { run: 'true' }\n"
Wrap = Callable[..., "subprocess.Popen[bytes]"]


class _Runs(msgspec.Struct, frozen=True):
    items: tuple[Run, ...]


def runs_of(up: Orchestra) -> list[Run]:
    """All runs, the oldest first."""
    found = up.api.get(f"{API}/runs").read(_Runs).items
    return [up.run(each.id) for each in reversed(found)]


@pytest.fixture
def wrap(up: Orchestra, tmp_path: Path) -> Wrap:
    """Starts `orchestra wrap` beside a server that has the definition."""
    up.apply(DEFINITION)
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith(("ORCHESTRA", "XDG"))},
        "ORCHESTRA_SERVER": up.address,
        "ORCHESTRA_WRAP_SPOOL": str(tmp_path / "spool"),
        "HOME": str(tmp_path),
    }

    def start(*command: str, job: str = "ops/backup", options: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        token = ("--token-file", str(up.data / "admin.token"))
        return subprocess.Popen(
            [PYTHON, "-m", "orchestra", "wrap", *token, *options, job, "--", *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )

    return start


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, bytes, bytes]:
    """Its exit code, and all that it printed."""
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


def kept(tmp_path: Path) -> int:
    """How many runs wait on this machine to be delivered."""
    return len(list((tmp_path / "spool").iterdir()))


def test_a_command_is_recorded_with_its_output_and_its_exit_code(up: Orchestra, wrap: Wrap, tmp_path: Path) -> None:
    good = ended(wrap("sh", "-c", "echo out; echo err >&2"))
    bad = ended(wrap("sh", "-c", "printf 'no newline'; exit 7"))

    first, second = runs_of(up)
    assert good == (0, b"out\n", b"err\n")
    assert bad == (7, b"no newline", b"")
    assert (first.state, first.exit_code, sorted(up.log(first.id).splitlines())) == ("succeeded", 0, [b"err", b"out"])
    assert (second.state, second.reason, second.exit_code) == ("failed", "exit code 7", 7)
    assert up.log(second.id) == b"no newline"
    assert kept(tmp_path) == 0


def test_what_it_prints_is_there_while_it_runs_and_quiet_prints_nothing(up: Orchestra, wrap: Wrap) -> None:
    process = wrap("sh", "-c", "echo begun; read line < $0; echo over", str(fifo := up.data / "fifo"), options=("-q",))
    os.mkfifo(fifo)
    wait_until(lambda: [run for run in runs_of(up) if run.log_length == 6], what="the first line to be stored")
    (running,) = runs_of(up)
    fifo.write_text("go\n")

    assert ended(process) == (0, b"", b"")
    assert running.state == "running"
    assert up.log(running.id) == b"begun\nover\n"
    assert up.run(running.id).state == "succeeded"


def test_a_large_output_arrives_to_the_byte(up: Orchestra, wrap: Wrap) -> None:
    script = "import os\nfor n in range(3000): os.write(1 + n % 2, (b'%06d ' % n) * 200 + b'\\n')"

    code, out, errors = ended(wrap(PYTHON, "-c", script))

    (run,) = runs_of(up)
    log = up.log(run.id)
    assert (code, run.state) == (0, "succeeded")
    assert (len(out), len(errors)) == (1500 * 1401, 1500 * 1401)
    assert sorted(log.splitlines()) == sorted(out.splitlines() + errors.splitlines())


def test_a_server_that_dies_meanwhile_misses_nothing(up: Orchestra, wrap: Wrap, tmp_path: Path) -> None:
    # One for each word: who opens a pipe again may meet the end of the writer before.
    first, second = tmp_path / "first", tmp_path / "second"
    os.mkfifo(first)
    os.mkfifo(second)
    script = 'echo one; read line < "$0"; echo two; read line < "$1"; echo three'
    process = wrap("sh", "-c", script, str(first), str(second))
    wait_until(lambda: [run for run in runs_of(up) if run.log_length == 4], what="the first line to be stored")
    up.close_clients()
    up.program.kill()
    first.write_text("go\n")
    up.start()
    second.write_text("go\n")

    assert ended(process) == (0, b"one\ntwo\nthree\n", b"")
    (run,) = runs_of(up)
    up.reach(run.id, "succeeded")
    assert up.log(run.id) == b"one\ntwo\nthree\n"


def test_what_a_server_that_is_away_could_not_be_told_the_next_wrap_delivers(
    up: Orchestra, wrap: Wrap, tmp_path: Path
) -> None:
    up.stop()
    away = [
        ended(wrap("sh", "-c", f"echo {number}; exit {number}", options=("--patience", "100ms"))) for number in (0, 3)
    ]
    waiting = kept(tmp_path)
    up.start()

    last = ended(wrap("echo", "last"))

    assert away == [(0, b"0\n", b""), (3, b"3\n", b"")]
    assert waiting == 2
    assert last == (0, b"last\n", b"")
    found = {up.log(run.id): (run.state, run.exit_code) for run in runs_of(up)}
    assert found == {b"last\n": ("succeeded", 0), b"0\n": ("succeeded", 0), b"3\n": ("failed", 3)}
    assert kept(tmp_path) == 0


def test_whoever_has_no_patience_gets_the_exit_code_at_once(up: Orchestra, wrap: Wrap, tmp_path: Path) -> None:
    up.stop()
    process = wrap("sh", "-c", "exit 3", options=("--patience", "10m"))
    wait_until(lambda: list((tmp_path / "spool").glob("*/end.json")), what="the end to be kept")

    process.send_signal(signal.SIGTERM)

    assert ended(process) == (3, b"", b"")
    assert kept(tmp_path) == 1


def test_two_wraps_at_once_are_two_runs(up: Orchestra, wrap: Wrap, tmp_path: Path) -> None:
    processes = [wrap("sh", "-c", f"for n in $(seq 200); do echo {name}; done") for name in ("a", "b")]

    assert [ended(process)[0] for process in processes] == [0, 0]
    assert {up.log(run.id) for run in runs_of(up)} == {b"a\n" * 200, b"b\n" * 200}
    assert {run.state for run in runs_of(up)} == {"succeeded"}
    assert kept(tmp_path) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_command_decides(up: Orchestra, wrap: Wrap, number: signal.Signals) -> None:
    word = number.name.removeprefix("SIG")
    script = f"trap 'echo caught; exit 9' {word}; echo ready; while :; do sleep 0.05; done"
    process = wrap("sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    process.send_signal(number)

    assert ended(process) == (9, b"caught\n", b"")
    assert [(run.state, run.exit_code) for run in runs_of(up)] == [("failed", 9)]


def test_a_command_that_a_signal_ends_is_told_so(up: Orchestra, wrap: Wrap) -> None:
    process = wrap("sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    process.send_signal(signal.SIGTERM)

    assert ended(process)[0] == 128 + signal.SIGTERM
    assert [(run.state, run.reason) for run in runs_of(up)] == [("failed", "ended by SIGTERM")]


def test_a_command_that_is_not_there_is_an_exception(up: Orchestra, wrap: Wrap) -> None:
    code, _, errors = ended(wrap("/no/such/program"))

    assert (code, errors) == (127, b"orchestra wrap: '/no/such/program' cannot be started: no such file or directory\n")
    assert [run.state for run in runs_of(up)] == ["exception"]


def test_a_wrap_that_is_killed_leaves_what_the_next_one_tells(up: Orchestra, wrap: Wrap, tmp_path: Path) -> None:
    process = wrap("sh", "-c", "echo begun; exec sleep 60")
    wait_until(lambda: [run for run in runs_of(up) if run.log_length == 6], what="the first line to be stored")
    process.kill()
    ended(process)

    ended(wrap("true"))

    first, second = runs_of(up)
    assert (first.state, second.state) == ("exception", "succeeded")
    assert first.reason == "its wrap was ended before the command: nobody saw how that went"
    assert up.log(first.id) == b"begun\n"
    assert kept(tmp_path) == 0


def test_a_job_of_the_workers_is_not_recorded_and_the_command_runs_all_the_same(
    up: Orchestra, wrap: Wrap, tmp_path: Path
) -> None:
    code, out, errors = ended(wrap("echo", "hello", job="ops/own"))

    assert (code, out) == (0, b"hello\n")
    assert b"this run is not recorded: job ops/own has steps of its own" in errors
    assert runs_of(up) == []
    assert json.loads(next((tmp_path / "spool").iterdir()).joinpath("about.json").read_bytes())["job"] == "ops/own"


def test_where_nothing_can_be_kept_the_command_runs_all_the_same(up: Orchestra, wrap: Wrap, tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")

    code, out, errors = ended(wrap("sh", "-c", "echo hello; exit 4"))

    assert (code, out) == (4, b"hello\n")
    assert b"orchestra wrap: this run is not recorded" in errors
