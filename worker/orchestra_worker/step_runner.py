"""Runs steps through the keeper, one call from start to end, whatever becomes of the keeper meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from orchestra.limits import POLL_SECONDS
from orchestra_worker.keeper_client import StepOrder, StepPlace, StepReport
from orchestra_worker.keeper_errors import KeeperAway, KeeperRefused

KEEPER_RETRY_SECONDS = 0.25

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """What the agent needs of the keeper; `KeeperClient` says what each call does and raises."""

    async def connect(self) -> None:
        """Connects to the folder's keeper, and starts one if there is none."""

    async def steps(self) -> tuple[StepReport, ...]:
        """The steps that the keeper knows."""

    async def spawn(self, order: StepOrder) -> StepReport:
        """Starts the step, or answers how it stands if it was ever started."""

    async def set_deadline(self, step: str, deadline: float | None, reason: str) -> None:
        """Moves or removes the moment at which the keeper itself ends the step."""

    async def stop(self, step: str, reason: str, grace_seconds: float) -> None:
        """Ends the step's whole tree."""

    def hold(self, step: str, seconds: float) -> None:
        """Leaves the step's output unread for so long; 0 reads on."""

    async def forget(self, step: str) -> None:
        """Lets the keeper drop an ended step."""

    async def lost_steps(self, places: Sequence[StepPlace]) -> tuple[StepReport, ...]:
        """Ends what is left of steps whose keeper is dead."""

    async def end_unknown(self, folders: Sequence[Path]) -> None:
        """Ends what is left of steps whose keeper is dead, in the folders of attempts that nobody knows any more."""

    def read_step(self, folder: Path, number: int) -> StepReport | None:
        """What the files say of a step."""

    async def leave(self) -> None:
        """This agent ends on purpose."""

    async def close(self) -> None:
        """Leaves the keeper alone."""


MakeKeeper = Callable[
    [Callable[[StepReport], None], Callable[[str, int], None], Callable[[], None]],
    Keeper,
]
"""Makes the client with its three callbacks: report, output, lost."""


class StepRunner:
    """Owns the keeper's client. `run` is its duty that looks after a keeper that died."""

    def __init__(self, *, make_keeper: MakeKeeper, on_output: Callable[[str], None]) -> None:
        self._keeper = make_keeper(self._ended, lambda step, _length: on_output(step), self._lost)
        self._ends: dict[str, asyncio.Future[StepReport]] = {}
        self._places: dict[str, StepPlace] = {}
        self._look: asyncio.TimerHandle | None = None
        self._was_lost = asyncio.Event()
        self._ready = asyncio.Event()

    async def start(self) -> tuple[StepReport, ...]:
        """Finds or starts the keeper, and tells what it has."""
        await self._connect()
        return await self._keeper.steps()

    async def close(self) -> None:
        """Leaves the steps alone; the keeper ends with the last of them."""
        if self._look is not None:
            self._look.cancel()
        try:
            await self._keeper.leave()
        finally:
            await self._keeper.close()

    async def run_forever(self) -> None:
        """Replaces a keeper that died, after its steps were ended and their waiters told."""
        while True:
            await self._was_lost.wait()
            self._was_lost.clear()
            self._ready.clear()
            log.error("keeper_lost: its %d steps are ended, a new one is started", len(self._places))
            for report in await self._keeper.lost_steps(list(self._places.values())):
                self._ended(report)
            await self._connect()

    async def execute(self, order: StepOrder, *, on_started: Callable[[StepReport], Awaitable[None]]) -> StepReport:
        """Starts the step unless it ever was, calls `on_started`, and gives its report when it has ended."""
        ended: asyncio.Future[StepReport] = asyncio.get_running_loop().create_future()
        self._ends[order.step] = ended
        place = self._places[order.step] = StepPlace(step=order.step, folder=order.folder, number=order.number)
        try:
            report = await self._spawn(order)
            await on_started(report)
            if report.state == "unknown":
                return await self._end_of_unknown(place, report)
            if report.state == "ended":
                return report
            self._look_later()
            return await ended
        finally:
            del self._ends[order.step], self._places[order.step]

    async def stop(self, step: str, *, reason: str, grace_seconds: float) -> None:
        """Asks the step's tree to end; its report follows. Without a keeper its steps are being ended anyway."""
        try:
            await self._keeper.stop(step, reason, grace_seconds)
        except (KeeperAway, KeeperRefused) as error:
            log.info("stop_not_taken step=%s: %s", step, error)

    async def set_deadline(self, step: str, deadline: float | None, reason: str) -> None:
        """Moves the moment at which the keeper ends the step by itself."""
        try:
            await self._keeper.set_deadline(step, deadline, reason)
        except (KeeperAway, KeeperRefused) as error:
            log.info("deadline_not_taken step=%s: %s", step, error)

    def hold(self, step: str, seconds: float) -> None:
        """Leaves the step's output unread for so long, so that it has to wait; 0 reads on."""
        self._keeper.hold(step, seconds)

    async def forget(self, step: str) -> None:
        """Lets the keeper drop an ended step."""
        try:
            await self._keeper.forget(step)
        except (KeeperAway, KeeperRefused) as error:
            log.info("forget_not_taken step=%s: %s", step, error)

    async def end_unknown(self, folders: Sequence[Path]) -> None:
        """Ends what a dead keeper has left in the folders of attempts that the journal does not know."""
        await self._keeper.end_unknown(folders)

    def read_step(self, folder: Path, number: int) -> StepReport | None:
        """What the step's files say; None if it was never started."""
        return self._keeper.read_step(folder, number)

    # --- inside ---

    async def _spawn(self, order: StepOrder) -> StepReport:
        while True:
            await self._ready.wait()
            try:
                return await self._keeper.spawn(order)
            except KeeperAway:
                # The claim knows whether it was started: asking the next keeper again is harmless.
                await asyncio.sleep(KEEPER_RETRY_SECONDS)
            except KeeperRefused as refusal:
                return _not_started(order, str(refusal))

    def _look_later(self) -> None:
        if self._look is None and self._ends:
            self._look = asyncio.get_running_loop().call_later(POLL_SECONDS, self._look_at_files)

    def _look_at_files(self) -> None:
        """The safety net below the keeper's word, and the only way to hear of a step that a keeper of another version
        has."""
        self._look = None
        for place in list(self._places.values()):
            known = self._keeper.read_step(place.folder, place.number)
            if known is not None and known.state == "ended":
                self._ended(known)
        self._look_later()

    async def _end_of_unknown(self, place: StepPlace, report: StepReport) -> StepReport:
        """The step's keeper died while no agent was there."""
        reports = await self._keeper.lost_steps([place])
        return reports[0] if reports else report

    async def _connect(self) -> None:
        while True:
            try:
                await self._keeper.connect()
            except KeeperAway as error:
                log.error("keeper_not_started: %s", error)
                await asyncio.sleep(KEEPER_RETRY_SECONDS * 4)
            else:
                self._ready.set()
                return

    def _ended(self, report: StepReport) -> None:
        waiter = self._ends.get(report.step)
        if waiter is not None and not waiter.done() and report.state != "running":
            waiter.set_result(report)

    def _lost(self) -> None:
        self._was_lost.set()


def _not_started(order: StepOrder, reason: str) -> StepReport:
    return StepReport(
        step=order.step,
        number=order.number,
        state="ended",
        pid=None,
        log_start=0,
        log_length=0,
        exit_code=None,
        reason=reason,
        started_at=None,
        ended_at=None,
    )
