"""Stops and timeouts: nothing of a run is alive afterwards, however it forked, and what was asked for is told apart
from what is true."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from orchestra.network.client import API
from orchestra.network.problems import RequestRefused
from orchestra_worker.cgroup import own_folder
from tests.support.figures import figure
from tests.support.journey import (
    PYTHON,
    Orchestra,
    Program,
    Run,
    arguments_of,
    lines_of,
    marked_processes,
    running,
    wait_until,
)

GRACE_SECONDS = 3.0
LIMIT_SECONDS = 5.0
"""For what a test does in the midst of both, on a slow machine."""
ENDED_SECONDS_MAX = figure(GRACE_SECONDS + 2.0)
# All sleepers ignore SIGTERM, as their shell does; one process obeys and leaves word of it. Every sleeper is found by
# the name of its program, whatever environment it has.
FAMILY = """
orchestra: 1
project: ops
jobs:
  family:
    grace: {grace:g}s
    run: |
      sh -c 'trap "touch {witness}.asked; exit" TERM; while true; do sleep 0.1; done' &
      trap '' TERM
      {sleeper} 300 &
      ( ( {sleeper} 300 & ) & )
      setsid sh -c "trap '' TERM; {sleeper} 300; {sleeper} 300; {sleeper} 300" &
      setsid setsid {sleeper} 300 > /dev/null 2>&1 &
      {hidden}
      echo "$ORCHESTRA_RUN begins" >> {witness}
      echo started
      while true; do {sleeper} 300 || true; done
    teardown:
      - echo "$ORCHESTRA_RUN teardown" >> {witness}; echo torn down
  limited:
    timeout: {limit:g}s
    grace: 500ms
    run: |
      trap '' TERM
      setsid {sleeper} 300 &
      echo "$ORCHESTRA_RUN begins" >> {witness}
      while true; do {sleeper} 300 || true; done
    teardown:
      - echo "$ORCHESTRA_RUN teardown" >> {witness}
  nowhere:
    worker: {{ zone: nowhere }}
    run: echo "$ORCHESTRA_RUN begins" >> {witness}
"""


@pytest.fixture
def atlas(up: Orchestra, tmp_path: Path) -> Program:
    """A worker, not yet started."""
    return up.worker(tmp_path, "atlas", slots=4)


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    """A `sleep` of this test's own."""
    return shutil.copy("/bin/sleep", f"{tmp_path}/sleeper")


@pytest.fixture
def family(up: Orchestra, sleeper: str, witness: Path) -> int:
    """The definition applied; how many sleepers a run of `ops/family` has at once."""
    can_hide = cgroups_can_be_made(Path(sleeper).parent.name)
    hidden = f"env -i setsid {sleeper} 300 > /dev/null 2>&1 &" if can_hide else ":"
    up.apply(FAMILY.format(sleeper=sleeper, witness=witness, hidden=hidden, grace=GRACE_SECONDS, limit=LIMIT_SECONDS))
    return 6 if can_hide else 5


def cgroups_can_be_made(name: str) -> bool:
    """Whether this user may make a control group and move a process into it."""
    own = own_folder()
    group = Path(own or "/nowhere") / f"journey-{os.getpid()}-{name}"
    try:
        group.mkdir()
    except OSError:
        return False
    entered = subprocess.run(["/bin/sh", "-c", f"echo 0 > {group}/cgroup.procs"], check=False, capture_output=True)
    group.rmdir()
    return entered.returncode == 0


def begin(up: Orchestra, sleeper: str, size: int) -> int:
    run = up.trigger("ops/family")
    up.reach(run, "running")
    wait_until(lambda: len(sleepers(sleeper)) >= size, what="the whole family")
    return run


def sleepers(sleeper: str) -> list[int]:
    """The processes whose program is the sleeper (a shell that only names it is none)."""
    return [pid for pid in marked_processes(sleeper) if arguments_of(pid).split(b"\0")[0] == sleeper.encode()]


def ask(up: Orchestra, run: int, verb: str, reason: str) -> Run:
    return up.api.post(f"{API}/runs/{run}/{verb}", {"reason": reason}).read(Run)


def command_line(up: Orchestra, *words: str) -> str:
    arguments = [PYTHON, "-m", "orchestra", *words, "--server", up.address]
    arguments += ["--token-file", str(up.data / "admin.token")]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60).stdout


def assert_aborted(up: Orchestra, run: int, sleeper: str, witness: Path) -> None:
    over = up.finish(run)
    assert over.state == "aborted", over.reason
    assert "admin" in over.reason
    assert "wrong branch" in over.reason
    assert marked_processes(sleeper) == []
    assert lines_of(witness) == [f"{run} begins", f"{run} teardown"]
    assert up.log(run).endswith(b"torn down\n")


def test_an_abort_through_the_api_leaves_nothing_alive_and_runs_the_teardown(
    up: Orchestra, atlas: Program, sleeper: str, family: int, witness: Path
) -> None:
    with running(atlas):
        run = begin(up, sleeper, family)
        asked_at = time.monotonic()
        asked = ask(up, run, "abort", "wrong branch")
        meanwhile = up.run(run)

        for shown in (asked, meanwhile):
            assert shown.state == "running"
            assert shown.stop_requested is not None
        wait_until(lambda: not marked_processes(sleeper), what="the family to end")
        assert time.monotonic() - asked_at < ENDED_SECONDS_MAX
        assert_aborted(up, run, sleeper, witness)
        with pytest.raises(RequestRefused, match="over"):
            ask(up, run, "abort", "again")


def test_an_abort_while_the_agent_is_dead_is_carried_out_when_it_is_back(
    up: Orchestra, atlas: Program, sleeper: str, family: int, witness: Path
) -> None:
    with running(atlas):
        run = begin(up, sleeper, family)
        atlas.kill()
        assert "stop is requested" in command_line(up, "abort", str(run), "--reason", "wrong branch")
        assert "running" in command_line(up, "run", "show", str(run))
        assert len(sleepers(sleeper)) >= family
        atlas.start()

        assert_aborted(up, run, sleeper, witness)


def test_an_agent_killed_in_the_middle_of_an_abort_finishes_it_when_it_is_back(
    up: Orchestra, atlas: Program, sleeper: str, family: int, witness: Path
) -> None:
    with running(atlas):
        run = begin(up, sleeper, family)
        ask(up, run, "abort", "wrong branch")
        wait_until(Path(f"{witness}.asked").exists, what="the processes to be asked")
        assert marked_processes(sleeper)
        atlas.kill()
        wait_until(lambda: not marked_processes(sleeper), what="the family to end without an agent")
        assert lines_of(witness) == [f"{run} begins"]
        atlas.start()

        assert_aborted(up, run, sleeper, witness)


def test_a_cancel_withdraws_what_waits_and_is_refused_for_what_runs(
    up: Orchestra, atlas: Program, sleeper: str, family: int, witness: Path
) -> None:
    with running(atlas):
        runs_on = begin(up, sleeper, family)
        waiting, aborted = up.trigger("ops/nowhere"), up.trigger("ops/nowhere")

        with pytest.raises(RequestRefused, match="abort it instead") as refused:
            ask(up, runs_on, "cancel", "wrong branch")
        withdrawn = ask(up, waiting, "cancel", "not needed")
        also_withdrawn = ask(up, aborted, "abort", "not needed")

        assert refused.value.problem.status == 409
        assert up.run(runs_on).state == "running"
        assert up.run(runs_on).stop_requested is None
        for run in (withdrawn, also_withdrawn):
            assert run.state == "cancelled"
            assert "admin" in run.reason
            assert "not needed" in run.reason
        with running(up.worker(witness.parent, "nowhere", zone="nowhere")):
            third = up.trigger("ops/nowhere")
            assert up.finish(third).state == "succeeded"
        assert lines_of(witness) == [f"{runs_on} begins", f"{third} begins"]
        ask(up, runs_on, "abort", "test is over")
        up.finish(runs_on)


def test_a_timeout_ends_the_tree_with_and_without_an_agent(
    up: Orchestra, atlas: Program, sleeper: str, family: int, witness: Path
) -> None:
    with running(atlas):
        first = up.finish(up.trigger("ops/limited"))
        assert marked_processes(sleeper) == []

        number = up.trigger("ops/limited")
        wait_until(lambda: f"{number} begins" in lines_of(witness), what="the second run")
        up.reach(number, "running")
        atlas.kill()
        assert marked_processes(sleeper)
        wait_until(lambda: not marked_processes(sleeper), what="the keeper to keep the time")
        assert f"{number} teardown" not in lines_of(witness)
        atlas.start()
        second = up.finish(number)

        for run in (first, second):
            assert run.state == "failed"
            assert run.reason.startswith(f"timed out after {LIMIT_SECONDS:g}")
        assert lines_of(witness) == [f"{run} {word}" for run in (first.id, number) for word in ("begins", "teardown")]
