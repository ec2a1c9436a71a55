"""The workers that `orchestra up` starts as child processes: real agents over the real WebSocket, kept running.

Each ends when its parent's pipe closes, however the parent ends; its running steps go on, and the next `up` adopts them
again.
"""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestra.limits import CHILD_END_SECONDS_MAX, CHILD_RESTART_SECONDS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalWorker:
    """One worker to start."""

    name: str
    folder: Path
    slots: int
    properties: Mapping[str, str]


class LocalWorkers:
    """Starts the workers, starts again what dies, and ends all by closing their pipes."""

    def __init__(self, *, workers: Sequence[LocalWorker], master: str, token_file: Path) -> None:
        self._workers = workers
        self._master = master
        self._token_file = token_file
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    async def keep_running(self) -> None:
        """Until it is cancelled: a worker that has ended is started again after a moment."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for worker in self._workers:
                    tasks.create_task(self._keep(worker), name=f"local worker {worker.name}")
        finally:
            self._end_all()

    async def _keep(self, worker: LocalWorker) -> None:
        while True:
            child = self._start(worker)
            code = await _exit_of(child)
            logger.warning("local_worker_ended worker=%s exit=%s: it is started again", worker.name, code)
            _let_go(child)
            await asyncio.sleep(CHILD_RESTART_SECONDS)

    def _start(self, worker: LocalWorker) -> subprocess.Popen[bytes]:
        worker.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        arguments = [
            sys.executable,
            *("-m", "orchestra_worker", "--master", self._master, "--token-file", str(self._token_file)),
            *("--name", worker.name, "--folder", str(worker.folder), "--slots", str(worker.slots)),
            "--end-with-parent",
        ]
        for name, value in worker.properties.items():
            arguments += ["--property", f"{name}={value}"]
        with (worker.folder / "agent.log").open("ab") as log:
            # In a session of its own: Ctrl-C in the terminal is for the parent, whose end the pipe tells.
            child = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._children[worker.name] = child
        return child

    def _end_all(self) -> None:
        for child in self._children.values():
            if child.stdin:
                child.stdin.close()
        for child in self._children.values():
            try:
                child.wait(CHILD_END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                logger.warning("local_worker_hangs pid=%d: it is killed, its steps go on", child.pid)
                child.kill()
                child.wait()


async def _exit_of(child: subprocess.Popen[bytes]) -> int:
    """Waits for the child without a thread or a signal handler."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(child.pid)
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return child.wait()


def _let_go(child: subprocess.Popen[bytes]) -> None:
    if child.stdin:
        child.stdin.close()
