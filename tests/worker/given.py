"""What the worker's tests begin with: offers, and an agent on a folder of its own with the real keeper."""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from orchestra.clock import SystemClock
from orchestra.identifiers import AttemptNumber, RunId
from orchestra.protocol.messages import Offer
from orchestra.specification import Execution, PropertyValue, Step
from orchestra_worker.agent import Agent
from orchestra_worker.assemble import WorkerSettings, make_agent
from orchestra_worker.attempt_rows import load_attempts
from orchestra_worker.folders import WorkerFolder
from orchestra_worker.journal import Journal, open_journal
from orchestra_worker.process_tree import started_ticks
from tests.worker.fake_master import FakeMaster

T = TypeVar("T")


def execution(*scripts: str, **fields: object) -> Execution:
    """Shell steps called one, two, three …"""
    names = ("one", "two", "three", "four", "five")
    steps = tuple(Step(name=name, run=script) for name, script in zip(names, scripts, strict=False))
    return Execution(steps=steps, **fields)  # type: ignore[arg-type]  # any field of Execution, by name


def offer(
    what: Execution | str,
    *,
    run: int = 1,
    attempt: int = 1,
    parameters: dict[str, PropertyValue] | None = None,
    secrets: dict[str, str] | None = None,
    slots: int = 1,
) -> Offer:
    """An offer of a shell text or a whole execution."""
    return Offer(
        run=RunId(run),
        attempt=AttemptNumber(attempt),
        project="demo",
        job="work",
        slots=slots,
        execution=execution(what) if isinstance(what, str) else what,
        parameters=parameters or {},
        secrets=secrets or {},
    )


class Disk:
    """Below a journal: while `stalls` nothing is begun, and `waiting` is set when something would be."""

    def __init__(self) -> None:
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self.waiting = asyncio.Event()

    def stalls(self) -> None:
        """From now on."""
        self._goes_on.clear()

    def goes_on(self) -> None:
        """Lets through what waits."""
        self._goes_on.set()

    async def pass_through(self) -> None:
        """Waits while it stalls."""
        if not self._goes_on.is_set():
            self.waiting.set()
        await self._goes_on.wait()


class JournalOn(Journal):
    """A journal on such a disk."""

    def __init__(self, journal: Journal, disk: Disk) -> None:
        self._journal = journal
        self._disk = disk

    async def write(self, function: Callable[[sqlite3.Connection], T], *, scrub: bool = False) -> T:
        await self._disk.pass_through()
        return await self._journal.write(function, scrub=scrub)

    def close(self) -> None:
        self._journal.close()


@contextlib.asynccontextmanager
async def agent_on(path: Path, master: FakeMaster, *, slots: int = 4, disk: Disk | None = None) -> AsyncIterator[Agent]:
    """An agent that has said hello. Leaving the block ends the agent; its steps and its keeper go on."""
    path.mkdir(mode=0o700, exist_ok=True)
    folder = WorkerFolder(path=path)
    folder.prepare()
    journal, aside = open_journal(folder.journal, now=SystemClock().now())
    if aside is not None:
        folder.put_attempts_aside("broken")
        folder.prepare()
    if disk is not None:
        journal = JournalOn(journal, disk)
    settings = WorkerSettings(
        masters=("http://nowhere",), token_file=path / "token", name="atlas", folder=path, slots=slots
    )
    agent = make_agent(settings, folder=folder, journal=journal, connector=master)
    hellos = len(master.hellos)
    try:
        async with asyncio.TaskGroup() as tasks:
            held = await journal.write(load_attempts)
            tasks.create_task(agent.run(held), name="agent")
            if not master.is_away:
                await master.until(lambda: len(master.hellos) > hellos)
            yield agent
            agent.end()
    finally:
        journal.close()


def keeper_pid(path: Path) -> int | None:
    """The keeper of the folder, if one lives."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if b"orchestra_worker.keeper" in arguments and os.fsencode(path) in arguments:
                return int(entry.name)
    return None


def kill_keeper(path: Path) -> None:
    """Kills the folder's keeper."""
    pid = keeper_pid(path)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


async def until(condition: Callable[[], object], *, seconds: float = 15.0) -> None:
    """Polls a condition on real processes and files until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a file or a process sets no event of ours
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    return started_ticks(pid) is not None
