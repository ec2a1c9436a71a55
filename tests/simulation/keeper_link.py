"""The agent's side of a simulated keeper, as the engine wants it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from orchestra_worker.keeper_client import StepOrder, StepPlace, StepReport
from orchestra_worker.keeper_errors import KeeperAway, KeeperRefused
from tests.simulation.loop import Life, SimulatedLoop
from tests.simulation.machine import END_SECONDS, KeeperProcess, Machine, Process

T = TypeVar("T")


class SimulatedKeeperLink:
    """One agent's connection to the keeper of its machine; every call takes a way there and a way back."""

    def __init__(
        self,
        *,
        machine: Machine,
        life: Life,
        on_report: Callable[[StepReport], None],
        on_output: Callable[[str, int], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._life = life
        self._on_report = on_report
        self._on_output = on_output
        self._on_lost = on_lost
        self._keeper: KeeperProcess | None = None
        self._announced: set[str] = set()
        self._open: dict[int, Callable[[Exception], None]] = {}
        """How the calls that are under way are told that the keeper has died."""
        self._calls = 0

    async def connect(self) -> None:
        """Finds the machine's keeper, or starts one."""
        await asyncio.sleep(self._delay())
        if self._machine.keeper is None:
            await asyncio.sleep(0.05 + 0.2 * self._machine.chance.random())
            if self._machine.keeper is None:
                self._machine.keeper = KeeperProcess(self._machine)
        keeper = self._keeper = self._machine.keeper
        for process in keeper.known.values():
            # Whoever had asked for it is gone.
            self._machine.hold(process, 0.0)
        keeper.on_report = lambda report: self._tell(self._announce, report)
        keeper.on_output = lambda step, length: self._tell(self._on_output, step, length)
        keeper.on_death = self._died

    async def steps(self) -> tuple[StepReport, ...]:
        """What the keeper knows."""
        return await self._ask(lambda keeper: tuple(self._machine.report(process) for process in keeper.known.values()))

    async def spawn(self, order: StepOrder) -> StepReport:
        """Starts the step unless it ever was."""
        return await self._ask(lambda keeper: keeper.spawn(order))

    async def set_deadline(self, step: str, deadline: float | None, reason: str) -> None:
        """Moves the step's deadline."""
        await self._ask(lambda keeper: self._machine.set_deadline(_known(keeper, step), deadline, reason))

    async def stop(self, step: str, reason: str, grace_seconds: float) -> None:
        """Ends the step."""
        await self._ask(lambda keeper: self._machine.stop(_known(keeper, step), reason, grace_seconds))

    def hold(self, step: str, seconds: float) -> None:
        """Leaves the step's output unread."""
        keeper = self._keeper

        def arrive() -> None:
            process = keeper.known.get(step) if keeper is not None and keeper is self._machine.keeper else None
            if process is not None:
                self._machine.hold(process, seconds)

        self._loop.in_world(self._delay(), arrive)

    async def forget(self, step: str) -> None:
        """The keeper may drop the step."""
        await self._ask(lambda keeper: keeper.known.pop(step, None))
        self._announced.discard(step)

    async def lost_steps(self, places: Sequence[StepPlace]) -> tuple[StepReport, ...]:
        """Ends what a dead keeper has left."""
        await asyncio.sleep(END_SECONDS)
        reports = []
        for place in places:
            process = self._machine.claim(place.folder, place.number)
            if process is not None:
                self._machine.end_lost(process)
                reports.append(self._machine.report(process))
        return tuple(reports)

    async def end_unknown(self, folders: Sequence[Path]) -> None:
        """Ends what a dead keeper has left in these folders."""
        await self._machine.end_unknown(folders)

    def read_step(self, folder: Path, number: int) -> StepReport | None:
        """What the files say."""
        process = self._machine.claim(folder, number)
        return None if process is None else self._machine.report(process)

    async def leave(self) -> None:
        """Nothing: the keeper of a simulated machine stays."""

    async def close(self) -> None:
        """No more news, please."""
        if self._keeper is not None:
            self._keeper.on_report = self._keeper.on_output = self._keeper.on_death = None
            self._keeper = None

    # --- inside ---

    @property
    def _loop(self) -> SimulatedLoop:
        return self._machine.loop

    def _delay(self) -> float:
        return 0.0001 + 0.002 * self._machine.chance.random()

    async def _ask(self, what: Callable[[KeeperProcess], T]) -> T:
        keeper = self._keeper
        if keeper is None:
            raise KeeperAway(self._machine.name, "there is no connection")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._calls += 1
        call = self._calls
        self._open[call] = lambda error: _fail(answer, error)

        def arrive() -> None:
            if not keeper.is_alive:
                return
            try:
                value = what(keeper)
            except KeeperRefused as error:
                self._tell(_fail, answer, error)
            else:
                self._tell(_answer, answer, value)

        self._loop.in_world(self._delay(), arrive)
        try:
            return await answer
        finally:
            self._open.pop(call, None)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        self._loop.in_life(self._life, self._delay(), callback, *arguments)

    def _announce(self, report: StepReport) -> None:
        if report.step not in self._announced:
            self._announced.add(report.step)
            self._on_report(report)

    def _died(self) -> None:
        for fail in self._open.values():
            self._tell(fail, KeeperAway(self._machine.name, "the connection broke"))
        self._keeper = None
        self._tell(self._on_lost)


def _known(keeper: KeeperProcess, step: str) -> Process:
    process = keeper.known.get(step)
    if process is None:
        raise KeeperRefused(f"there is no step {step}")
    return process


def _answer(answer: "asyncio.Future[T]", value: T) -> None:
    if not answer.done():
        answer.set_result(value)


def _fail(answer: "asyncio.Future[T]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
