"""What others need for the same runs: `xargs` and GNU parallel, which only start processes, and Celery with Redis.

They come from the system's packages and from `.venv-peers` (`.ci/set-up-peers`). One that is not here has no figure,
and `MissingPeer` says so: its row tells it.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.floor import free_port, is_open
from benchmarks.measurements import Throughput
from benchmarks.peer import Kind, argv_of
from benchmarks.processes import Processes, cpu_seconds, wait_until
from benchmarks.quiet import Foreign, wait_quiet
from orchestra.errors import OrchestraError

ROOT = Path(__file__).parents[1]
INTERPRETER = ROOT / ".venv-peers" / "bin" / "python"
START_SECONDS_MAX = 60.0


class MissingPeer(OrchestraError):
    """A peer that is not installed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} is not installed; .ci/set-up-peers installs it when it may"


def measure_starter(name: str, kind: Kind, count: int, width: int) -> Throughput:
    """`xargs` or `parallel` with a line for each run: what it costs to start the processes and nothing else."""
    options = {"xargs": ("-P", f"{width}", "-I", "number"), "parallel": ("--will-cite", "-j", f"{width}", "-n0")}[name]
    if shutil.which(name) is None:
        raise MissingPeer(name)
    wait_quiet()
    lines = "".join(f"{number}\n" for number in range(count)).encode()
    with Foreign([]) as foreign:
        before, began = os.times(), time.monotonic()
        done = subprocess.run([name, *options, *argv_of(kind, "")], input=lines, stdout=subprocess.PIPE, check=True)
        seconds, after = time.monotonic() - began, os.times()
    assert done.stdout == b"hello\n" * count, "not every run said hello"
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Throughput(
        name=f"{name} {_number([name, '--version'])}, {width} at a time, {kind}",
        runs=count,
        seconds=seconds,
        cpu_milliseconds_per_run=1000 * used / count,
        foreign_percent=foreign.percent,
    )


class Celery:
    """Redis and a Celery worker with so many processes, both fresh; Redis keeps nothing on the disk, as is usual."""

    def __init__(self, processes: Processes, folder: Path, *, width: int) -> None:
        if shutil.which("redis-server") is None:
            raise MissingPeer("redis-server")
        if not INTERPRETER.exists():
            raise MissingPeer("Celery")
        port = free_port()
        kept = ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        redis = processes.start(["redis-server", "--bind", "127.0.0.1", "--port", str(port), *kept])
        wait_until(lambda: is_open(port), seconds=START_SECONDS_MAX, what="Redis")
        address = f"redis://127.0.0.1:{port}"
        self._environment = {**os.environ, "PEER_BROKER": f"{address}/0", "PEER_RESULTS": f"{address}/1"}
        worker = [str(INTERPRETER), "-m", "celery", "-A", "benchmarks.celery_app", "worker"]
        worker += ["--pool", "prefork", "--concurrency", str(width), "--loglevel", "WARNING"]
        self.roots = [redis, processes.start(worker, environment=self._environment, folder=ROOT)]
        self.name = f"{_version()} + Redis {_number(['redis-server', '--version'])}"
        self._run_many(100)

    def measure(self, count: int) -> Throughput:
        """So many at once, until a client can see that all results are stored."""
        wait_quiet(self.roots)
        with Foreign(self.roots) as foreign:
            before = cpu_seconds(self.roots)
            seconds = self._run_many(count)
            used = cpu_seconds(self.roots) - before
        return Throughput(
            name=self.name,
            runs=count,
            seconds=seconds,
            cpu_milliseconds_per_run=1000 * used / count,
            foreign_percent=foreign.percent,
        )

    def _run_many(self, count: int) -> float:
        asked = [str(INTERPRETER), "-m", "benchmarks.celery_app", str(count)]
        return float(_output(asked, self._environment))


def _version() -> str:
    return "Celery " + _number([str(INTERPRETER), "-m", "celery", "--version"])


def _number(argv: Sequence[str]) -> str:
    """The first number in what a program says of its version."""
    found = re.search(r"\d[\d.]*\d", _output(argv, None))
    return found[0] if found else "?"


def _output(argv: Sequence[str], environment: dict[str, str] | None) -> str:
    return subprocess.run(argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
