"""The agent as a process of its own: how it starts, ends, and refuses to start."""

import importlib.metadata
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra_worker.detection import (
    OwnProperty,
    detected_properties,
    given_properties,
    installed_version,
    size_text,
)
from tests.worker import given


class WorkerProcess:
    """`orchestra worker start` with a master that is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *options: str) -> subprocess.Popen[str]:
        self._folder.parent.joinpath("token").write_text("orc_w_x")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "orchestra_worker", "--master", "http://127.0.0.1:1", "--name", "atlas"),
                *("--token-file", str(self._folder.parent / "token"), "--folder", str(self._folder), *options),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(folder)
    yield worker
    worker.end()


def wait_for_link(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if "link_lost" in line:
            return
    raise AssertionError("the worker never tried to connect")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_agent_with_exit_code_0_and_an_idle_keeper_follows(
    worker: WorkerProcess, folder: Path, number: signal.Signals
) -> None:
    process = worker.start()
    wait_for_link(process)
    keeper = given.keeper_pid(folder)

    process.send_signal(number)

    assert process.wait(10) == 0
    assert keeper is not None
    await given.until(lambda: not given.is_alive(keeper))


def test_an_agent_that_was_told_to_ends_with_its_parent(worker: WorkerProcess) -> None:
    process = worker.start("--end-with-parent")
    wait_for_link(process)
    assert process.stdin is not None

    process.stdin.close()
    process.stdin = None

    assert process.wait(10) == 0


def test_a_folder_that_is_in_use_is_refused_and_the_holder_named(worker: WorkerProcess) -> None:
    first = worker.start()
    wait_for_link(first)

    second = worker.start()
    _, complaint = second.communicate(timeout=10)

    assert second.returncode == 1
    assert "is in use by" in complaint
    assert str(first.pid) in complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(("--property", "gpu"), "write name=value"), (("--master", "nowhere"), "is no master's address")],
)
def test_bad_options_are_one_sentence(worker: WorkerProcess, options: tuple[str, ...], complaint: str) -> None:
    process = worker.start(*options)
    _, said = process.communicate(timeout=10)

    assert process.returncode == 1
    assert complaint in said
    assert "Traceback" not in said


def test_the_version_is_the_installed_packages_own() -> None:
    assert installed_version() == importlib.metadata.version("job-orchestra")


def test_properties_are_detected() -> None:
    properties = detected_properties()

    assert properties["os"] == "linux"
    assert properties["cpus"] == len(os.sched_getaffinity(0))
    assert properties["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert str(properties["memory"]).endswith("GB")


@pytest.mark.parametrize(("size", "text"), [(33_600_000_000, "33.6GB"), (32_000_000_000, "32GB"), (512 << 20, "0.5GB")])
def test_memory_is_a_size_that_requirements_compare(size: int, text: str) -> None:
    assert size_text(size) == text


def test_the_name_is_no_property_that_a_worker_can_be_given() -> None:
    with pytest.raises(OwnProperty) as refused:
        given_properties(["gpu=2", " name = atlas"])

    told = "' name = atlas' cannot be given: `name` is the worker's own name, which --name says"
    assert str(refused.value) == told


def test_given_properties_are_numbers_and_truths_only_when_they_look_the_same_printed() -> None:
    texts = ["gpu=true", "rack=12", "load=0.5", "version=1.10", "code=007", "role=db", "far=inf", "none=nan"]

    assert given_properties(texts) == {
        "gpu": True,
        "rack": 12,
        "load": 0.5,
        "version": "1.10",
        "code": "007",
        "role": "db",
        "far": "inf",
        "none": "nan",
    }
