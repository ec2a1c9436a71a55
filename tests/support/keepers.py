"""A worker folder with a real keeper and an agent's client to it, for tests on real processes."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestra.clock import SystemClock
from orchestra_worker.keeper_client import KeeperClient, StepOrder, StepPlace, StepReport
from orchestra_worker.process_tree import started_ticks

PATIENCE_SECONDS = 20.0
LOOK_SECONDS = 0.01


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Waits for something that real processes bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(LOOK_SECONDS)


def is_alive(pid: int) -> bool:
    """Whether a process runs (the dead that nobody has collected do not)."""
    return started_ticks(pid) is not None


class KeeperRoom:
    """One worker folder. Steps are numbered from 1 in one attempt's folder, as an engine does it."""

    def __init__(self, folder: Path, *, use_cgroups: bool = True) -> None:
        self.folder = folder
        self.attempt = folder / "attempts" / "7-1"
        self.attempt.mkdir(parents=True, exist_ok=True)
        self.clock = SystemClock()
        self.hints: list[tuple[str, int]] = []
        self.was_lost = asyncio.Event()
        self.client = KeeperClient(
            folder=folder,
            clock=self.clock,
            on_report=self._ended,
            on_output=lambda step, length: self.hints.append((step, length)),
            on_lost=self.was_lost.set,
            use_cgroups=use_cgroups,
        )
        self.ends: dict[str, StepReport] = {}
        self._news = asyncio.Event()

    def order(
        self,
        number: int,
        *argv: str,
        environment: Mapping[str, str] | None = None,
        deadline: float | None = None,
        grace_seconds: float = 0.5,
        directory: Path | None = None,
    ) -> StepOrder:
        """What an engine would ask for."""
        return StepOrder(
            step=f"7-1-{number}",
            folder=self.attempt,
            number=number,
            argv=argv,
            directory=directory or self.folder,
            environment={"PATH": os.environ["PATH"], **(environment or {})},
            deadline=deadline,
            deadline_reason="timed out",
            grace_seconds=grace_seconds,
        )

    async def end_of(self, number: int, seconds: float = PATIENCE_SECONDS) -> StepReport:
        """The report of a step that ends, or has ended."""
        async with asyncio.timeout(seconds):
            while f"7-1-{number}" not in self.ends:
                self._news.clear()
                await self._news.wait()
        return self.ends[f"7-1-{number}"]

    async def run(self, number: int, *argv: str, seconds: float = PATIENCE_SECONDS) -> StepReport:
        """Runs a step to its end."""
        await self.client.spawn(self.order(number, *argv))
        return await self.end_of(number, seconds)

    async def shell(self, number: int, text: str, seconds: float = PATIENCE_SECONDS) -> StepReport:
        """Runs shell text to its end."""
        return await self.run(number, "/bin/sh", "-c", text, seconds=seconds)

    def log(self) -> bytes:
        """The attempt's log as it is on the disk."""
        return (self.attempt / "log").read_bytes()

    async def pid_in(self, name: str) -> int:
        """The pid that a process of the step writes into a file of the worker's folder."""
        path = self.folder / name
        await until(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())

    async def close(self) -> None:
        """Ends the steps and the keeper."""
        if self.was_lost.is_set():
            places = [StepPlace(step="", folder=self.attempt, number=number) for number in range(1, 20)]
            await self.client.lost_steps(places)
            return
        for report in await self.client.steps():
            await self.client.stop(report.step, "test is over", 0.0)
        pid = self.client.pid
        await self.client.close()
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not is_alive(pid))

    def _ended(self, report: StepReport) -> None:
        self.ends[report.step] = report
        self._news.set()
