"""One master: its door for workers, its dispatcher and its duties, as one thing that is opened and closed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from orchestra.errors import StorageError
from orchestra.limits import BYE_SECONDS, POLL_SECONDS
from orchestra.storage.database import Signal, Topic
from orchestra_master.dispatcher import Dispatcher
from orchestra_master.duty import Duty, keep_doing, keep_running
from orchestra_master.listener import Listener
from orchestra_master.parts import MasterParts

logger = logging.getLogger(__name__)

_ANYTHING = frozenset({Signal(Topic.PENDING)})


class Loop(Protocol):
    """Something of the master that keeps its own time, such as the ticker."""

    async def run(self) -> None:
        """Works until it is cancelled."""


class Master:
    """Used as `async with master:`; while it is open it gives out runs. Closing it harms no run.

    Must be opened and closed in the same task. A duty that meets an error it does not know says so and begins anew;
    the others go on meanwhile.
    """

    def __init__(
        self,
        *,
        parts: MasterParts,
        listener: Listener,
        dispatcher: Dispatcher,
        duties: Sequence[Duty],
        loops: Sequence[Loop],
    ) -> None:
        self._parts = parts
        self.listener = listener
        self._dispatcher = dispatcher
        self._duties = duties
        self._loops = loops
        self._capacity = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._parts.roster.on_capacity(self._on_capacity)
        tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
        named: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("dispatcher", self._dispatch),
            ("dispatcher signals", self._listen_for_pending),
            *((duty.name, partial(keep_doing, duty, self._parts.database)) for duty in self._duties),
            *((type(loop).__name__, loop.run) for loop in self._loops),
        ]
        running = [tasks.create_task(keep_running(name, run, self._parts.clock), name=name) for name, run in named]
        for task in running:
            self._stack.callback(task.cancel)
        logger.info("master_opened master=%s", self._parts.name)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)
        door = self.listener
        if door.refused or door.broken:
            # Once, not for each: whoever tries tokens or sends garbage must not be able to fill a disk.
            logger.warning("worker_door_closed bad_tokens=%d bad_connections=%d", door.refused, door.broken)
        logger.info("master_closed master=%s", self._parts.name)

    async def say_bye(self) -> None:
        """Tells the workers that the master goes away on purpose."""
        await self.listener.say_bye(retry_after_seconds=BYE_SECONDS, reason="the master is closing")

    def _on_capacity(self) -> None:
        self._dispatcher.capacity_changed()
        self._capacity.set()

    async def _dispatch(self) -> None:
        # Also after an error that nobody knows: what it was about to give out is found again in the rows.
        self._dispatcher.wake(_ANYTHING)
        while True:
            try:
                there_may_be_more = await self._dispatcher.dispatch_once()
            except StorageError as error:
                logger.warning("dispatch_postponed error=%s", error)
                there_may_be_more = False
                await asyncio.sleep(POLL_SECONDS)
            if not there_may_be_more:
                await self._rest()

    async def _rest(self) -> None:
        """Until something was signalled, or a worker that refused a run may be asked again."""
        try:
            async with asyncio.timeout(self._dispatcher.rest_seconds):
                await self._capacity.wait()
        except TimeoutError:
            self._dispatcher.capacity_changed()
        self._capacity.clear()

    async def _listen_for_pending(self) -> None:
        subscription = self._parts.database.subscribe(Topic.PENDING, Topic.RELEASED)
        try:
            while True:
                # Nothing after the poll's time: the dispatcher is told to look for itself. By its own clock it may have
                # looked a moment too recently, and would then look only once in two polls.
                self._dispatcher.wake(await subscription.wait(self._parts.poll_seconds) or _ANYTHING)
                self._capacity.set()
        finally:
            subscription.close()
