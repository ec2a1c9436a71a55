"""`orchestra up` as a command: the demo that leaves nothing behind, and starts that cannot be."""

import os
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.journey import PYTHON, Orchestra, end_marked_processes, marked_processes, started, wait_until

UP = (PYTHON, "-m", "orchestra", "up")
NOBODY = 65534


def run_up(
    *words: str, before: Sequence[str] = (), seconds: float = 60.0, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *UP, *words],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, **environment},
    )


def assert_one_sentence(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert ended.returncode not in (0, None)
    assert ended.stdout == ""
    (sentence,) = ended.stderr.splitlines()
    for part in parts:
        assert part in sentence


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo makes its temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def test_the_demo_runs_to_its_end_and_leaves_nothing_behind(temporary: Path) -> None:
    ended = run_up("--demo", "--exit", seconds=110.0, TMPDIR=str(temporary))

    assert ended.returncode == 0, ended.stderr
    rows = [line.split() for line in ended.stdout.splitlines() if line.startswith("#")]
    assert len(rows) >= 4
    assert {row[2] for row in rows} == {"succeeded"}
    assert {row[3] for row in rows} >= {"local-south"}
    assert list(temporary.iterdir()) == []
    assert marked_processes(str(temporary)) == []
    assert "Traceback" not in ended.stderr


def test_a_demo_that_is_interrupted_leaves_nothing_behind_either(temporary: Path) -> None:
    up = subprocess.Popen(
        [*UP, "--demo", "--exit"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(marked_processes(str(temporary))) >= 4, what="workers and their keepers")

        up.send_signal(signal.SIGTERM)
        _, said = up.communicate(timeout=60)

        assert up.returncode != 0
        assert b"Traceback" not in said
        wait_until(lambda: not list(temporary.iterdir()), what="the folder to go")
        wait_until(lambda: not marked_processes(str(temporary)), what="steps and keepers to end")
    finally:
        end_marked_processes(str(temporary))


def test_a_demo_that_cannot_be_says_why_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "orchestra.yaml"
    file.write_text("orchestra: 1\nproject: demo\njobs:\n  mine:\n    run: echo mine\n")
    with started(Orchestra(tmp_path, slots=0, more=("--definitions", str(file)))) as owner:
        wait_until(lambda: b'"mine"' in owner.api.get("/api/v1/jobs").body, what="the definition")

    ended = run_up("--demo", "--exit", "--data", str(owner.data))

    assert ended.returncode not in (0, None)
    (sentence,) = ended.stderr.splitlines()
    assert str(file) in sentence
    wait_until(lambda: not marked_processes(str(owner.data)), what="everything to end")


def test_the_pages_of_one_machine_wear_its_own_theme(tmp_path: Path) -> None:
    (tmp_path / "theme" / "templates").mkdir(parents=True)
    template = '{% extends "base.html" %}{% block main %}<h1>Welcome to {{ page.title }}</h1>{% endblock %}'
    (tmp_path / "theme" / "templates" / "sign_in.html").write_text(template)
    own = Orchestra(tmp_path, slots=0, more=("--theme", str(tmp_path / "theme"), "--title", "Build farm"))

    with started(own), urllib.request.urlopen(f"http://127.0.0.1:{own.port}/sign-in", timeout=60) as answer:
        page = answer.read().decode()

    assert "<h1>Welcome to Build farm</h1>" in page


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        ended = run_up("--data", str(tmp_path / "data"), "--port", str(port))

    assert_one_sentence(ended, str(port), "in use")
    assert marked_processes(str(tmp_path)) == []


def test_a_data_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here is no folder")

    below_a_file = run_up("--data", str(tmp_path / "file" / "data"), "--port", "0")
    not_writable = run_up("--data", "/proc/orchestra", "--port", "0")

    assert_one_sentence(below_a_file, str(tmp_path / "file" / "data"))
    assert_one_sentence(not_writable, "/proc/orchestra")


def test_a_data_folder_of_another_user_is_one_sentence(tmp_path: Path) -> None:
    foreign, without_power = Path("/orchestra-foreign"), []
    if os.getuid() == 0:
        foreign = tmp_path / "foreign"
        foreign.mkdir(mode=0o700)
        os.chown(foreign, NOBODY, NOBODY)
        without_power = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

    ended = run_up("--data", str(foreign), "--port", "0", before=without_power)

    assert_one_sentence(ended, str(foreign), "ermission denied")
    assert not foreign.exists() or list(foreign.iterdir()) == []


def test_a_folder_in_use_names_who_uses_it(up: Orchestra) -> None:
    ended = run_up("--data", str(up.data), "--port", "0")

    assert_one_sentence(ended, str(up.data), f"process {up.program.pid}", "orchestra up")
    up.api.get("/api/v1/health/ready")


def test_a_second_worker_in_a_folder_in_use_ends_with_one_sentence(up: Orchestra, tmp_path: Path) -> None:
    first = up.worker(tmp_path, "atlas")
    first.start()
    try:
        wait_until(lambda: up.connected("atlas"), what="the first worker")
        second = up.worker(tmp_path, "atlas")
        second.start()
        assert second.process is not None

        assert second.process.wait(60) not in (0, None)
        assert re.search(rf"process {first.pid} \(worker atlas\)", second.output)
        assert up.connected("atlas")
    finally:
        assert first.stop() == 0
