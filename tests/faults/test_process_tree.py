"""However a job's processes fork, detach and refuse to die: two seconds after the grace none of them lives."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestra.network.client import API
from tests.faults.fired import Fired
from tests.support.figures import figure
from tests.support.journey import Orchestra, Program, keeper_of, marked_processes, running, wait_until

GRACE_SECONDS = 1.0
SURVIVORS_SECONDS_MAX = figure(GRACE_SECONDS + 2.0)
CHILDREN = 1000
BOMB_PROCESSES_MAX = 300
PIDS = Path("/sys/fs/cgroup/pids")
WITHOUT_CGROUPS = ("unshare", "--mount", "sh", "-c", 'umount --lazy --all --types cgroup2; exec "$@"', "sh")
"""Starts a program that finds no control groups of version 2."""

JOB = """
orchestra: 1
project: ops
jobs:
  tree:
    grace: {grace}
    environment: {{ TREE_MARK: {mark} }}
    run: |
{script}
"""
DOUBLE_FORK = """\
(setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.2; done' &)
(setsid sh -c '(trap "" TERM; setsid sleep 300 &) ; sleep 300' &)
touch {ready}
sleep 300
"""
IGNORES_TERM = """\
trap '' TERM
touch {ready}
while :; do sleep 0.2; done
"""
MANY_CHILDREN = """\
n=0; while [ $n -lt {children} ]; do sleep 300 & n=$((n+1)); done
touch {ready}
wait
"""
FORGETS_WHO_IT_IS = """\
env -i setsid /bin/sh -c ': {mark}; trap "" TERM; while :; do /bin/sleep 0.2; done' &
touch {ready}
sleep 300
"""
LEAVES_SOMETHING = """\
(setsid sh -c 'trap "" TERM; touch {ready}; while :; do sleep 0.2; done' > /dev/null 2>&1 &)
while [ ! -e {ready} ]; do sleep 0.01; done
"""
BOMB = """\
exec {python} -c '
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        open("{ready}", "w").close()
        time.sleep(0.2)
'
"""
TREES = {
    "double fork": DOUBLE_FORK,
    "ignores term": IGNORES_TERM,
    "children": MANY_CHILDREN,
    "forgets": FORGETS_WHO_IT_IS,
    "bomb": BOMB,
}
SMOKE = (("double fork", True), ("forgets", False))
CASES = [
    pytest.param(kind, has, marks=() if (kind, has) in SMOKE else pytest.mark.long)
    for kind in TREES
    for has in (True, False)
]


@pytest.fixture
def few_processes(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Words that start a program where there may be only so many processes."""
    group = PIDS / f"orchestra-{tmp_path.name}-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"a fork bomb needs a limit of processes: {error}")
    (group / "pids.max").write_text(str(BOMB_PROCESSES_MAX))
    yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), 9)
    wait_until(lambda: not (group / "cgroup.procs").read_text(), what="the group to be empty")
    group.rmdir()


@pytest.mark.parametrize(("kind", "has_cgroups"), CASES)
def test_no_process_of_an_aborted_run_survives(
    up: Orchestra, tmp_path: Path, few_processes: tuple[str, ...], fired: Fired, kind: str, *, has_cgroups: bool
) -> None:
    mark, ready = f"mark-{tmp_path.name}-{os.getpid()}", tmp_path / "ready"
    up.apply(definition(TREES[kind], mark, ready))
    atlas = worker(up, tmp_path, has_cgroups=has_cgroups)
    atlas = atlas.below(*few_processes) if kind == "bomb" else atlas
    with running(atlas):
        number = up.trigger("ops/tree")
        wait_until(ready.exists, seconds=60, what="the tree to stand")
        fired("processes", len(marked_processes(mark)))
        keeper = keeper_of(tmp_path / "atlas") if kind != "bomb" else None

        asked_at = time.monotonic()
        up.api.post(f"{API}/runs/{number}/abort", {})
        wait_until(lambda: not marked_processes(mark), what=f"{kind}: no process to be left")
        took = time.monotonic() - asked_at
        run = up.finish(number)

        assert took <= SURVIVORS_SECONDS_MAX
        assert run.state == "aborted"
        assert keeper is None or keeper_of(tmp_path / "atlas") == keeper
        following = up.trigger("ops/tree")
        up.reach(following, "running")


@pytest.mark.parametrize("has_cgroups", [True, pytest.param(False, marks=pytest.mark.long)])
def test_no_process_survives_a_step_that_has_ended(
    up: Orchestra, tmp_path: Path, fired: Fired, *, has_cgroups: bool
) -> None:
    mark, ready = f"mark-{tmp_path.name}-{os.getpid()}", tmp_path / "ready"
    up.apply(definition(LEAVES_SOMETHING, mark, ready))
    with running(worker(up, tmp_path, has_cgroups=has_cgroups)):
        number = up.trigger("ops/tree")
        wait_until(ready.exists, what="the process that is left behind")
        fired("left")

        run = up.finish(number)

        assert run.state == "succeeded"
        assert marked_processes(mark) == []


def definition(tree: str, mark: str, ready: Path) -> str:
    script = tree.format(mark=mark, ready=ready, children=CHILDREN, python=sys.executable)
    indented = "".join(f"      {line}\n" for line in script.splitlines())
    return JOB.format(grace=f"{GRACE_SECONDS:g}s", mark=mark, script=indented)


def worker(up: Orchestra, tmp_path: Path, *, has_cgroups: bool) -> Program:
    atlas = up.worker(tmp_path, "atlas")
    return atlas if has_cgroups else atlas.below(*WITHOUT_CGROUPS)
