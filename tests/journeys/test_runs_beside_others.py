"""A job that looks at its other runs, at the terminal: the number of the one in the way, or a new one in its place."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.journey import PYTHON, Orchestra, running

DEFINITION = """
orchestra: 1
project: ops
jobs:
  scan:
    parameters: {{ repo: {{ type: string, required: true }} }}
    run: echo "scanning $PARAM_REPO"; while [ -e {hold} ]; do sleep 0.05; done
    unique: {{ key: "{{parameters.repo}}", conflict: reject }}
    grace: 1s
  index:
    parameters: {{ repo: {{ type: string, required: true }} }}
    run: echo "indexing $PARAM_REPO"; while [ -e {hold} ]; do sleep 0.05; done; exit 3
    unique: {{ key: "{{parameters.repo}}", conflict: return-existing }}
  deploy:
    parameters: {{ env: {{ type: string, required: true }}, version: {{ type: string, required: true }} }}
    run: echo "$PARAM_ENV $PARAM_VERSION" >> {witness}; while [ -e {hold} ]; do sleep 0.05; done
    concurrency: {{ group: "deploy-{{parameters.env}}", when-full: cancel-pending }}
"""
Typed = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def hold(up: Orchestra, tmp_path: Path, witness: Path) -> Path:
    """As long as this is there the jobs go on."""
    made = tmp_path / "hold"
    made.touch()
    up.apply(DEFINITION.format(hold=made, witness=witness))
    return made


@pytest.fixture
def typed(up: Orchestra, tmp_path: Path) -> Typed:
    """The command line as somebody types it."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("ORCHESTRA", "XDG"))}
    environment |= {"ORCHESTRA_SERVER": up.address, "HOME": str(tmp_path)}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        token = ("--token-file", str(up.data / "admin.token"))
        return subprocess.run(
            [PYTHON, "-m", "orchestra", *words, *token],
            env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


def test_a_second_scan_is_refused_by_the_number_of_the_first(
    up: Orchestra, tmp_path: Path, hold: Path, typed: Typed
) -> None:
    with running(up.worker(tmp_path, "atlas")):
        first = typed("trigger", "ops/scan", "-p", "repo=web")
        up.reach(1, "running")

        refused = typed("trigger", "ops/scan", "-p", "repo=web", "--follow")
        other = typed("trigger", "ops/scan", "-p", "repo=api")
        hold.unlink()
        ended = up.finish(1)
        again = typed("trigger", "ops/scan", "-p", "repo=web", "--wait")

    assert (first.returncode, first.stdout) == (0, "#1\n")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "no run of ops/scan was made, because #1 has the same key 'web' and is running" in refused.stderr
    assert (other.stdout, ended.state, again.returncode) == ("#2\n", "succeeded", 0)


def test_the_run_that_there_is_already_is_followed(up: Orchestra, tmp_path: Path, hold: Path, typed: Typed) -> None:
    with running(up.worker(tmp_path, "atlas")):
        typed("trigger", "ops/index", "-p", "repo=web")
        up.reach(1, "running")

        told = typed("trigger", "ops/index", "-p", "repo=web")
        waited = typed("trigger", "ops/index", "-p", "repo=web", "--follow", "--timeout", "2s")
        hold.unlink()
        up.finish(1)

    assert (told.returncode, told.stdout) == (0, "#1\n")
    assert told.stderr.startswith("No new run: #1 ops/index has the same key and is running.")
    assert (waited.returncode, waited.stdout) == (24, "indexing web\n")
    assert "No new run: #1 ops/index" in waited.stderr


def test_of_a_queue_of_deploys_the_newest_is_left(
    up: Orchestra, tmp_path: Path, hold: Path, witness: Path, typed: Typed
) -> None:
    with running(up.worker(tmp_path, "atlas", slots=4)):
        up.trigger("ops/deploy", {"env": "live", "version": "1"})
        up.reach(1, "running")
        for version in ("2", "3", "4"):
            up.trigger("ops/deploy", {"env": "live", "version": version})
        elsewhere = up.trigger("ops/deploy", {"env": "test", "version": "4"})
        up.reach(elsewhere, "running")
        shown = typed("run", "show", "3")
        hold.unlink()
        last = up.finish(4)

    states = [up.run(number) for number in (1, 2, 3)]
    assert [(run.state, run.reason) for run in states] == [
        ("succeeded", ""),
        ("cancelled", "cancelled by policy: superseded by #3"),
        ("cancelled", "cancelled by policy: superseded by #4"),
    ]
    assert "superseded by #4" in shown.stdout
    assert last.state == "succeeded"
    assert sorted(witness.read_text().splitlines()) == ["live 1", "live 4", "test 4"]
